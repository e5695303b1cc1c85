"""`longlive serve` as a user starts it: a process with a URL, stopped with Ctrl-C."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

READY_SECONDS = 280.0
STOP_SECONDS = 60.0
PR_SET_PDEATHSIG = 1


class ServiceProcess:
    """Two generators with two slots each; its output goes to `folder`."""

    def __init__(self, folder: Path, model: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._log = folder / "log"
        command = [sys.executable, "-u", "-c", "from deployments.cli import main; main()", "serve"]
        options = {"port": port, "model": model, "generators": 2, "data-dir": folder / "data"}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, *(str(part) for name, value in options.items() for part in (f"--{name}", value))],
                env=os.environ | {"LONGLIVE_SLOTS": "2"},
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
        parents, commands = {}, {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    # The name, in parentheses, may hold anything; state and parent follow it.
                    state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                    command = (entry / "cmdline").read_text(errors="replace")
                except OSError:
                    continue
                if state != "Z":
                    parents[int(entry.name)], commands[int(entry.name)] = int(parent), command
        found: list[int] = []
        ancestors = {self._process.pid}
        while children := {pid for pid, parent in parents.items() if parent in ancestors}:
            found += children
            ancestors = children
        return sorted(pid for pid in found if of in commands[pid])

    def interrupt(self) -> list[int]:
        """Ctrl-C. Returns, once it has ended, what it has left running."""
        started = self.processes()
        self._process.send_signal(signal.SIGINT)
        self._process.wait(STOP_SECONDS)
        return [pid for pid in started if Path(f"/proc/{pid}").exists()]


def _stop_with_parent() -> None:
    """A killed test run must not leave a service behind: have the kernel interrupt it (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)
