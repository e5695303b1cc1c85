"""What an owner states about its session, written to the history in order, while the video goes on without waiting."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from redis.exceptions import RedisError

from deployments.entries import Chunk, Fact
from deployments.store import Fenced, NoSuchSession, SessionOver
from deployments.timeline import CHUNKS_KEPT, Timeline

AGAIN_SECONDS = 0.5
PATIENCE_SECONDS = 0.25
log = logging.getLogger(__name__)


class Recorder:
    """What the store cannot take now is kept and written, once each, when it is back. For one event loop.

    `lost` is called when the session is not ours any more: nothing that was stated is written from then on.
    """

    def __init__(self, timeline: Timeline, sid: str, owner: str, fence: int, lost: Callable[[], None]) -> None:
        self._timeline = timeline
        self._sid = sid
        self._owner = owner
        self._fence = fence
        self._lost = lost
        self._unsent: deque[tuple[str, Fact | Chunk]] = deque()
        self._stated = 0
        self._away = False
        self._settled = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None

    def state(self, entry: Fact | Chunk) -> None:
        """Have it written after all that was stated before."""
        self._stated += 1
        self._unsent.append((f"{self._fence}-{self._stated}", entry))
        if not self._away:
            self._settled.clear()
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_all())

    async def settle(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Returns when all that was stated is written; in any case after `seconds`, at once if the store is away."""
        try:
            async with asyncio.timeout(seconds):
                await self._settled.wait()
        except TimeoutError:
            self._away = True
            self._settled.set()

    async def written(self) -> None:
        """Returns when all that was stated is written, however long that takes, or never will be."""
        if self._writing is not None:
            await asyncio.wait({self._writing})

    async def _write_all(self) -> None:
        while self._unsent:
            key, entry = self._unsent[0]
            try:
                if isinstance(entry, Chunk):
                    await self._timeline.append_chunk(self._sid, self._fence, entry, key, owner=self._owner)
                else:
                    await self._timeline.append_fact(self._sid, self._fence, entry, key, owner=self._owner)
            except (Fenced, SessionOver, NoSuchSession) as error:
                log.warning("not ours any more: %s", error)
                self._unsent.clear()
                self._lost()
                break
            except RedisError as error:
                log.warning("%d entries wait for the store: %s", len(self._unsent), error)
                self._away = True
                self._settled.set()
                self._forget_old_chunks()
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            except Exception:
                log.exception("not recorded: %r", entry)
            self._unsent.popleft()
            self._away = False
        self._settled.set()

    def _forget_old_chunks(self) -> None:
        """The store would not keep them either."""
        chunks = [key for key, entry in self._unsent if isinstance(entry, Chunk)]
        old = set(chunks[:-CHUNKS_KEPT])
        self._unsent = deque(item for item in self._unsent if item[0] not in old)
