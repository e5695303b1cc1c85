"""`longlive serve` as a user starts it: a process with a URL, stopped with Ctrl-C."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

READY_SECONDS = 280.0
STOP_SECONDS = 60.0
UNWATCHED_SECONDS = 10
PR_SET_PDEATHSIG = 1


class ServiceProcess:
    """The shipped model on two generators with two slots each; its output goes to `folder`.

    One with the folder and the port of another that has stopped goes on with its sessions.
    """

    def __init__(self, folder: Path, port: int | None = None, ingresses: int = 1) -> None:
        if port is None:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.folder = folder
        self._log = folder / "log"
        command = [sys.executable, "-u", "-c", "from deployments.cli import main; main()", "serve"]
        options = {"port": port, "generators": 2, "data-dir": folder / "data"}
        environment = {"SLOTS": 2, "UNWATCHED_SECONDS": UNWATCHED_SECONDS, "INGRESSES": ingresses}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, *(str(part) for name, value in options.items() for part in (f"--{name}", value))],
                env=os.environ | {f"LONGLIVE_{name}": str(value) for name, value in environment.items()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
                preexec_fn=_stop_with_parent,
            )

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def wait_until_ready(self) -> None:
        """Returns once it has printed that it is."""
        deadline = time.monotonic() + READY_SECONDS
        while "is ready" not in self.output:
            assert self._process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.2)

    def processes(self, of: str = "") -> list[int]:
        """Every process that it has started and that runs now; those whose command line contains `of`."""
        running = _running()
        found: list[int] = []
        ancestors = {self._process.pid}
        while children := {pid for pid, (parent, _) in running.items() if parent in ancestors}:
            found += children
            ancestors = children
        return sorted(pid for pid in found if of in running[pid][1])

    def kill(self, of: str) -> None:
        """End one process, whose command line contains `of`, as a crash would."""
        os.kill(self.processes(of)[0], signal.SIGKILL)

    def crash(self) -> None:
        """End it and all that it has started, as a power cut would."""
        self._kill_all(self.processes())

    def interrupt(self) -> tuple[int, list[int]]:
        """Ctrl-C, which a terminal sends to the whole group. Gives the exit status and what is left running."""
        started = self.processes()
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGINT)
        try:
            status = self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._kill_all(started)
            raise AssertionError(f"Ctrl-C did not stop it in {STOP_SECONDS:g} seconds:\n{self.output}") from None
        return status, sorted(_running().keys() & started)

    def _kill_all(self, started: list[int]) -> None:
        """Leave nothing behind: its group, and what it has started in groups of their own."""
        left = _running().keys() & {*started, *self.processes()}
        os.killpg(self._process.pid, signal.SIGKILL)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()


def _running() -> dict[int, tuple[int, str]]:
    """Parent and command line of every process that runs; one that only waits to be reaped does not."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                # The name, in parentheses, may hold anything; state and parent follow it.
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                command = (entry / "cmdline").read_text(errors="replace")
            except OSError:
                continue
            if state != "Z":
                found[int(entry.name)] = int(parent), command
    return found


def _stop_with_parent() -> None:
    """A killed test run must not leave a service behind: have the kernel interrupt it (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)
