"""A session's video as it is kept: an init segment, and segments of up to four chunks, in the media store."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from deployments.fragments import Fragment
from deployments.media_store import MediaError, MediaStore, StoreFull, StoreUnavailable

SEGMENT_CHUNKS = 4
MOST_PENDING_BYTES = 32 * 1024 * 1024
PATIENCE_SECONDS = 300.0
AGAIN_SECONDS = 0.5
MOST_AGAIN_SECONDS = 15.0
_SEGMENT = re.compile(r"(\d{9,})-(\d+)\.m4s")
T = TypeVar("T")
log = logging.getLogger(__name__)


def init_path(sid: str) -> str:
    return f"{sid}/init.mp4"


@dataclass(frozen=True, order=True)
class Segment:
    """`count` chunks in a row, each a fragment (moof + mdat), in one object."""

    first_chunk: int
    count: int

    @property
    def chunks(self) -> range:
        return range(self.first_chunk, self.first_chunk + self.count)

    def path(self, sid: str) -> str:
        return f"{sid}/recording/{self.first_chunk:09d}-{self.count}.m4s"


async def recorded(store: MediaStore, sid: str) -> list[Segment]:
    """What is kept of a session's video, in order; the init segment and these make a playable file."""
    names = (_SEGMENT.fullmatch(name) for name in await store.names(f"{sid}/recording"))
    return sorted(Segment(int(name[1]), int(name[2])) for name in names if name)


class Recording:
    """Writes one session's fragments, in order and in the background, for its owner. For one event loop.

    `init` gives the init segment; it is asked for once, and only for the first segment of a session. `failed` is called
    once, with a text for people, when the store takes no more: it is full, or away until more than `most_pending` waits
    for it, or for PATIENCE_SECONDS. What is stored stays, what follows is not recorded, and nobody else need care. A
    killed owner loses the open segment and what the store had not taken.

    The owner calls `add` for each fragment that it publishes, `flush` before it states that the session is paused or
    over, and, for a session made faster than real time, `room` before it makes a chunk. The owner of a resumed session
    has a new one, which goes on behind what is stored.
    """

    def __init__(
        self,
        store: MediaStore,
        sid: str,
        init: Callable[[], Awaitable[bytes]],
        failed: Callable[[str], None],
        most_pending: int = MOST_PENDING_BYTES,
    ) -> None:
        self._store = store
        self._sid = sid
        self._init = init
        self._failed = failed
        self._most_pending = most_pending
        self._open: list[Fragment] = []
        self._pending: deque[tuple[Segment, bytes]] = deque()
        self._begun = False
        self._over = False
        self._moved = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None

    @property
    def pending_bytes(self) -> int:
        """Closed segments that the store has not taken yet; more than `most_pending` fail a recording."""
        return sum(len(data) for _, data in self._pending)

    def add(self, fragment: Fragment) -> None:
        """Keep a fragment. Never waits."""
        if self._over:
            return
        if self._open and fragment.chunk != self._open[-1].chunk + 1:
            self._close_segment()
        self._open.append(fragment)
        if (fragment.chunk + 1) % SEGMENT_CHUNKS == 0:
            self._close_segment()
        if (pending := self.pending_bytes) > self._most_pending:
            self._fail(StoreUnavailable(f"it is too slow: {pending // 1024} KiB of video wait for it"))

    async def flush(self) -> None:
        """Returns when all that was added is stored, or the recording has failed."""
        self._close_segment()
        while self._pending:
            await self._moved.wait()

    async def room(self) -> None:
        """Returns when the store has caught up so far that a few more chunks cannot fail the recording."""
        while self._pending and self.pending_bytes > self._most_pending // 2:
            await self._moved.wait()

    def _close_segment(self) -> None:
        if not self._open:
            return
        segment = Segment(self._open[0].chunk, len(self._open))
        self._pending.append((segment, b"".join(fragment.data for fragment in self._open)))
        self._open.clear()
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_all())

    async def _write_all(self) -> None:
        try:
            await self._begin()
            while self._pending:
                segment, data = self._pending[0]
                await self._patiently(partial(self._store.write, segment.path(self._sid), data))
                if self._pending:  # else it failed meanwhile
                    self._pending.popleft()
                self._wake()
        except MediaError as error:
            self._fail(error)
        except Exception:
            log.exception("recording failed")
            self._fail(StoreUnavailable("the log says why"))

    async def _begin(self) -> None:
        path = init_path(self._sid)
        if not self._begun and not await self._patiently(lambda: self._store.exists(path)):
            data = await self._init()
            await self._patiently(lambda: self._store.write(path, data))
        self._begun = True

    async def _patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """A store that is away comes back: what it is to take waits here, and what comes after it in `_pending`."""
        clock = asyncio.get_running_loop().time
        began, again = clock(), AGAIN_SECONDS
        while True:
            try:
                return await work()
            except StoreFull:
                raise
            except MediaError as error:
                if self._over or clock() - began >= PATIENCE_SECONDS:
                    raise
                log.warning("not stored yet: %s", error)
            await asyncio.sleep(again)
            again = min(2 * again, MOST_AGAIN_SECONDS)

    def _fail(self, error: MediaError) -> None:
        if self._over:
            return
        self._over = True
        self._open.clear()
        self._pending.clear()
        self._wake()
        log.warning("the recording stops: %s", error)
        self._failed(f"The video is not recorded any more. {error}")

    def _wake(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()
