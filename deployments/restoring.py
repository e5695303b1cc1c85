"""How a video goes on that was made elsewhere, or is to be as it was: rebuilt from a snapshot, or begun anew."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

from deployments.media_store import NoSuchMedia
from deployments.parts import Found, OnDevice, Parts, Stream
from deployments.session import Session
from deployments.snapshots import Snapshots, chunk_of
from longlive.errors import SnapshotError
from longlive.snapshot import Snapshot

TRIES = 5
AGAIN_SECONDS = 0.5
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Restored:
    """A video as it was before media chunk `chunk`; 0: it begins anew, and the first chunk of a video that does is not
    among those it still makes, where others were made before. `damaged` are newer chunks that it could not be restored
    before."""

    stream: Stream
    chunk: int
    damaged: tuple[int, ...] = ()


async def begin(parts: Parts, on_device: OnDevice, prompt: str, seed: int, *, again: bool = False) -> Stream:
    """A new video. `again`: in place of one that has chunks, which all but the first of a video have as many frames."""
    stream = await on_device(partial(parts.open_stream, await parts.encode_text(prompt), seed))
    if again:
        await on_device(stream.next_frames)
    return stream


async def restore(parts: Parts, on_device: OnDevice, session: Session, before: int, prompt: str) -> Restored:
    """The session's video as it was before media chunk `before`, or else as late before that as is known.

    Where nothing is, it begins anew under `prompt`. Raises what the stores and the text encoder do.
    """
    damaged: list[int] = []
    async for chunk, snapshot in _newest_first(parts, session, before):
        try:
            if snapshot is not None:
                stream = await on_device(partial(parts.restore_stream, _seeded(session, snapshot)))
                return Restored(stream, chunk, tuple(damaged))
        except SnapshotError as error:
            log.warning("not restored before chunk %d: %s", chunk, error)
        damaged.append(chunk)
    log.warning("the video begins anew: no snapshot is left")
    return Restored(await begin(parts, on_device, prompt, session.seed, again=True), 0, tuple(damaged))


def _seeded(session: Session, snapshot: Snapshot) -> Snapshot:
    """A fork goes on from what its parent was with a seed of its own; a render repeats every seed of its original."""
    render = session.parent is not None and session.parent.relation == "render"
    return snapshot if render else snapshot.fork(session.seed)


async def _newest_first(parts: Parts, session: Session, at_most: int) -> AsyncIterator[tuple[int, Snapshot | None]]:
    """What a session can go on from, and before which chunk; None: what was kept for that chunk is damaged.

    A pause keeps its own in the media store, all else is in the history.
    """
    kept, saved = session.snapshot or "", -1
    if kept and chunk_of(kept) <= at_most:
        saved = chunk_of(kept)
    while True:
        found = await _found(parts, session.id, at_most) if saved < at_most else None
        for chunk in found.damaged if found is not None else ():
            yield chunk, None
        if found is not None and found.chunk > saved:
            yield found.chunk, found.snapshot
            at_most = found.chunk - 1
        elif saved >= 0:
            yield saved, await _load(parts, kept)
            at_most, saved = saved, -1
        else:
            return


async def _load(parts: Parts, path: str) -> Snapshot | None:
    try:
        return Snapshot.unpack(await Snapshots(parts.media).load(path))
    except (NoSuchMedia, SnapshotError) as error:
        log.warning("the snapshot of the pause is of no use: %s", error)
        return None


async def _found(parts: Parts, sid: str, at_most: int) -> Found | None:
    """A history that is away for longer than a few seconds is as good as none: somebody waits for the video."""
    for _ in range(TRIES):
        try:
            return await parts.history.newest(sid, at_most)
        except Exception as error:
            log.warning("the history of snapshots does not answer: %s", error)
        await asyncio.sleep(AGAIN_SECONDS)
    return None
