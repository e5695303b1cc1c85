"""The service as processes of this machine: started, looked at and stopped from outside."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import redis

START_SECONDS = 300.0
STOP_SECONDS = 120.0
PARTS = {
    "proxy": "ray::ProxyActor",
    "ingress": "ServeReplica:longlive:Ingress",
    "generators": "ServeReplica:longlive:Generator",
    "encoder": "ServeReplica:longlive:VideoEncoder",
    "text_encoder": "ServeReplica:longlive:TextEncoder",
    "controller": "ray::ServeController",
    "redis": "redis-server",
}
"""What the command line of each part holds."""


class ServiceProcess:
    """`longlive serve` as a process of its own, so that its cost is not this one's. Keeps its data in `folder`."""

    def __init__(self, port: int, model: str, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._log = folder / "log"
        command = [str(Path(sys.executable).with_name("longlive")), "serve", "--port", str(port), "--model", model]
        self._process = self._start([*command, "--data-dir", str(folder / "data")])

    def _start(self, command: Sequence[str], pipes: bool = False) -> subprocess.Popen[bytes]:
        with self._log.open("wb") as log:
            stdin, stdout = (subprocess.PIPE, subprocess.PIPE) if pipes else (None, log)
            return subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=log, process_group=0)

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while "is ready" not in self.output:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the service did not start:\n{self.output}")
            time.sleep(0.1)

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def processes(self) -> list[psutil.Process]:
        return family(psutil.Process(self._process.pid))

    def stop(self) -> int:
        """Its exit status; again, it only says that."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        return self._process.wait(timeout=STOP_SECONDS)


@dataclass(frozen=True)
class Cost:
    """CPU seconds so far and memory in MiB of each part."""

    at: float
    seconds: dict[str, float]
    mib: dict[str, float]

    @classmethod
    def of(cls, service: ServiceProcess) -> Cost:
        seconds = dict.fromkeys([*PARTS, "others"], 0.0)
        mib = dict.fromkeys([*PARTS, "others"], 0.0)
        for process in service.processes():
            try:
                command, times, resident = " ".join(process.cmdline()), process.cpu_times(), resident_mib(process)
            except psutil.Error:
                continue  # it ended meanwhile
            part = next((part for part, name in PARTS.items() if name in command), "others")
            seconds[part] += times.user + times.system
            mib[part] += resident
        return cls(time.perf_counter(), seconds, mib)

    def cores(self, later: Cost) -> dict[str, float]:
        """The share of a core that each part took until `later`, and all of them together."""
        span = later.at - self.at
        cores = {part: round((later.seconds[part] - self.seconds[part]) / span, 4) for part in self.seconds}
        return {**cores, "all": round(sum(cores.values()), 4)}


def family(root: psutil.Process) -> list[psutil.Process]:
    """A process and every one below it."""
    return [root, *root.children(recursive=True)]


def resident_mib(process: psutil.Process) -> float:
    """Memory of a process, shared pages divided among those who share them. Raises psutil.Error if it has ended."""
    return process.memory_full_info().pss / 2**20


def runs(process: psutil.Process) -> bool:
    """Whether it still does; one that only waits to be reaped does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def part_of(root: psutil.Process, part: str) -> psutil.Process:
    """The process below `root` that is this part of the service."""
    for process in root.children(recursive=True):
        try:
            if PARTS[part] in " ".join(process.cmdline()):
                return process
        except psutil.Error:
            continue  # it ended meanwhile
    raise RuntimeError(f"no {part} below process {root.pid}")


def process_of(processes: Iterable[psutil.Process], replica: str) -> psutil.Process | None:
    """The process of the replica of this name: each writes to a log file of its own name."""
    for process in processes:
        with contextlib.suppress(psutil.Error):  # it ended meanwhile
            if any(replica in file.path for file in process.open_files()):
                return process
    return None


def redis_servers(processes: Iterable[psutil.Process]) -> dict[str, tuple[psutil.Process, str]]:
    """Each Redis and its URL: `sessions` is on disk, `snapshots` in memory alone."""
    found = {}
    for process in processes:
        with contextlib.suppress(psutil.Error):
            port = re.search(r"redis-server.*:(\d+)", " ".join(process.cmdline()))
            if port is None:
                continue
            with redis.Redis(port=int(port[1])) as client:
                on_disk = client.config_get("appendonly")["appendonly"] == "yes"
            found["sessions" if on_disk else "snapshots"] = (process, f"redis://127.0.0.1:{port[1]}/0")
    return found
