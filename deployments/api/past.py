"""How far back a session can go: the chunks that it can still go on from."""

from __future__ import annotations

import math

from deployments.api.models import AtFrame, AtSeconds
from deployments.api.refusals import Forgotten, InTheFuture
from deployments.session import Session, chunk_first_frame, chunk_holding
from deployments.snapshot_history import SnapshotHistory
from deployments.snapshots import chunk_of

_ROUNDING = 1e-6


def frame_at(at: AtSeconds | AtFrame, fps: int) -> int:
    """The frame that is shown at a time."""
    return at.frame if isinstance(at, AtFrame) else math.floor(at.seconds * fps + _ROUNDING)


async def chunk_to_go_on_from(
    history: SnapshotHistory, session: Session, frame: int | None, *, put_by: bool = False
) -> int:
    """The chunk that holds `frame` (None: the next one to come), or the one before it that is kept; with `put_by` also
    by a pause, which outlives the history.

    0: its very first, which can be made anew at any time. Raises InTheFuture, Forgotten, SnapshotsAway.
    """
    if frame is not None and frame >= session.frames:
        raise InTheFuture(session.frames, session.media_seconds)
    wanted = session.chunks if frame is None else chunk_holding(frame)
    if not wanted:
        return 0
    known = {*await history.chunks(session.id), *([chunk_of(session.snapshot)] if put_by and session.snapshot else [])}
    kept = sorted(chunk for chunk in known if 0 < chunk <= session.chunks)
    if found := [chunk for chunk in kept if chunk <= wanted]:
        return found[-1]
    raise Forgotten(chunk_first_frame(kept[0]) / session.fps if kept else None)
