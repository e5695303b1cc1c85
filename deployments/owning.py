"""How a session that was claimed becomes owned: what its owner keeps of it, its clock, and its first fact."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial

from deployments.claimed import Cause, Claim, LeftOver, is_render, video_of
from deployments.entries import Fact, RecordingFailed, SessionMoved, SessionResumed, SessionStarting
from deployments.keeper import Keeper
from deployments.owned import Owned
from deployments.parts import Parts
from deployments.playout import PlayoutClock
from deployments.recorder import Recorder
from deployments.recording import Recording
from deployments.restoring import Restored
from deployments.session import Session, SessionState, chunk_first_frame
from deployments.thumbnails import Thumbnails
from deployments.video_config import VideoConfig

CARRIED_SECONDS = 10.0
"""A video that has stood still for longer may have had no viewers; and no clocks of two machines differ by so much."""


def own(
    parts: Parts,
    session: Session,
    claim: Claim,
    restored: Restored,
    left: LeftOver,
    cause: Cause,
    hold: Callable[[str, Recorder], Awaitable[int | None]],
    unkept: Callable[[str, Recorder, str], None],
) -> Owned:
    """The session in its owner's hands, its first fact stated.

    `cause` is why it is taken over, if it is. `hold` is asked, where the store says that it is another's, for the fence
    by which it is ours; None: it is not. `unkept` hears, with a reason for people, that a render is not recorded. Both
    are told who asks, for the session may be ours once more.
    """
    now, fence = parts.clock(), claim.fence
    video = video_of(session)
    # Nothing here refers back to what is owned: a session that is dropped gives its memory back at once.
    recorder = Recorder(parts.timeline, session.id, claim.owner, fence, partial(hold, session.id))
    live, recording = session.pace == "live", None

    def failed(reason: str) -> None:
        recorder.state(RecordingFailed(reason=reason))
        if not live:
            unkept(session.id, recorder, reason)

    if session.record:
        recording = Recording(
            parts.media,
            session.id,
            partial(parts.init_segment, video),
            failed,
        )
    recorder.state(_first_fact(session, restored, cause))
    owned = Owned(
        session.id,
        fence,
        restored.stream,
        _clock(video, now, left),
        recorder,
        Keeper(parts.history.seconds),
        parts.history.writer(session.id, fence),
        video,
        session.chunks,
        asked=now,
        live=live,
        starting=session.status in (SessionState.queued, SessionState.starting),
        resumed=session.status is SessionState.paused,
        moved=session.status is SessionState.live,
        max_seconds=session.max_seconds,
        again=is_render(session),
        recording=recording,
        thumbnails=Thumbnails(parts.media, session.id, parts.thumbnail, session.first_chunk),
    )
    for fragment in left.fragments:
        owned.ring.publish(fragment)
        if recording is not None and fragment.chunk >= left.recorded:
            recording.add(fragment)
    return owned


def _clock(video: VideoConfig, now: float, left: LeftOver) -> PlayoutClock:
    """One that goes on as that of the owner before, by which its newest chunk was due."""
    clock = PlayoutClock(video.fps, now)
    ago = time.time() - left.shown_at
    if left.newest is not None and abs(ago) < CARRIED_SECONDS:
        clock.go_on(left.newest.first_frame, now - ago)
    return clock


def _first_fact(session: Session, restored: Restored, cause: Cause) -> Fact:
    chunk = session.chunks
    frame = chunk_first_frame(chunk)
    seconds = frame / session.fps
    as_of = None if restored.chunk == chunk else restored.chunk
    match session.status:
        case SessionState.queued:
            return SessionStarting()
        case SessionState.paused:
            return SessionResumed(chunk=chunk, frame=frame, media_seconds=seconds, restored_chunk=as_of)
        case _:
            return SessionMoved(
                chunk=chunk,
                frame=frame,
                media_seconds=seconds,
                restored_chunk=as_of,
                cause=cause,
                damaged=restored.damaged,
            )
