"""The owner of sessions: makes their chunks in time on one device, applies their prompts, publishes their fragments."""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import ParamSpec, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from redis.exceptions import RedisError
from torch import Tensor

from deployments import admission
from deployments.fragments import Fragment, FragmentRing
from deployments.leases import RENEW_SECONDS, Leases
from deployments.logs import about
from deployments.playout import PlayoutClock
from deployments.pool import Refusal
from deployments.scheduler import Estimate, Job, Start, Wait, decide, paced_job, unpaced_job
from deployments.session import (
    Chunk,
    EndRequested,
    Fact,
    PromptApplied,
    PromptRefused,
    PromptRequested,
    Session,
    SessionCreated,
    SessionEnded,
    SessionFailed,
    SessionLive,
    Stalled,
    chunk_frames,
)
from deployments.store import Fenced, NoSuchSession, SessionOver
from deployments.timeline import Timeline
from deployments.video_encoder import VideoConfig

MOST_UNPUBLISHED = 2
FIRST_DELIVERY_SECONDS = 0.05
P = ParamSpec("P")
T = TypeVar("T")
log = logging.getLogger(__name__)


class Stream(Protocol):
    """What a generator needs of `longlive.pipeline.VideoStream`. Used by one thread only."""

    @property
    def chunk(self) -> int: ...
    @property
    def frame(self) -> int: ...
    def next_frames(self) -> Tensor: ...
    def switch(self, prompt: Tensor) -> None: ...


@dataclass(frozen=True)
class Parts:
    """What a generator works with. `encode_text` and `encode_video` ask other deployments, and try again themselves."""

    timeline: Timeline
    leases: Leases
    encode_text: Callable[[str], Awaitable[Tensor]]
    encode_video: Callable[[VideoConfig, NDArray[np.uint8], int, int], Awaitable[bytes]]
    open_stream: Callable[[Tensor, int], Stream]
    clock: Callable[[], float] = time.monotonic


@dataclass(frozen=True)
class Limits:
    """`slots` None: as many as the chunk time, measured all the while, allows."""

    slots: int | None
    unwatched_seconds: float


@dataclass(frozen=True)
class _Prompt:
    asked: PromptRequested
    embeddings: Tensor


@dataclass
class _Owned:
    """A session of this replica."""

    sid: str
    fence: int
    cursor: str
    stream: Stream
    playout: PlayoutClock
    asked: float
    paced: bool
    ring: FragmentRing = field(default_factory=FragmentRing)
    prompt: _Prompt | None = None
    served: float = -math.inf
    unpublished: int = 0
    publishing: asyncio.Task[None] | None = None


@dataclass(frozen=True)
class _Made:
    chunk: int
    first_frame: int
    frames: NDArray[np.uint8]
    seconds: float
    at: float
    prompt: _Prompt | None


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
        self._chunk_time = Estimate(chunk_seconds)
        self._delivery = Estimate(FIRST_DELIVERY_SECONDS)
        self._owned: dict[str, _Owned] = {}
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
        return self._limits.slots or admission.slots(media_seconds, self._chunk_time.seconds)

    async def run(self) -> None:
        """Serve the sessions until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for loop in (self._render_all(), self._read_inbox(), self._keep_all()):
                    tasks.create_task(loop)
        finally:
            self._device.shutdown(wait=False, cancel_futures=True)

    async def open(self, sid: str, prompt: str, seed: int | None, paced: bool = True) -> Session | Refusal:
        """Become the owner of a new session, or say when to ask again. Raises what store and text encoder do."""
        now = self._parts.clock()
        if self._closed or self.sessions >= self.slots:
            unwatched = (owned.playout.unwatched_for(now) for owned in self._owned.values())
            wait = admission.retry_after_seconds(unwatched, self._limits.unwatched_seconds)
            return Refusal(self._name, wait)
        self._opening += 1
        try:
            with about(sid):
                return await self._open(sid, prompt, secrets.randbelow(2**31) if seed is None else seed, paced)
        finally:
            self._opening -= 1

    async def watch(self, sid: str) -> AsyncGenerator[Fragment, None]:
        """Fragments from the newest on, until the session is over. Its clock runs while somebody is in here."""
        owned = self._owned.get(sid)
        if owned is None:
            return
        owned.playout.enter(self._parts.clock())
        self._wake.set()
        try:
            newest = owned.ring.newest
            async for fragment in owned.ring.follow(-1 if newest is None else newest.chunk - 1):
                yield fragment
        finally:
            owned.playout.leave(self._parts.clock())
            self._wake.set()

    async def close(self) -> None:
        """End every session and take no more, because this replica stops."""
        self._closed = True
        for owned in list(self._owned.values()):
            await self._end(owned, SessionEnded(reason="stopped"))

    async def _open(self, sid: str, prompt: str, seed: int, paced: bool) -> Session:
        parts, video = self._parts, self._video
        embeddings = await parts.encode_text(prompt)
        stream = await self._on_device(parts.open_stream, embeddings, seed)
        created = SessionCreated(
            prompt=prompt, seed=seed, model=self._model, width=video.width, height=video.height, fps=video.fps
        )
        session = await parts.timeline.create(sid, created)
        fence = await parts.leases.claim(sid, self._name)
        now = parts.clock()
        playout = PlayoutClock(video.fps, now)
        self._owned[sid] = _Owned(sid, fence, session.last_event_id, stream, playout, asked=now, paced=paced)
        self._wake.set()
        log.info("session created: %s", prompt)
        return session.model_copy(update={"fence": fence, "owner": self._name})

    async def _render_all(self) -> None:
        while True:
            self._wake.clear()
            now = self._parts.clock()
            match decide([job for owned in self._owned.values() if (job := self._job(owned, now))], now):
                case Start(sid):
                    with about(sid):
                        await self._render(self._owned[sid])
                case Wait(until):
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._wake.wait(), None if until == math.inf else until - now)

    def _job(self, owned: _Owned, now: float) -> Job | None:
        cost = self._chunk_time.seconds
        if owned.unpublished >= MOST_UNPUBLISHED:
            return None
        if not owned.paced:
            return unpaced_job(owned.sid, cost=cost, served=owned.served)
        chunk = owned.stream.chunk
        return paced_job(
            owned.sid,
            owned.playout,
            chunk,
            now,
            asked=owned.asked,
            cost=cost,
            delivery=self._delivery.seconds,
            served=owned.served,
        )

    async def _render(self, owned: _Owned) -> None:
        prompt, owned.prompt = owned.prompt, None
        try:
            made = await self._on_device(self._make_chunk, owned.stream, prompt)
        except Exception:
            log.exception("the model broke")
            await self._end(owned, SessionFailed(reason="The model broke while it made this video; the log says how."))
            return
        owned.served = self._parts.clock()
        self._chunk_time.observe(made.seconds)
        if self._owned.get(owned.sid) is owned:
            owned.unpublished += 1
            owned.publishing = asyncio.create_task(self._publish(owned, made, owned.publishing))

    def _make_chunk(self, stream: Stream, prompt: _Prompt | None) -> _Made:
        if prompt is not None:
            stream.switch(prompt.embeddings)
        start = self._parts.clock()
        chunk, first_frame = stream.chunk, stream.frame
        frames = stream.next_frames().numpy()
        end = self._parts.clock()
        return _Made(chunk, first_frame, frames, end - start, end, prompt)

    async def _publish(self, owned: _Owned, made: _Made, before: asyncio.Task[None] | None) -> None:
        """Encode while the device goes on; publish in order."""
        try:
            data = await self._parts.encode_video(self._video, made.frames, made.chunk, made.first_frame)
            if before is not None:
                await before
            if self._owned.get(owned.sid) is owned:
                await self._hand_out(owned, made, data)
        except Exception:
            log.exception("chunk %d was not encoded", made.chunk)
            await self._end(owned, SessionFailed(reason="The video could not be encoded; the log says why."))
        finally:
            owned.unpublished -= 1
            self._wake.set()

    async def _hand_out(self, owned: _Owned, made: _Made, data: bytes) -> None:
        frames = len(made.frames)
        chunk = Chunk(
            chunk=made.chunk,
            first_frame=made.first_frame,
            frames=frames,
            generated_ms=round(made.seconds * 1000),
        )
        # The history first: a viewer never holds a fragment that the session does not count.
        await self._record(owned, self._parts.timeline.append_chunk(owned.sid, owned.fence, chunk))
        now = self._parts.clock()
        self._delivery.observe(now - made.at)
        gap = owned.playout.publish(made.first_frame, now)
        owned.ring.publish(
            Fragment(owned.sid, made.chunk, owned.fence, made.first_frame, frames, self._video.hash, data)
        )
        if made.chunk == 0:
            await self._state(owned, SessionLive())
        if made.prompt is not None:
            asked = made.prompt.asked
            applied = PromptApplied(
                prompt_id=asked.prompt_id,
                text=asked.text,
                chunk=made.chunk,
                frame=made.first_frame,
                media_seconds=made.first_frame / self._video.fps,
                latency_ms=max(0, round(time.time() * 1000) - asked.at),
            )
            await self._state(owned, applied)
        if gap > 0 and owned.paced:
            await self._state(owned, Stalled(chunk=made.chunk, gap_ms=math.ceil(gap * 1000)))

    async def _read_inbox(self) -> None:
        async for sids in self._parts.timeline.inbox(self._name):
            # An empty set means: look at all, for a ring can get lost.
            for owned in [self._owned[sid] for sid in sids or self._owned if sid in self._owned]:
                with about(owned.sid):
                    try:
                        await self._read_commands(owned)
                    except (RedisError, NoSuchSession) as error:
                        log.warning("commands not read: %s", error)

    async def _read_commands(self, owned: _Owned) -> None:
        for entry in await self._parts.timeline.read(owned.sid, owned.cursor, limit=1000):
            owned.cursor = entry.id
            match entry:
                case PromptRequested():
                    await self._take_prompt(owned, entry)
                case EndRequested():
                    await self._end(owned, SessionEnded(reason="requested"))
                    return

    async def _take_prompt(self, owned: _Owned, asked: PromptRequested) -> None:
        try:
            prompt = _Prompt(asked, await self._parts.encode_text(asked.text))
        except Exception:
            log.exception("prompt %s was not read", asked.prompt_id)
            reason = "The text encoder did not answer. Send the prompt again."
            await self._state(owned, PromptRefused(prompt_id=asked.prompt_id, reason=reason))
            return
        replaced, owned.prompt = owned.prompt, prompt
        if replaced is not None:
            reason = "A newer prompt came before the next chunk began."
            await self._state(owned, PromptRefused(prompt_id=replaced.asked.prompt_id, reason=reason))

    async def _keep_all(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            for owned in list(self._owned.values()):
                with about(owned.sid):
                    if owned.playout.unwatched_for(self._parts.clock()) >= self._limits.unwatched_seconds:
                        await self._end(owned, SessionEnded(reason="unwatched"))
                    else:
                        await self._record(owned, self._parts.leases.renew(owned.sid, self._name, owned.fence))

    async def _end(self, owned: _Owned, fact: SessionEnded | SessionFailed) -> None:
        if self._owned.get(owned.sid) is owned:
            await self._state(owned, fact)
            self._drop(owned)
            log.info("session over: %s", fact.reason)

    async def _state(self, owned: _Owned, fact: Fact) -> None:
        await self._record(owned, self._parts.timeline.append_fact(owned.sid, owned.fence, fact))

    async def _record(self, owned: _Owned, write: Awaitable[object]) -> None:
        """Write to the store. Without it the video goes on; without the session's ownership it does not."""
        try:
            await write
        except (Fenced, SessionOver, NoSuchSession) as error:
            log.warning("not ours any more: %s", error)
            self._drop(owned)
        except RedisError as error:
            log.warning("not recorded: %s", error)

    def _drop(self, owned: _Owned) -> None:
        self._owned.pop(owned.sid, None)
        owned.ring.close()
        self._wake.set()

    async def _on_device(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._device, partial(work, *args, **kwargs))
