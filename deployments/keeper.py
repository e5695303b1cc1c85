"""What a live session goes on from elsewhere, stored after each chunk while the next one is made."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)


class Keeper:
    """Stores what one session goes on from, in order, for its owner: in `patience` seconds. For one event loop.

    While the place it is kept in is away nobody waits for it, and what was to be stored then is not.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._waiting: deque[tuple[int, Callable[[], Awaitable[None]]]] = deque()
        self._away = False
        self._moved = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None

    def add(self, chunk: int, store: Callable[[], Awaitable[None]]) -> None:
        """Have stored, in bounded time, something of what the session goes on from with `chunk`."""
        if self._away:
            # Nobody waits, and it shall not pile up: of what is older, only what is on its way is still stored.
            late = list(self._waiting)[1:]
            self._waiting = deque([*list(self._waiting)[:1], *(each for each in late if each[0] >= chunk)])
        self._waiting.append((chunk, store))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_all())

    async def stored(self, chunk: int) -> bool:
        """Whether all up to that of `chunk` is: once it is, or out of patience; at once if the place is away."""
        try:
            async with asyncio.timeout(self._patience):
                while not self._away and any(each <= chunk for each, _ in self._waiting):
                    await self._moved.wait()
        except TimeoutError:
            self._lose("it does not answer")
        return not self._away

    async def _write_all(self) -> None:
        while self._waiting:
            _, store = self._waiting[0]
            try:
                await store()
            except Exception as error:
                self._lose(str(error))  # and the next chunk brings the next one
            else:
                if self._away:
                    log.warning("the video could go on elsewhere again")
                self._away = False
            self._waiting.popleft()
            self._wake()

    def _lose(self, reason: str) -> None:
        if not self._away:
            log.warning("the video could not go on elsewhere, it goes on without: %s", reason)
        self._away = True
        self._wake()

    def _wake(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()
