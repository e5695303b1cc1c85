"""How a session leaves its replica: it ends, pauses until some replica goes on with it, or is given up to another."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from deployments.ending import Ending
from deployments.entries import PauseRefused, SessionEnded, SessionFailed, SessionPaused
from deployments.logs import about
from deployments.media_store import MediaError
from deployments.moving import Mover
from deployments.owned import Owned
from deployments.parts import OnDevice, Parts
from deployments.session import chunk_first_frame
from deployments.snapshot_shelves import SnapshotsAway
from deployments.snapshots import Snapshots

END_SECONDS = 2.0
FLUSH_SECONDS = 2.0
PAUSE_SECONDS = 10.0
log = logging.getLogger(__name__)


class Leaver:
    """`drop` is called when a session has left. `changed` is told of one that was to leave and goes on."""

    def __init__(
        self,
        parts: Parts,
        ending: Ending,
        mover: Mover,
        on_device: OnDevice,
        drop: Callable[[Owned], None],
        changed: Callable[[], None],
    ) -> None:
        self._ending = ending
        self._mover = mover
        self._on_device = on_device
        self._drop = drop
        self._changed = changed
        self._snapshots = Snapshots(parts.media)
        self._recent = parts.recent
        self._leaving: set[asyncio.Task[None]] = set()

    def end(self, owned: Owned, fact: SessionEnded | SessionFailed) -> None:
        """Returns at once. The first reason counts."""
        if owned.over:
            return
        owned.over = True
        with about(owned.sid):
            log.info("session over: %s", fact.reason)
            self._start(self._end(owned, fact))

    def pause(self, owned: Owned) -> None:
        """Returns at once. The session has nothing on the device, or unpublished, and nothing more is begun for it."""
        if owned.leaving:
            return
        owned.leaving = True
        with about(owned.sid):
            self._start(self._pause(owned))

    def give_up(self, owned: Owned) -> None:
        """As `pause`, for a session that cannot go on here and may elsewhere."""
        if owned.leaving:
            return
        owned.leaving = True
        with about(owned.sid):
            self._start(self._mover.give_up(owned))

    async def _end(self, owned: Owned, fact: SessionEnded | SessionFailed) -> None:
        """Who reads the session when its video stops finds the reason, unless the store is away."""
        if owned.recording is not None:
            with suppress(TimeoutError):
                # A video as long as was asked for is kept whole; nobody waits long for one that is broken off.
                async with asyncio.timeout(None if owned.finished or owned.at_end else FLUSH_SECONDS):
                    await owned.recording.flush()
        if owned.unkept and isinstance(fact, SessionEnded):
            fact = SessionFailed(reason=owned.unkept)
        owned.recorder.state(fact)
        await owned.recorder.settle(END_SECONDS)
        self._drop(owned)
        await self._forget_recent(owned.sid, owned.fence)

    async def _pause(self, owned: Owned) -> None:
        reason, path = owned.pausing or "requested", ""
        try:
            async with asyncio.timeout(PAUSE_SECONDS):
                path = await self._put_by(owned)
                if owned.recording is not None:
                    await owned.recording.flush()
        except Exception as error:
            log.warning("the video could not be put by%s", " whole" if path else "", exc_info=True)
            if reason == "requested":
                said = str(error) if isinstance(error, MediaError) else "The video could not be put by in time."
                if path:  # first: the next pause may well keep one of the same name
                    await self._snapshots.forget(path)
                self._refuse(owned, said)
                return
            # It goes on from what there is: its snapshot, or the history, if at all.
        if owned.over:
            return
        owned.over = owned.paused = True
        # What is asked behind this comes too late here.
        sid, fence, recorder, cursor = owned.sid, owned.fence, owned.recorder, owned.cursor
        chunk = owned.next_chunk
        frame = chunk_first_frame(chunk)
        log.info("session paused before frame %d: %s", frame, reason)
        seconds = frame / owned.video.fps
        recorder.state(SessionPaused(chunk=chunk, frame=frame, media_seconds=seconds, reason=reason, snapshot=path))
        await recorder.settle(END_SECONDS)
        self._drop(owned)
        del owned  # and with it all its memory
        await recorder.written()
        await self._ending.if_asked(sid, cursor)
        await self._forget_recent(sid, fence)
        if path:
            await self._snapshots.forget_others(path)

    async def _forget_recent(self, sid: str, fence: int) -> None:
        """Everything is out, and recorded; but somebody else may have the session by now."""
        with suppress(SnapshotsAway):  # it is forgotten after a day
            await self._recent.forget(sid, fence)

    def _refuse(self, owned: Owned, reason: str) -> None:
        if owned.over:
            return
        owned.recorder.state(PauseRefused(reason=f"{reason} The video goes on."))
        owned.pausing, owned.leaving = None, False
        self._changed()

    async def _put_by(self, owned: Owned) -> str:
        """Have stored what the video goes on from; gives the snapshot's name."""
        data = await self._on_device(owned.pack)
        return await self._snapshots.save(owned.sid, owned.fence, owned.next_chunk, data)

    def _start(self, leaving: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(leaving)
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)
