"""The owner of sessions: makes their chunks in time on one device, applies their prompts, publishes their fragments."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray
from redis.exceptions import RedisError
from torch import Tensor

from deployments import admission
from deployments.commands import CommandReader
from deployments.entries import SessionEnded, SessionFailed, SessionLive, SessionStarting, Stalled
from deployments.fragments import Fragment
from deployments.leases import RENEW_SECONDS, Leases
from deployments.logs import about
from deployments.owned import Limits, Made, Owned, Stream, Times
from deployments.placement import Refusal
from deployments.playout import PlayoutClock
from deployments.recorder import Recorder
from deployments.scheduler import Estimate, Start, Wait, decide
from deployments.session import Session, chunk_frames
from deployments.store import Fenced, NoSuchSession, SessionOver
from deployments.timeline import KEEP_SECONDS, Timeline
from deployments.video_config import VideoConfig

FIRST_DELIVERY_SECONDS = 0.05
END_SECONDS = 2.0
P = ParamSpec("P")
T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """What a generator works with. `encode_text` and `encode_video` ask other deployments: they try again themselves,
    and answer or raise in bounded time."""

    timeline: Timeline
    leases: Leases
    encode_text: Callable[[str], Awaitable[Tensor]]
    encode_video: Callable[[VideoConfig, NDArray[np.uint8], int, int], Awaitable[bytes]]
    open_stream: Callable[[Tensor, int], Stream]
    clock: Callable[[], float] = time.monotonic


class Generator:
    """One replica: one device, one thread that drives it; the event loop never waits for it.

    `name` is the replica's id. `video` is what the model makes; `chunk_seconds` the measured time of a chunk.
    """

    def __init__(
        self, name: str, model: str, video: VideoConfig, parts: Parts, limits: Limits, chunk_seconds: float
    ) -> None:
        self._name = name
        self._model = model
        self._video = video
        self._parts = parts
        self._limits = limits
        # A switch computes the window anew, without the steps of sampling: a chunk's time is a safe first guess.
        self._times = Times(Estimate(chunk_seconds), Estimate(chunk_seconds), Estimate(FIRST_DELIVERY_SECONDS))
        self._owned: dict[str, Owned] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._opening = 0
        self._closed = False
        self._wake = asyncio.Event()
        self._device = ThreadPoolExecutor(1, "device")

    @property
    def sessions(self) -> int:
        """Slots taken."""
        return len(self._owned) + self._opening

    @property
    def slots(self) -> int:
        media_seconds = chunk_frames(1) / self._video.fps
        slots = self._limits.slots or admission.slots(media_seconds, self._times.chunk.seconds)
        return min(slots, self._limits.memory_slots or slots)

    async def run(self) -> None:
        """Serve the sessions until cancelled."""
        parts = self._parts
        commands = CommandReader(self._name, parts.timeline, parts.encode_text, self._owned, self._end, self._wake.set)
        try:
            async with asyncio.TaskGroup() as tasks:
                for loop in (self._render_all(), commands.run(), self._keep_all()):
                    tasks.create_task(loop)
        finally:
            self._device.shutdown(wait=False, cancel_futures=True)

    async def take(self, sid: str) -> Session | Refusal:
        """Become the owner of a session that nobody holds, and begin it; or say when to ask again.

        Raises NoSuchSession, SessionOver, LeaseHeld, and what store and text encoder do: then it stays as it was.
        """
        if self._closed or self.sessions >= self.slots:
            return self._refusal()
        self._opening += 1
        try:
            with about(sid):
                return await self._take(sid)
        finally:
            self._opening -= 1

    async def watch(self, sid: str) -> AsyncGenerator[tuple[Fragment, ...], None]:
        """All kept fragments at once, then those that come, until the owner drops it or `watch_seconds` have passed.

        The session's clock runs while somebody is in here.
        """
        owned = self._owned.get(sid)
        if owned is None:
            return
        owned.playout.enter(self._parts.clock())
        self._wake.set()
        try:
            until = asyncio.get_running_loop().time() + self._limits.watch_seconds
            chunk = -1
            while True:
                async with asyncio.timeout_at(until):
                    if not await owned.ring.reach(chunk + 1):
                        return
                fresh = owned.ring.after(chunk)
                chunk = fresh[-1].chunk
                yield fresh
        except TimeoutError:
            return
        finally:
            owned.playout.leave(self._parts.clock())
            self._wake.set()

    async def close(self) -> None:
        """End every session and take no more, because this replica stops."""
        self._closed = True
        for owned in self._all():
            self._end(owned, SessionEnded(reason="stopped"))
        await asyncio.gather(*self._ending)

    def _all(self) -> list[Owned]:
        return list(self._owned.values())

    def _refusal(self) -> Refusal:
        now = self._parts.clock()
        left = (owned.seconds_left(now, self._limits) for owned in self._owned.values())
        return Refusal(self._name, admission.retry_after_seconds(left))

    async def _take(self, sid: str) -> Session | Refusal:
        parts = self._parts
        fence = await parts.leases.claim(sid, self._name)
        try:
            session = await parts.timeline.session(sid)
            embeddings = await parts.encode_text(session.prompt)
            stream = await self._on_device(parts.open_stream, embeddings, session.seed)
            await parts.timeline.append_fact(sid, fence, SessionStarting())
        except BaseException:
            await parts.leases.release(sid, fence, KEEP_SECONDS)
            raise
        now = parts.clock()
        video = VideoConfig(width=session.width, height=session.height, fps=session.fps)
        recorder = Recorder(parts.timeline, sid, fence, lambda: self._drop(owned))
        owned = Owned(
            sid,
            fence,
            "",
            stream,
            PlayoutClock(video.fps, now),
            recorder,
            video,
            asked=now,
            paced=session.pace == "live",
        )
        self._owned[sid] = owned
        self._wake.set()
        await parts.timeline.ring(self._name, sid)  # read what was asked before
        log.info("session taken: %s", session.prompt)
        if self._closed:
            self._end(owned, SessionEnded(reason="stopped"))
            await asyncio.gather(*self._ending)
            return self._refusal()
        return await parts.timeline.session(sid)

    async def _render_all(self) -> None:
        while True:
            self._wake.clear()
            now = self._parts.clock()
            match decide([job for owned in self._owned.values() if (job := owned.job(now, self._times))], now):
                case Start(sid):
                    with about(sid):
                        await self._render(self._owned[sid])
                case Wait(until):
                    with suppress(TimeoutError):
                        # Not wait_for: on Python 3.11 that one loses a cancellation that comes with the wake.
                        async with asyncio.timeout(None if until == math.inf else until - now):
                            await self._wake.wait()

    async def _render(self, owned: Owned) -> None:
        prompt, owned.prompt = owned.prompt, None
        try:
            made = await self._on_device(owned.make_chunk, prompt, self._parts.clock)
        except Exception:
            log.exception("the model broke")
            self._end(owned, SessionFailed(reason="The model broke while it made this video; the log says how."))
            return
        owned.served = self._parts.clock()
        self._times.chunk.observe(made.seconds - made.switch_seconds)
        if prompt is not None:
            self._times.switch.observe(made.switch_seconds)
        if not owned.over:
            owned.unpublished += 1
            owned.publishing = asyncio.create_task(self._publish(owned, made, owned.publishing))

    async def _publish(self, owned: Owned, made: Made, before: asyncio.Task[None] | None) -> None:
        """Encode while the device goes on; publish in order."""
        try:
            data = await self._parts.encode_video(owned.video, made.frames, made.chunk, made.first_frame)
        except Exception:
            log.exception("chunk %d was not encoded", made.chunk)
            self._end(owned, SessionFailed(reason="The video could not be encoded; the log says why."))
        else:
            if before is not None:
                await before
            if not owned.over:
                await self._hand_out(owned, made, data)
        finally:
            owned.unpublished -= 1
            self._wake.set()

    async def _hand_out(self, owned: Owned, made: Made, data: bytes) -> None:
        now = self._parts.clock()
        self._times.delivery.observe(now - made.at)
        gap = owned.playout.publish(made.first_frame, now)
        if not owned.paced or gap < 1 / owned.video.fps:  # nobody sees less than a frame
            gap = 0.0
        owned.recorder.state(made.record(gap))
        if made.chunk == 0:
            owned.recorder.state(SessionLive())
        if (applied := made.applied(owned.video.fps)) is not None:
            owned.recorder.state(applied)
        if gap and not owned.stalled:  # every chunk counts its own; the timeline has one entry for a run of them
            owned.recorder.state(Stalled(chunk=made.chunk, gap_ms=math.ceil(gap * 1000)))
        owned.stalled = gap > 0
        # The history first: a viewer holds no fragment that the session does not count, unless the store is away.
        await owned.recorder.settle()
        frames = len(made.frames)
        owned.ring.publish(
            Fragment(owned.sid, made.chunk, owned.fence, made.first_frame, frames, owned.video.hash, data)
        )

    async def _keep_all(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            errors = await asyncio.gather(*(self._keep(owned) for owned in self._all()))
            if failed := [error for error in errors if error]:
                log.warning("%d leases not renewed: %s", len(failed), failed[0])

    async def _keep(self, owned: Owned) -> RedisError | None:
        with about(owned.sid):
            if owned.seconds_left(self._parts.clock(), self._limits) <= 0:
                self._end(owned, SessionEnded(reason="unwatched"))
                return None
            try:
                await self._parts.leases.renew(owned.sid, self._name, owned.fence)
            except (Fenced, SessionOver, NoSuchSession) as error:
                log.warning("not ours any more: %s", error)
                self._drop(owned)
            except RedisError as error:
                return error
            return None

    def _end(self, owned: Owned, fact: SessionEnded | SessionFailed) -> None:
        """The first reason counts. `_ending` holds what is left to do."""
        if owned.over:
            return
        owned.over = True
        with about(owned.sid):
            log.info("session over: %s", fact.reason)
            owned.recorder.state(fact)
            ending = asyncio.create_task(self._drop_recorded(owned))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    async def _drop_recorded(self, owned: Owned) -> None:
        """Who reads the session when its video stops finds the reason, unless the store is away."""
        await owned.recorder.settle(END_SECONDS)
        self._drop(owned)

    def _drop(self, owned: Owned) -> None:
        owned.over = True
        self._owned.pop(owned.sid, None)
        owned.ring.close()
        self._wake.set()

    async def _on_device(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._device, partial(work, *args, **kwargs))
