"""A session as its owner holds it, its chunks and prompts; no loops, no I/O."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from deployments.entries import Chunk, PromptApplied, PromptRequested
from deployments.fragments import FragmentRing
from deployments.playout import PlayoutClock
from deployments.recorder import Recorder
from deployments.scheduler import Estimate, Job, paced_job, unpaced_job
from deployments.video_config import VideoConfig

MOST_UNPUBLISHED = 2


class Stream(Protocol):
    """What a generator needs of `longlive.stream.VideoStream`. Used by one thread only."""

    @property
    def chunk(self) -> int: ...
    @property
    def frame(self) -> int: ...
    def next_frames(self) -> Tensor: ...
    def switch(self, prompt: Tensor) -> None: ...


@dataclass(frozen=True)
class Limits:
    """`slots` None: as many as the chunk time, measured all the while, allows; never more than `memory_slots`.

    A session ends when nobody has watched it for `unwatched_seconds`, or has not begun to in `first_viewer_seconds`.
    A viewer's call lasts `watch_seconds` at most, for nobody says when its caller has died; a living one calls anew.
    """

    slots: int | None
    unwatched_seconds: float
    first_viewer_seconds: float
    watch_seconds: float = 60.0
    memory_slots: int | None = None


@dataclass
class Times:
    """What things take, in seconds, measured all the while: a chunk and a prompt switch on the device, a delivery."""

    chunk: Estimate
    switch: Estimate
    delivery: Estimate


@dataclass(frozen=True)
class Prompt:
    asked: PromptRequested
    embeddings: Tensor


@dataclass(frozen=True)
class Made:
    """A chunk from the device. `seconds` are those it had the device, `switch_seconds` of them for the new prompt."""

    chunk: int
    first_frame: int
    frames: NDArray[np.uint8]
    seconds: float
    switch_seconds: float
    at: float
    prompt: Prompt | None

    def record(self, gap_seconds: float) -> Chunk:
        return Chunk(
            chunk=self.chunk,
            first_frame=self.first_frame,
            frames=len(self.frames),
            generated_ms=round(self.seconds * 1000),
            gap_ms=math.ceil(gap_seconds * 1000),
        )

    def applied(self, fps: int) -> PromptApplied | None:
        """What became of the prompt that the chunk is the first to follow."""
        if self.prompt is None:
            return None
        asked = self.prompt.asked
        return PromptApplied(
            prompt_id=asked.prompt_id,
            text=asked.text,
            chunk=self.chunk,
            frame=self.first_frame,
            media_seconds=self.first_frame / fps,
            latency_ms=max(0, round(time.time() * 1000) - asked.at),
        )


@dataclass
class Owned:
    """A session of this replica. `asked` and `served` are times of the playout's clock."""

    sid: str
    fence: int
    cursor: str
    stream: Stream
    playout: PlayoutClock
    recorder: Recorder
    video: VideoConfig
    asked: float
    paced: bool
    ring: FragmentRing = field(default_factory=FragmentRing)
    prompt: Prompt | None = None
    served: float = -math.inf
    stalled: bool = False
    over: bool = False
    unpublished: int = 0
    publishing: asyncio.Task[None] | None = None
    reading: asyncio.Task[None] | None = None

    def job(self, now: float, times: Times) -> Job | None:
        """The next chunk; None while there must not be one."""
        if self.over or self.unpublished >= MOST_UNPUBLISHED:
            return None
        cost = times.chunk.seconds + (times.switch.seconds if self.prompt else 0.0)
        if not self.paced:
            return unpaced_job(self.sid, cost=cost, served=self.served)
        return paced_job(
            self.sid,
            self.playout,
            self.stream.chunk,
            now,
            asked=self.asked,
            cost=cost,
            delivery=times.delivery.seconds,
            served=self.served,
        )

    def make_chunk(self, prompt: Prompt | None, clock: Callable[[], float]) -> Made:
        """For the device's thread: the next chunk, which follows `prompt` if there is a new one."""
        start = clock()
        if prompt is not None:
            self.stream.switch(prompt.embeddings)
        switched = clock()
        chunk, first_frame = self.stream.chunk, self.stream.frame
        frames = self.stream.next_frames().numpy()
        end = clock()
        return Made(chunk, first_frame, frames, end - start, switched - start, end, prompt)

    def seconds_left(self, now: float, limits: Limits) -> float:
        """Until the session ends because nobody watches it. Infinite while somebody does."""
        if self.playout.watched:
            return math.inf
        limit = limits.unwatched_seconds if self.playout.seen else limits.first_viewer_seconds
        return limit - self.playout.unwatched_for(now)
