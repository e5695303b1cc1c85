"""What a live session goes on from when its generator dies, and what it can go back to: a snapshot of every chunk.

A snapshot is a head and parts, and a part that several heads of one owner need is stored once. Each owner has parts of
its own: what one that was replaced still writes, or drops, is nothing that the next one relies on.
"""

from __future__ import annotations

import asyncio
import logging
import math
from bisect import insort
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from deployments.snapshot_shelves import Shelf, SnapshotsAway, open_shelf
from deployments.store import Fenced, SessionError
from longlive.errors import SnapshotError

if TYPE_CHECKING:  # who only lists and copies, an ingress, needs no torch
    from longlive.snapshot import Snapshot

NEWEST_KEPT = 4
"""So many are kept whatever the cap: if the newest is damaged, there is an older one."""
_BATCH = 256  # old heads that are looked into with one chunk
_DIGEST_BYTES = 16
log = logging.getLogger(__name__)


class NoSuchSnapshot(SessionError):
    def __init__(self, sid: str, chunk: int) -> None:
        super().__init__(sid, chunk)
        self.sid, self.chunk = sid, chunk

    def __str__(self) -> str:
        return f"Session {self.sid!r} can no longer go back to before chunk {self.chunk}: take a later time."


@dataclass(frozen=True)
class Found:
    """`snapshot` is of before media chunk `chunk`; those of the chunks in `damaged` are newer and cannot be used."""

    chunk: int
    snapshot: Snapshot
    damaged: tuple[int, ...] = ()


class Place(NamedTuple):
    """Of a head: what is stored later sorts later."""

    fence: int
    chunk: int

    @property
    def name(self) -> str:
        return f"head-{self.fence}-{self.chunk}"


class SnapshotHistory:
    """Every call takes bounded time and raises SnapshotsAway."""

    def __init__(self, shelf: Shelf, cap_bytes: int) -> None:
        self._shelf, self._cap_bytes = shelf, cap_bytes

    @property
    def seconds(self) -> float:
        """What it may take to store something."""
        return self._shelf.seconds

    def writer(self, sid: str, fence: int) -> SnapshotWriter:
        """For the owner with this fence, and for one task at a time."""
        return SnapshotWriter(self._shelf, sid, fence, self._cap_bytes)

    async def newest(self, sid: str, at_most: int) -> Found | None:
        """The newest that is intact, of before media chunk `at_most` or an earlier one."""
        damaged: list[int] = []
        for place in reversed(await self._places(sid)):
            if place.chunk > at_most:
                continue
            try:
                return Found(place.chunk, await self._load(sid, place), tuple(damaged))
            except SnapshotError as error:
                log.warning("the snapshot before chunk %d cannot be used: %s", place.chunk, error)
                damaged.append(place.chunk)
        return None

    async def chunks(self, sid: str) -> list[int]:
        """Those before which there is a snapshot, in order."""
        return [place.chunk for place in await self._places(sid)]

    async def copy(self, sid: str, chunk: int, to_sid: str) -> None:
        """Have another session go on from this one's snapshot before `chunk`. Raises NoSuchSnapshot."""
        place, copied = await self._place(sid, chunk), Place(0, chunk)
        (record,) = await self._shelf.read(sid, [place.name])
        try:
            needs, _ = _opened(record)
        except SnapshotError as error:
            raise NoSuchSnapshot(sid, chunk) from error
        names = {_part(place.fence, name): _part(copied.fence, name) for name in needs} | {place.name: copied.name}
        if not await self._shelf.copy(sid, to_sid, names):
            raise NoSuchSnapshot(sid, chunk)

    async def put(self, sid: str, chunk: int, data: bytes) -> None:
        """Have a session that is new go on from a whole snapshot, as bytes, before this media chunk."""
        await self._shelf.change(sid, {Place(0, chunk).name: _without_parts(data)}, ())

    async def forget(self, sid: str) -> None:
        """Repeatable."""
        await self._shelf.forget(sid)

    async def prune(self) -> None:
        """Forget sessions that nobody has written to for a day. Any number may do so at once."""
        await self._shelf.prune()

    async def close(self) -> None:
        await self._shelf.close()

    async def _places(self, sid: str) -> list[Place]:
        return counted(place for name in await self._shelf.sizes(sid) if (place := _place(name)))

    async def _place(self, sid: str, chunk: int) -> Place:
        for place in await self._places(sid):
            if place.chunk == chunk:
                return place
        raise NoSuchSnapshot(sid, chunk)

    async def _load(self, sid: str, place: Place) -> Snapshot:
        """Raises SnapshotError."""
        from longlive.snapshot import Snapshot

        (record,) = await self._shelf.read(sid, [place.name])
        needs, head = _opened(record)
        parts = await self._shelf.read(sid, [_part(place.fence, name) for name in needs])
        known = {name: part for data in parts if data is not None for name, part in Snapshot.unpack_part(data).items()}
        return Snapshot.unpack(head, known)


def open_history(url: str, cap_bytes: int) -> SnapshotHistory:
    """The history in a Redis or at an fsspec URL, with so many bytes for each session. Connects when it is used."""
    return SnapshotHistory(open_shelf(url), cap_bytes)


class SnapshotWriter:
    """Adds one owner's snapshots to a session's history."""

    def __init__(self, shelf: Shelf, sid: str, fence: int, cap_bytes: int) -> None:
        self._shelf, self._sid, self._fence, self._cap_bytes = shelf, sid, fence, cap_bytes
        self._stored: Stored | None = None
        self._lock = asyncio.Lock()

    async def add(self, chunk: int, snapshot: Snapshot) -> None:
        """Returns when the snapshot of before this media chunk is stored. What is too old for the cap is dropped.

        Raises SnapshotsAway within the shelf's `seconds`; the next one that succeeds is stored whole again. Fenced: a
        later owner has stored one.
        """
        async with self._lock:
            # Whatever happens from now on, until it is over nobody knows what is there.
            stored, self._stored = self._stored, None
            try:
                async with asyncio.timeout(self._shelf.seconds):
                    self._stored = await self._add(stored or await self._look(), chunk, snapshot)
            except TimeoutError as error:
                raise SnapshotsAway(f"no answer in {self._shelf.seconds:g} seconds") from error

    async def _add(self, stored: Stored, chunk: int, snapshot: Snapshot) -> Stored | None:
        if await self._store(stored, chunk, snapshot):
            return await self._learn(stored)
        # The shelf was emptied, or another owner writes to it: what was thought to be there may not be.
        stored = await self._look()
        return stored if await self._store(stored, chunk, snapshot) else None

    async def _look(self) -> Stored:
        sizes = await self._shelf.sizes(self._sid)
        latest = max((place.fence for name in sizes if (place := _place(name))), default=self._fence)
        if latest > self._fence:
            raise Fenced(self._sid, self._fence)
        return Stored(sizes)

    async def _store(self, stored: Stored, chunk: int, snapshot: Snapshot) -> bool:
        """Whether there is what should be, afterwards."""
        place = Place(self._fence, chunk)
        needs = {_part(self._fence, name): name for name in snapshot.parts}
        add = {part: snapshot.pack_part(name) for part, name in needs.items() if part not in stored.sizes}
        add[place.name] = _record(snapshot)  # behind its parts
        for name, data in add.items():
            stored.put(name, len(data))
        stored.learn(place, frozenset(needs))
        count = await self._shelf.change(self._sid, add, stored.drop(self._cap_bytes))
        return count is None or count == len(stored.sizes)

    async def _learn(self, stored: Stored) -> Stored:
        """Look into earlier owners' heads, once there is too much: only then one must know which parts they need."""
        if stored.bytes <= self._cap_bytes or not stored.unknown:
            return stored
        places = sorted(stored.unknown)[:_BATCH]
        records = await self._shelf.read(self._sid, [place.name for place in places])
        for place, record in zip(places, records, strict=True):
            needs: list[str] = []
            with suppress(SnapshotError):
                needs, _ = _opened(record)
            stored.learn(place, frozenset(_part(place.fence, name) for name in needs))
        return stored


class Stored:
    """What a session has on its shelf, and what of it can go."""

    def __init__(self, sizes: dict[str, int]) -> None:
        self.sizes: dict[str, int] = {}
        self.bytes = 0
        self.unknown: set[Place] = set()
        """Heads of which it is not known what they need."""
        self._heads: list[Place] = []  # in order
        self._needs: dict[Place, frozenset[str]] = {}
        self._uses: Counter[str] = Counter()
        self._unused: set[str] = set()
        for name, size in sizes.items():
            self.put(name, size)

    def put(self, name: str, size: int) -> None:
        self.bytes += size - self.sizes.get(name, 0)
        if name not in self.sizes:
            if place := _place(name):
                insort(self._heads, place)
                self.unknown.add(place)
            else:
                self._unused.add(name)
        self.sizes[name] = size

    def learn(self, place: Place, needs: frozenset[str]) -> None:
        """What a head needs, be it there or not."""
        earlier = self._needs.get(place, frozenset())
        self._needs[place] = needs
        self.unknown.discard(place)
        for part in needs - earlier:
            self._uses[part] += 1
            self._unused.discard(part)
        self._release(earlier - needs)

    def drop(self, cap_bytes: int) -> list[str]:
        """The oldest heads, and parts that no head needs, until the cap is kept: they are taken to be gone then."""
        gone: list[str] = []
        while self.bytes > cap_bytes and not self.unknown:
            if not self._unused:
                if len(self._heads) <= NEWEST_KEPT:
                    break
                oldest = self._heads.pop(0)
                self._release(self._needs.pop(oldest))
                gone.append(oldest.name)
                self.bytes -= self.sizes.pop(oldest.name)
            for part in self._unused:
                self.bytes -= self.sizes.pop(part)
                gone.append(part)
            self._unused.clear()
        return gone

    def _release(self, parts: Iterable[str]) -> None:
        for part in parts:
            self._uses[part] -= 1
            if not self._uses[part]:
                del self._uses[part]
                if part in self.sizes:
                    self._unused.add(part)


def counted(places: Iterable[Place]) -> list[Place]:
    """In order of chunks, without those of an owner who had been replaced: at or behind the next one's first."""
    kept: list[Place] = []
    end: float = math.inf
    for _, group in groupby(sorted(places, reverse=True), key=lambda place: place.fence):
        own = list(group)
        kept += (place for place in own if place.chunk < end)
        end = min(end, own[-1].chunk)
    return kept[::-1]


def _part(fence: int, name: str) -> str:
    return f"part-{fence}-{name}"


def _place(name: str) -> Place | None:
    """Of a head's name; None for a part's."""
    kind, _, rest = name.partition("-")
    if kind != "head":
        return None
    fence, _, chunk = rest.partition("-")
    return Place(int(fence), int(chunk))


def _record(snapshot: Snapshot) -> bytes:
    """A head, behind the names of its parts: these can be read without torch."""
    names = b"".join(bytes.fromhex(name) for name in sorted(snapshot.parts))
    return len(snapshot.parts).to_bytes(2) + names + snapshot.pack(known=snapshot.parts)


def _without_parts(data: bytes) -> bytes:
    """A whole snapshot as a head that needs no parts."""
    return (0).to_bytes(2) + data


def _opened(record: bytes | None) -> tuple[list[str], bytes]:
    """Names of parts, and the head. Raises SnapshotError; a wrong name shows when its part is looked for."""
    if record is None:
        raise SnapshotError("the snapshot is gone; take an earlier one")
    size = _DIGEST_BYTES
    start = 2 + size * int.from_bytes(record[:2])
    if len(record) <= start:
        raise SnapshotError("the snapshot is damaged (it is cut); take an earlier one")
    return [record[at : at + size].hex() for at in range(2, start, size)], record[start:]
