"""A server that this service starts as a child process: it does not outlive its parent, and its last words are kept."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from threading import Thread
from typing import IO

KEPT_LINES = 200
LINE_BYTES = 2000  # what is longer counts as several
STOP_SECONDS = 10.0
HEAR_SECONDS = 1.0
log = logging.getLogger(__name__)
_PR_SET_PDEATHSIG = 1


class ChildProcess:
    """Start it, stop it, start it again. It ends with its parent (on Linux: with the *thread* that started it).

    What it writes is logged for debugging, and the newest `KEPT_LINES` are kept. It has a process group of its own: a
    Ctrl-C in the terminal is not for it. What it has started ends with it: where it ended by itself, as soon as
    somebody asks for `alive`, `exit_code` or `last_lines`.
    """

    def __init__(self, name: str) -> None:
        """`name`: what its lines are logged under."""
        self._name = name
        self._process: subprocess.Popen[bytes] | None = None
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._listener: Thread | None = None
        self._exit_code: int | None = None

    @property
    def pid(self) -> int | None:
        """None before it is started, and after it was stopped."""
        return None if self._process is None else self._process.pid

    @property
    def alive(self) -> bool:
        self._reap()
        return self._process is not None and self._exit_code is None

    @property
    def exit_code(self) -> int | None:
        """Of the one that was started last; of a signal: that, negative. None while it runs."""
        self._reap()
        return self._exit_code

    def start(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        pass_fds: Collection[int] = (),
    ) -> None:
        """Returns at once. Not while it runs. Raises OSError where there is no such command."""
        self._lines.clear()
        self._process = process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            pass_fds=pass_fds,
            process_group=0,
            preexec_fn=_end_with_parent(),
        )
        self._exit_code = None
        assert process.stdout is not None
        self._listener = Thread(target=self._hear, args=(process.stdout,), name=f"{self._name} output", daemon=True)
        self._listener.start()

    def last_lines(self) -> list[str]:
        """What it wrote last, newest last; all of it once it has ended. No line is empty."""
        if self._listener is not None and not self.alive:
            self._listener.join(HEAR_SECONDS)
        return list(self._lines)

    def stop(self) -> None:
        """Returns when it is gone, and what it had started. Repeatable."""
        process = self._process
        if process is None:
            return
        if self.alive:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._reap()
        self._process = None

    def _hear(self, output: IO[bytes]) -> None:
        with output:
            while line := output.readline(LINE_BYTES):
                if text := line.decode(errors="replace").strip("\r\n"):
                    self._lines.append(text)
                    log.debug("%s: %s", self._name, text)

    def _reap(self) -> None:
        """Where it has ended: learn how, and end what it has started. Once: later its number may be another's."""
        process = self._process
        if process is not None and self._exit_code is None and process.poll() is not None:
            self._exit_code = process.returncode
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)


def free_port(host: str = "127.0.0.1") -> int:
    """One that nobody listens on, a moment ago."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _end_with_parent() -> Callable[[], None] | None:
    """For the child, between fork and exec: have the kernel send SIGTERM when the parent dies. None where it cannot."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up before the fork: the child must not import or lock
    parent = os.getpid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return ask
