"""A service that a benchmark steers as its operator would: a process, told what to do in lines of JSON.

`python benchmarks/steered_service.py '{"port": 8000, "generators": 2}'` takes settings. It answers each line of its
standard input, such as `["replicas"]`, with one line.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

import psutil
import redis

from report import reserve_stdout, say
from running_service import PARTS, ServiceProcess

STEADY_SECONDS = 180.0
LOOK_SECONDS = 0.25


class SteeredService(ServiceProcess):
    """From the side of the benchmark. Raises RuntimeError where the service has ended, or does not come to rest."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.url = f"http://127.0.0.1:{settings['port']}"
        self._log = folder / "log"
        self._settings = {"data_dir": str(folder / "data"), **settings}
        command = [sys.executable, __file__, json.dumps(self._settings)]
        self._process = self._start(command, pipes=True)

    def order(self, name: str, *arguments: Any) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([name, *arguments]).encode() + b"\n")
        self._process.stdin.flush()
        if not (line := self._process.stdout.readline()):
            raise RuntimeError(f"the service has ended:\n{self.output[-3000:]}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["answer"]

    def replicas(self) -> dict[str, dict[str, int]]:
        """Of each deployment, how many replicas are in which state."""
        return self.order("replicas")

    def pids(self, part: str) -> set[int]:
        """The processes that are this part of it now."""
        return {process.pid for process in self.processes() if PARTS[part] in _command(process)}

    def pid_of(self, replica: str) -> int | None:
        """The process of the replica of this name; each writes to a log file of its own name."""
        for process in self.processes():
            if "ServeReplica" in _command(process) and any(replica in file.path for file in _files(process)):
                return process.pid
        return None

    def redis(self) -> dict[str, tuple[int, str]]:
        """Process and URL of its Redis servers: `sessions` on disk, `snapshots` in memory alone."""
        found = {}
        for process in self.processes():
            if PARTS["redis"] in (command := _command(process)) and (port := re.search(r":(\d+)", command)):
                with redis.Redis(port=int(port[1])) as client:
                    on_disk = client.config_get("appendonly")["appendonly"] == "yes"
                found["sessions" if on_disk else "snapshots"] = (process.pid, f"redis://127.0.0.1:{port[1]}/0")
        return found


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _files(process: psutil.Process) -> list[Any]:
    try:
        return process.open_files()
    except psutil.Error:
        return []


def _replicas() -> dict[str, dict[str, int]]:
    from ray import serve

    from deployments.service import APP

    deployments = serve.status().applications[APP].deployments
    return {
        name: {str(getattr(state, "value", state)): count for state, count in deployment.replica_states.items()}
        for name, deployment in deployments.items()
    }


def _ray() -> dict[str, int]:
    """Actors that live, and what is in the object store."""
    import ray
    from ray._private import internal_api, state

    known = internal_api.get_state_from_address(ray.get_runtime_context().gcs_address)
    store = internal_api.get_memory_info_reply(known).store_stats
    return {
        "actors": sum(actor["State"] == "ALIVE" for actor in state.actors().values()),
        "objects": store.num_local_objects,
    }


def _obey(orders: TextIO, answers: TextIO, known: Mapping[str, Callable[..., Any]]) -> None:
    for line in orders:
        name, *arguments = json.loads(line)
        try:
            answer = {"answer": known[name](*arguments)}
        except Exception as error:
            answer = {"error": f"{name}: {type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


def main() -> None:
    answers = reserve_stdout()
    from deployments.service import serve_until_stopped
    from deployments.settings import load_settings

    def ready(url: str) -> None:
        known = {"replicas": _replicas, "ray": _ray}
        threading.Thread(target=_obey, args=(sys.stdin, answers, known), daemon=True).start()
        say(f"{url} is ready")

    settings = json.loads(sys.argv[1])
    serve_until_stopped(load_settings(**settings), say, ready)


if __name__ == "__main__":
    main()
