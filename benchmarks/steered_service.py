"""A service that a benchmark steers as its operator would: a process, told what to do in lines of JSON.

`python benchmarks/steered_service.py '{"port": 8000, "generators": 2}'` takes settings. It answers each line of its
standard input, such as `["replicas"]`, with one line.
"""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from report import reserve_stdout, say
from running_service import PARTS, STOP_SECONDS, ServiceProcess, process_of, redis_servers

STEADY_SECONDS = 180.0
LOOK_SECONDS = 0.25
WATCH_SECONDS = 0.5


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

    def update(self, **changed: Any) -> None:
        """A rolling update to what is set now, and this. Returns when the new replicas run; old ones may still hand
        over."""
        self.order("update", changed)

    def replicas(self) -> dict[str, dict[str, int]]:
        """Of each deployment, how many replicas are in which state."""
        return self.order("replicas")

    def stop(self) -> int:
        """Its exit status. What does not end in time is ended as it is, with all that it has started."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            for process in self.processes():
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            return self._process.wait()

    def pids(self, part: str) -> set[int]:
        """The processes that are this part of it now."""
        return {process.pid for process in self.processes() if PARTS[part] in _command(process)}

    def pid_of(self, replica: str) -> int | None:
        """The process of the replica of this name."""
        found = process_of(self.processes(), replica)
        return None if found is None else found.pid

    def redis(self) -> dict[str, tuple[int, str]]:
        """Process and URL of its Redis servers: `sessions` on disk, `snapshots` in memory alone."""
        return {name: (process.pid, url) for name, (process, url) in redis_servers(self.processes()).items()}


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


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


class _Orders:
    """Lines of standard input, for the thread that runs the service: only that one may change it."""

    def __init__(self) -> None:
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def next(self, seconds: float) -> str | None:
        """The next one, '' at their end, or None if none comes in time."""
        try:
            return self._lines.get(timeout=seconds)
        except queue.Empty:
            return None

    def _read(self) -> None:
        for line in sys.stdin:
            self._lines.put(line)
        self._lines.put("")


def _obey(order: str, known: Mapping[str, Callable[..., Any]]) -> dict[str, Any]:
    name, *arguments = json.loads(order)
    try:
        return {"answer": known[name](*arguments)}
    except Exception as error:
        return {"error": f"{name}: {type(error).__name__}: {error}"}


def main() -> None:
    answers = reserve_stdout()
    from deployments.service import Service
    from deployments.settings import load_settings

    settings, orders = json.loads(sys.argv[1]), _Orders()
    with Service(load_settings(**settings), say) as service:

        def update(changed: Mapping[str, Any]) -> None:
            settings.update(changed)
            service.update(load_settings(**settings))

        known: dict[str, Callable[..., Any]] = {"replicas": _replicas, "ray": _ray, "update": update}
        say(f"{service.url} is ready")
        while (order := orders.next(WATCH_SECONDS)) != "":
            service.keep()
            if order is not None:
                print(json.dumps(_obey(order, known)), file=answers, flush=True)


if __name__ == "__main__":
    main()
