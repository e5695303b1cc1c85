"""What an owner states about its session, written to the history in order, while the video goes on without waiting."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from functools import partial

from redis.exceptions import RedisError

from deployments.entries import Chunk, Fact
from deployments.store import Fenced, NoSuchSession, SessionOver, WritesLost
from deployments.timeline import CHUNKS_KEPT, Timeline

AGAIN_SECONDS = 0.5
PATIENCE_SECONDS = 0.25
STOPPED_SECONDS = 0.5
REMEMBERED = 200
"""Entries that are known to be written: enough for what a store that is restarted may have lost."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Stated:
    """`id` is the store's, once it is written."""

    number: int
    entry: Fact | Chunk
    id: str = ""


class Recorder:
    """What the store cannot take now is kept and written, once each, when it is back. For one event loop.

    `hold` is asked for our fence where the store says that the session is another's: it may be ours by a new one. None:
    it is not, and nothing that was stated is written from then on.
    """

    def __init__(
        self, timeline: Timeline, sid: str, owner: str, fence: int, hold: Callable[[Recorder], Awaitable[int | None]]
    ) -> None:
        self._timeline = timeline
        self._sid = sid
        self._owner = owner
        self._fence = fence
        self._hold = hold
        self._unsent: deque[_Stated] = deque()
        self._sent: deque[_Stated] = deque(maxlen=REMEMBERED)
        self._stated = 0
        self._written_key: str | None = None
        self._away = False
        self._settled = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None

    def state(self, entry: Fact | Chunk) -> None:
        """Have it written after all that was stated before."""
        self._stated += 1
        self._unsent.append(_Stated(self._stated, entry))
        self._go_on()

    @property
    def fence(self) -> int:
        """By which it writes."""
        return self._fence

    @property
    def newest(self) -> tuple[int, str]:
        """Number and id of the newest entry that is known to be written; 0 and "": none is."""
        return (self._sent[-1].number, self._sent[-1].id) if self._sent else (0, "")

    def restate(self, fence: int, newest: int, written: Collection[str], chunks: int) -> None:
        """The store has lost its newest writes, and the session may be ours by another fence: write them again.

        Read after the entry with the number `newest` was written, it has the entries with the ids `written`, and the
        first `chunks` chunks.
        """
        self._fence = fence
        lost = [
            each
            for each in self._sent
            if each.number <= newest
            and (each.entry.chunk >= chunks if isinstance(each.entry, Chunk) else each.id not in written)
        ]
        if not lost:
            return
        log.warning("%d entries were lost, and are written again", len(lost))
        self._written_key = None
        self._sent = deque((each for each in self._sent if each not in lost), maxlen=REMEMBERED)
        self._unsent = deque(sorted([*lost, *self._unsent], key=lambda each: each.number))
        self._go_on()

    async def settle(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Returns when all that was stated is written; in any case after `seconds`, at once if the store is away."""
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            try:
                async with asyncio.timeout(seconds):
                    await self._settled.wait()
            except TimeoutError:
                # A process that was stopped finds its time run out, and an answer that it has had no time to read.
                if clock() - began > seconds + STOPPED_SECONDS:
                    continue
                self._away = True
                self._settled.set()
            return

    async def written(self) -> None:
        """Returns when all that was stated is written, however long that takes, or never will be."""
        if self._writing is not None:
            await asyncio.wait({self._writing})

    def _go_on(self) -> None:
        if not self._away:
            self._settled.clear()
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_all())

    async def _write_all(self) -> None:
        while self._unsent:
            stated = self._unsent[0]
            fence = self._fence
            try:
                written = await self._write(stated, fence)
            except (Fenced, WritesLost, SessionOver, NoSuchSession) as error:
                log.warning("not ours any more, or not all there, it seems: %s", error)
                try:
                    held = await self._hold(self)
                except RedisError as away:
                    await self._wait(away)
                    continue
                if held is None or (held == fence and not isinstance(error, WritesLost)):
                    self._unsent.clear()
                    break
                self._fence, self._written_key = held, None
                continue
            except RedisError as error:
                await self._wait(error)
                continue
            except Exception:
                log.exception("not recorded: %r", stated.entry)
            else:
                self._sent.append(written)
            self._unsent.remove(stated)
            self._away = False
        self._settled.set()

    async def _write(self, stated: _Stated, fence: int) -> _Stated:
        key, entry = f"{fence}-{stated.number}", stated.entry
        if isinstance(entry, Chunk):
            append = partial(self._timeline.append_chunk, self._sid, fence, entry)
        else:
            append = partial(self._timeline.append_fact, self._sid, fence, entry)
        written = await append(key, owner=self._owner, after=self._written_key)
        self._written_key = key
        return replace(stated, id=written)

    async def _wait(self, error: RedisError) -> None:
        log.warning("%d entries wait for the store: %s", len(self._unsent), error)
        self._away = True
        self._settled.set()
        self._forget_old_chunks()
        await asyncio.sleep(AGAIN_SECONDS)

    def _forget_old_chunks(self) -> None:
        """The store would not keep them either."""
        chunks = [each for each in self._unsent if isinstance(each.entry, Chunk)]
        old = {each.number for each in chunks[:-CHUNKS_KEPT]}
        self._unsent = deque(each for each in self._unsent if each.number not in old)
