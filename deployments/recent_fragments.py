"""The newest fragments of live sessions, for whoever goes on with one: viewers and the recording miss none of them.

An owner that dies has counted a chunk that no viewer may have got yet, and has some that are not recorded yet.
"""

from __future__ import annotations

import re

from deployments.fragments import RING_SIZE, Fragment
from deployments.session import Session, chunk_first_frame, chunk_frames
from deployments.snapshot_shelves import Shelf

_NAME = re.compile(r"(\d+)-(\d+)")


class RecentFragments:
    """Every call takes bounded time and raises SnapshotsAway."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    async def add(self, fragment: Fragment) -> None:
        """Keep an owner's newest fragment, and no more than the ring does."""
        old = fragment.chunk - RING_SIZE
        drop = [_name(old, fragment.fence)] if old >= 0 else []
        await self._shelf.change(_place(fragment.sid), {_name(fragment.chunk, fragment.fence): fragment.data}, drop)

    async def before(self, session: Session, fence: int, config_hash: str) -> list[Fragment]:
        """The last ones of the chunks that the session has, without a gap, in order, as those of an owner with this
        fence."""
        names = (_NAME.fullmatch(name) for name in await self._shelf.sizes(_place(session.id)))
        newest: dict[int, int] = {}
        for chunk, by in sorted((int(name[1]), int(name[2])) for name in names if name):
            newest[chunk] = by
        chunks: list[int] = []
        while (chunk := session.chunks - 1 - len(chunks)) in newest and len(chunks) < RING_SIZE:
            chunks.insert(0, chunk)
        datas = await self._shelf.read(_place(session.id), [_name(chunk, newest[chunk]) for chunk in chunks])
        return [
            Fragment(session.id, chunk, fence, chunk_first_frame(chunk), chunk_frames(chunk), config_hash, data)
            for chunk, data in zip(chunks, datas, strict=True)
            if data is not None
        ]

    async def forget(self, sid: str, fence: int) -> None:
        """All of owners up to this fence. Repeatable."""
        names = (_NAME.fullmatch(name) for name in await self._shelf.sizes(_place(sid)))
        await self._shelf.change(_place(sid), {}, [name[0] for name in names if name and int(name[2]) <= fence])

    async def close(self) -> None:
        await self._shelf.close()


def _place(sid: str) -> str:
    return f"{sid}-fragments"


def _name(chunk: int, fence: int) -> str:
    return f"{chunk}-{fence}"
