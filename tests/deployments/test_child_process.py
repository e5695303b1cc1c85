"""A child process: what is kept of what it writes, how it ends, and that nothing of it stays."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from deployments import child_process
from deployments.child_process import KEPT_LINES, LINE_BYTES, ChildProcess


@pytest.fixture
def child() -> Iterator[ChildProcess]:
    child = ChildProcess("the child")
    yield child
    child.stop()


def run(child: ChildProcess, code: str) -> int:
    """Its exit code."""
    child.start([sys.executable, "-c", code])
    while (ended := child.exit_code) is None:
        time.sleep(0.01)
    return ended


def test_only_the_newest_lines_are_kept_of_what_it_writes(child: ChildProcess) -> None:
    assert run(child, "import sys; print(*range(5000), sep='\\n'); sys.exit('the last\\n\\n')") == 1
    assert child.last_lines() == [*map(str, range(5001 - KEPT_LINES, 5000)), "the last"]


def test_a_line_without_end_is_several(child: ChildProcess) -> None:
    assert run(child, f"print('x' * {LINE_BYTES} + 'y' * 3)") == 0
    assert child.last_lines() == ["x" * LINE_BYTES, "yyy"]


def test_a_new_one_has_none_of_the_lines_of_the_one_before(child: ChildProcess) -> None:
    run(child, "print('before')")
    run(child, "print('after')")
    assert child.last_lines() == ["after"]


def test_it_tells_the_signal_that_ended_it_and_what_it_had_started_ends_too(child: ChildProcess) -> None:
    code = """
        import os, signal, subprocess, sys
        print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    assert run(child, "\n".join(line.strip() for line in code.splitlines())) == -signal.SIGKILL
    (grandchild,) = child.last_lines()
    with contextlib.suppress(psutil.NoSuchProcess):
        left = psutil.Process(int(grandchild))
        while left.status() != psutil.STATUS_ZOMBIE:  # not all who inherit it reap it
            time.sleep(0.01)


def test_one_that_does_not_want_to_stop_is_killed(child: ChildProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_process, "STOP_SECONDS", 0.1)
    child.start([sys.executable, "-c", "import signal; signal.signal(15, signal.SIG_IGN); print(1); signal.pause()"])
    while not child.last_lines():
        assert child.alive
        time.sleep(0.01)
    pid = child.pid
    assert pid is not None
    assert os.getpgid(pid) == pid != os.getpgid(0)
    child.stop()
    child.stop()
    assert (child.pid, child.alive, child.exit_code) == (None, False, -signal.SIGKILL)
    assert not psutil.pid_exists(pid)


def test_a_command_that_is_not_there_is_an_error_and_nothing_runs(child: ChildProcess) -> None:
    with pytest.raises(FileNotFoundError):
        child.start(["/no/such/command"])
    assert not child.alive
