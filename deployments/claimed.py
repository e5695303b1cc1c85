"""A session that a replica has claimed: its video, what an owner before left over of it, and how it becomes owned."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

from deployments.entries import (
    AnyEntry,
    Chunk,
    Fact,
    RecordingFailed,
    SessionCreated,
    SessionFailed,
    SessionMoved,
    SessionResumed,
    SessionStarting,
)
from deployments.fragments import Fragment
from deployments.keeper import Keeper
from deployments.media_store import MediaError
from deployments.owned import Owned
from deployments.parts import OnDevice, Parts, Stream
from deployments.playout import PlayoutClock
from deployments.recorder import Recorder
from deployments.recording import Recording, recorded
from deployments.replaying import Replay, words_of
from deployments.restoring import Restored, begin, restore
from deployments.session import Session, SessionState, chunk_at, chunk_first_frame
from deployments.snapshot_shelves import SnapshotsAway
from deployments.steps import prompt_before, steps_of
from deployments.store import SessionOver
from deployments.thumbnails import Thumbnails
from deployments.video_config import VideoConfig
from longlive.switch import Recache

CARRIED_SECONDS = 10.0
"""A video that has stood still for longer may have had no viewers; and no clocks of two machines differ by so much."""

Cause: TypeAlias = Literal["lost", "handed-over"]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LeftOver:
    """The newest fragments of an owner before, and its newest chunk; of its chunks so many are recorded."""

    fragments: tuple[Fragment, ...] = ()
    recorded: int = 0
    newest: Chunk | None = None

    @property
    def shown_at(self) -> float:
        """When the newest chunk was due, unix time. Infinite where there is none."""
        return (self.newest.at + (self.newest.slack_ms or 0)) / 1000 if self.newest is not None else math.inf

    def due(self, fps: int) -> float:
        """When there is nothing more to show, unix time."""
        return self.shown_at + (self.newest.frames / fps if self.newest is not None else 0)


@dataclass(frozen=True)
class Claim:
    owner: str
    fence: int


async def stream_of(
    parts: Parts, session: Session, entries: Sequence[AnyEntry], claim: Claim, on_device: OnDevice
) -> Restored:
    """The video of a session that was claimed: a new one, or one that goes on after the chunks it has.

    `entries` are its timeline. Raises what the stores and the text encoder do: another attempt may go well. Where none
    will, it states that the session failed, and raises SessionOver.
    """
    if _is_render(session):
        return Restored(await _replay(parts, entries, on_device), session.chunks)
    steps = steps_of(entries)
    prompt = prompt_before(steps, session.chunks)
    if not session.chunks:
        return Restored(await begin(parts, on_device, prompt, session.seed), 0)
    restored = await restore(parts, on_device, session, session.chunks, prompt)
    if restored.chunk != session.chunks and _is_new_fork(session):
        reason = "What it was to go on from is not kept any more. Fork the session again, at a later time."
        await parts.timeline.append_fact(session.id, claim.fence, SessionFailed(reason=reason), owner=claim.owner)
        raise SessionOver(session.id, SessionState.failed)
    if restored.chunk and prompt_before(steps, restored.chunk) != prompt:
        embeddings = await parts.encode_text(prompt)
        await on_device(partial(restored.stream.switch, embeddings, Recache()))
    return restored


async def left_over(parts: Parts, session: Session, fence: int) -> LeftOver:
    """What the owner before may not have handed out, or recorded, of the session that is taken over from it."""
    if not session.status.owned:
        return LeftOver()
    newest = await parts.timeline.newest_chunk(session.id)
    try:
        fragments = await parts.recent.before(session, fence, _video(session).hash)
        kept = await recorded(parts.media, session.id) if session.record else []
    except (SnapshotsAway, MediaError) as error:
        log.warning("what viewers and the recording do not have yet is lost: %s", error)
        return LeftOver(newest=newest)
    return LeftOver(tuple(fragments), kept[-1].chunks.stop if kept else 0, newest)


def _video(session: Session) -> VideoConfig:
    return VideoConfig(width=session.width, height=session.height, fps=session.fps)


def _is_new_fork(session: Session) -> bool:
    parent = session.parent
    return parent is not None and parent.relation == "fork" and session.chunks == chunk_at(parent.frame)


def _is_render(session: Session) -> bool:
    return session.parent is not None and session.parent.relation == "render"


async def _replay(parts: Parts, entries: Sequence[AnyEntry], on_device: OnDevice) -> Stream:
    """A render, which is made from its beginning on however often it was interrupted: else it would be another one."""
    created = entries[0]
    assert isinstance(created, SessionCreated)
    words = {text: await parts.encode_text(text) for text in words_of(created.past)}
    return await on_device(partial(Replay, created.past, created.seed, words, parts.open_stream, parts.restore_stream))


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
    video = _video(session)
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
        again=_is_render(session),
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
