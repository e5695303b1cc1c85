"""How a replica comes to own a session: it reads what was asked, and begins the video or goes on with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from deployments.admission import Demand
from deployments.entries import RecordingFailed, SessionFailed, SessionResumed, SessionStarting
from deployments.media_store import NoSuchMedia
from deployments.owned import Owned
from deployments.parts import OnDevice, Parts, Stream
from deployments.playout import PlayoutClock
from deployments.recorder import Recorder
from deployments.recording import Recording
from deployments.session import Session, SessionState
from deployments.snapshots import Snapshots
from deployments.store import SessionOver
from deployments.thumbnails import Thumbnails
from deployments.video_config import VideoConfig
from longlive.errors import SnapshotError


@dataclass
class Taking:
    """A session on its way to a replica: it has a slot, and once it has a `fence`, a lease that is to be renewed.

    `queued`: it waited for its turn. `abandoned`: who asked for it to be taken has left.
    """

    demand: Demand
    queued: bool = False
    abandoned: bool = False
    fence: int | None = None


async def stream_of(parts: Parts, session: Session, fence: int, on_device: OnDevice) -> Stream:
    """The video of a session that was claimed: a new one, or one that goes on where it was paused.

    Raises what the stores and the text encoder do: another attempt may go well. Where none will, it states that the
    session failed, and raises SessionOver.
    """
    if session.status is not SessionState.paused:
        embeddings = await parts.encode_text(session.prompt)
        return await on_device(partial(parts.open_stream, embeddings, session.seed))
    try:
        data = await Snapshots(parts.media).load(session.snapshot or "")
        return await on_device(partial(parts.restore_stream, data))
    except (SnapshotError, NoSuchMedia) as error:
        reason = f"The paused video cannot go on: {error}. Start a new session."
        await parts.timeline.append_fact(session.id, fence, SessionFailed(reason=reason))
        raise SessionOver(session.id, SessionState.failed) from error


def own(
    parts: Parts,
    session: Session,
    fence: int,
    stream: Stream,
    lost: Callable[[str, int], None],
    unkept: Callable[[str, int, str], None],
) -> Owned:
    """The session in its owner's hands, its first fact stated. `lost` hears, with id and fence, that it is no more.

    `unkept` hears with them, and a reason for people, that a render is not recorded any more.
    """
    now = parts.clock()
    video = VideoConfig(width=session.width, height=session.height, fps=session.fps)
    # Nothing here refers back to what is owned: a session that is dropped gives its memory back at once.
    recorder = Recorder(parts.timeline, session.id, fence, partial(lost, session.id, fence))
    resumed = session.status is SessionState.paused
    live, recording = session.pace == "live", None

    def failed(reason: str) -> None:
        recorder.state(RecordingFailed(reason=reason))
        if not live:
            unkept(session.id, fence, reason)

    if session.record:
        recording = Recording(
            parts.media,
            session.id,
            partial(parts.init_segment, video),
            failed,
        )
    owned = Owned(
        session.id,
        fence,
        stream,
        PlayoutClock(video.fps, now),
        recorder,
        video,
        asked=now,
        live=live,
        resumed=resumed,
        max_seconds=session.max_seconds,
        recording=recording,
        thumbnails=Thumbnails(parts.media, session.id, parts.thumbnail),
    )
    if resumed:
        frame = stream.frame
        recorder.state(SessionResumed(chunk=stream.chunk, frame=frame, media_seconds=frame / video.fps))
    else:
        recorder.state(SessionStarting())
    return owned
