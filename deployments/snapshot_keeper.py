"""What a live session goes on from elsewhere, stored after each chunk while the next one is made."""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from deployments.parts import SnapshotWriter
from longlive.snapshot import Snapshot

PATIENCE_SECONDS = 0.25
log = logging.getLogger(__name__)


class SnapshotKeeper:
    """Stores the snapshots of one session in order, for its owner. For one event loop.

    While the history is away nobody waits for it, and what was to be stored then is not.
    """

    def __init__(self, writer: SnapshotWriter) -> None:
        self._writer = writer
        self._waiting: deque[tuple[int, Snapshot]] = deque()
        self._away = False
        self._moved = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None

    def write_with(self, writer: SnapshotWriter) -> None:
        """From now on with this one: the owner has another fence."""
        self._writer = writer

    def add(self, chunk: int, snapshot: Snapshot) -> None:
        """Have stored what the session goes on from with `chunk`."""
        self._waiting.append((chunk, snapshot))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_all())

    async def stored(self, chunk: int) -> bool:
        """Whether that of `chunk` is. Returns once it is, or after PATIENCE_SECONDS; at once if the history is away."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not self._away and any(each <= chunk for each, _ in self._waiting):
                    await self._moved.wait()
        except TimeoutError:
            self._lose("it does not answer")
        return not self._away

    async def _write_all(self) -> None:
        while self._waiting:
            chunk, snapshot = self._waiting[0]
            try:
                await self._writer.add(chunk, snapshot)
            except Exception as error:
                self._lose(str(error))  # and the next chunk brings the next one
            else:
                if self._away:
                    log.warning("snapshots are stored again")
                self._away = False
            self._waiting.popleft()
            self._wake()

    def _lose(self, reason: str) -> None:
        if not self._away:
            log.warning("no snapshot is stored, the video goes on without: %s", reason)
        self._away = True
        self._wake()

    def _wake(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()
