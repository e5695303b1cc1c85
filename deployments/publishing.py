"""From the device to the viewers: chunks are encoded while the device goes on, and handed out in order."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable

from deployments.entries import SessionFailed, SessionLive, Stalled
from deployments.fragments import Fragment
from deployments.owned import Made, Owned
from deployments.parts import Parts, Times

log = logging.getLogger(__name__)


class Publisher:
    """`end` ends a session, `changed` is told that one has something new to do. Both return at once."""

    def __init__(
        self, parts: Parts, times: Times, end: Callable[[Owned, SessionFailed], None], changed: Callable[[], None]
    ) -> None:
        self._parts = parts
        self._times = times
        self._end = end
        self._changed = changed

    def publish(self, owned: Owned, made: Made) -> None:
        """Have a chunk encoded, and handed out after those before it; not one that others have handed out."""
        if made.chunk < owned.first_chunk:
            return
        owned.unpublished += 1
        chunk, snapshot = made.chunk + 1, made.snapshot  # what waits to be stored does not hold the frames
        owned.keeper.add(chunk, lambda: owned.writer.add(chunk, snapshot))
        owned.publishing = asyncio.create_task(self._publish(owned, made, owned.publishing))

    async def _publish(self, owned: Owned, made: Made, before: asyncio.Task[None] | None) -> None:
        try:
            data = await self._parts.encode_video(owned.video, made.frames, made.chunk, made.first_frame)
        except Exception:
            log.exception("chunk %d was not encoded", made.chunk)
            self._end(owned, SessionFailed(reason="The video could not be encoded; the log says why."))
        else:
            frames, video = len(made.frames), owned.video.hash
            fragment = Fragment(owned.sid, made.chunk, owned.fence, made.first_frame, frames, video, data)
            if before is not None:
                await before
            owned.keeper.add(made.chunk + 1, lambda: self._parts.recent.add(fragment))
            await owned.keeper.stored(made.chunk + 1)  # nobody has seen what could not go on elsewhere
            if not owned.over:
                await self._hand_out(owned, made, fragment)
        finally:
            owned.unpublished -= 1
            self._changed()

    async def _hand_out(self, owned: Owned, made: Made, fragment: Fragment) -> None:
        self._state(owned, made)
        # The history first: a viewer holds no fragment that the session does not count, unless the store is away.
        await owned.recorder.settle()
        if owned.left.is_set():  # it is another's
            return
        owned.ring.publish(fragment)
        if owned.thumbnails is not None:
            owned.thumbnails.add(made.chunk, made.frames, prompt_changed=made.prompt is not None)
        if owned.recording is not None:
            owned.recording.add(fragment)
            if not owned.live:
                await owned.recording.room()  # a render waits for its store, and loses nothing

    def _state(self, owned: Owned, made: Made) -> None:
        now, playout, recorder = self._parts.clock(), owned.playout, owned.recorder
        self._times.delivery.observe(now - made.at)
        gap, slack, late = 0.0, None, 0.0
        if owned.live:
            due = playout.due(made.first_frame, now)
            slack = max(0.0, due - now) if due < math.inf else None
            late = _late(owned, made, now)
            gap = playout.publish(made.first_frame, now)
            if gap < 1 / owned.video.fps:  # nobody sees less than a frame
                gap = 0.0
        applied = made.applied(owned.video.fps, late)
        if applied is not None and applied.prompt_id != owned.told_applied:
            # Before its chunk counts: whoever takes over from between the two makes that chunk, and knows with which.
            recorder.state(applied)
        recorder.state(made.record(gap, slack))
        if owned.starting:
            owned.starting = False
            recorder.state(SessionLive())
        if gap and not owned.stalled:  # every chunk counts its own; the timeline has one entry for a run of them
            recorder.state(Stalled(chunk=made.chunk, gap_ms=math.ceil(gap * 1000)))
        owned.stalled = gap > 0


def _late(owned: Owned, made: Made, now: float) -> float:
    """Seconds since the frame was due that the chunk's prompt was asked for."""
    if made.prompt is None or made.prompt.asked.at_frame is None:
        return 0.0
    return max(0.0, now - owned.playout.due(made.prompt.asked.at_frame, now))
