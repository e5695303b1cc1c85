"""A fragment, and the ring of a session's last ones from which viewers are served at their own speed."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

KEPT = 32
"""Fragments of a session that can be had, from its owner and from every ingress: what has left an HLS playlist of
twenty can be had for half as long again."""
RING_SIZE = 8
"""The furthest behind that a reader may stay."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """One encoded chunk (moof + mdat) of `frames` pixel frames, and whose it is."""

    sid: str
    chunk: int
    fence: int
    first_frame: int
    frames: int
    config_hash: str
    data: bytes


class FragmentRing:
    """The last fragments of one session. Memory is bounded however slow a reader is: it skips, the ring does not wait.

    For one event loop. A fragment of an older owner, or not after the newest, is dropped: nobody repaints the past. So
    is one of another video configuration: its readers have the init segment of the first.
    """

    def __init__(self, size: int = KEPT) -> None:
        self._kept: deque[Fragment] = deque(maxlen=size)
        self._changed = asyncio.Event()
        self._closed = False

    @property
    def newest(self) -> Fragment | None:
        return self._kept[-1] if self._kept else None

    @property
    def kept(self) -> tuple[Fragment, ...]:
        """What can still be had, oldest first."""
        return tuple(self._kept)

    @property
    def closed(self) -> bool:
        return self._closed

    def publish(self, fragment: Fragment) -> bool:
        """Keep a fragment and wake the readers; False if it was dropped."""
        newest = self.newest
        stale = newest is not None and (
            fragment.fence < newest.fence
            or fragment.chunk <= newest.chunk
            or fragment.config_hash != newest.config_hash
        )
        if self._closed or stale:
            return False
        self._kept.append(fragment)
        self._wake()
        return True

    def close(self) -> None:
        """No fragment will follow. Readers still get what is kept."""
        self._closed = True
        self._wake()

    def after(self, chunk: int) -> tuple[Fragment, ...]:
        """What is kept above `chunk`, oldest first."""
        return tuple(fragment for fragment in self._kept if fragment.chunk > chunk)

    async def next_after(self, chunk: int, most_behind: int = 1) -> Fragment | None:
        """The next fragment above `chunk`, waiting for it if need be; None when there will be none.

        A reader that is more than `most_behind` fragments behind gets the newest one instead.
        """
        if not await self.reach(chunk + 1):
            return None
        behind = self.after(chunk)
        return behind[0] if len(behind) <= most_behind else behind[-1]

    async def reach(self, chunk: int) -> bool:
        """Wait until fragment `chunk` or a newer one is here; False when there will be none."""
        while (newest := self.newest) is None or newest.chunk < chunk:
            if self._closed:
                return False
            await self._changed.wait()
        return True

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
