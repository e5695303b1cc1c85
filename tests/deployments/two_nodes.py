"""The service on two Ray nodes of this machine, a generator on each: `python two_nodes.py FOLDER PORT`.

It says when it is ready, kills the second node when it reads a line, says so, and stops when its input ends. The nodes
say that each has a GPU, for that is what has Ray put one generator on each; the model runs on the CPU.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
from pydantic import SecretStr

from deployments.redis_server import RedisServer
from deployments.settings import Settings

OPERATOR_TOKEN = "the operator's token"
LEAN = {"include_dashboard": False, "object_store_memory": 128 * 2**20}


def main(folder: Path, port: int) -> None:
    from deployments.service import ENVIRONMENT

    os.environ.update(ENVIRONMENT | {"RAY_AUTH_MODE": "disabled"})
    import ray
    import torch
    from ray import serve
    from ray.cluster_utils import Cluster
    from ray.serve.config import HTTPOptions

    from deployments.app import PARTS, build
    from longlive.model_folder import find_model
    from longlive.pipeline import default_precision

    settings = Settings(
        port=port,
        generators=2,
        slots=4,
        data_dir=folder,
        unwatched_seconds=300,
        dtype=default_precision(find_model("tiny", None).config, torch.device("cpu")),
        operator_token=SecretStr(OPERATOR_TOKEN),
    )
    with RedisServer(folder) as redis, RedisServer(folder / "snapshots") as snapshots:
        cluster = Cluster(initialize_head=True, connect=False, head_node_args=LEAN | {"num_cpus": 4, "num_gpus": 1})
        try:
            ray.init(address=cluster.address, log_to_driver=False)
            serve.start(http_options=HTTPOptions(port=port, location="HeadOnly"))
            app = build(dict.fromkeys(PARTS, settings), redis.url, snapshots.url, gpus=2)
            running = threading.Thread(target=partial(serve.run, app, name="longlive", route_prefix="/"))
            running.start()
            while not _on_head():
                time.sleep(0.2)
            second = cluster.add_node(num_cpus=1, num_gpus=1, object_store_memory=LEAN["object_store_memory"])
            running.join()
            print("ready", flush=True)
            if sys.stdin.readline():
                _kill(second.all_processes["raylet"][0].process.pid)
                print("killed", flush=True)
                sys.stdin.read()
            serve.shutdown()
        finally:
            ray.shutdown()
            cluster.shutdown()


def _on_head() -> bool:
    """Whether everything runs that the head node has room for: all but the second generator."""
    from ray import serve

    apps = serve.status().applications
    if "longlive" not in apps:
        return False
    states = [deployment.replica_states for deployment in apps["longlive"].deployments.values()]
    return len(states) == 5 and all(each.get("RUNNING") for each in states)


def _kill(raylet: int) -> None:
    """All of a node at once, as a power cut would."""
    for process in [*psutil.Process(raylet).children(recursive=True), psutil.Process(raylet)]:
        with suppress(psutil.NoSuchProcess):
            process.kill()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
