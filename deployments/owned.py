"""A session as its owner holds it, its chunks and prompts; no loops, no I/O."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from deployments.admission import Demand
from deployments.entries import Chunk, PauseReason, PromptApplied, RewindRequested
from deployments.fragments import FragmentRing
from deployments.keeper import Keeper
from deployments.parts import Limits, SnapshotWriter, Stream, Times
from deployments.playout import PlayoutClock
from deployments.prompt_plan import Prompt, PromptPlan
from deployments.recorder import Recorder
from deployments.recording import Recording
from deployments.scheduler import Job, paced_job, unpaced_job
from deployments.session import chunk_at, chunk_first_frame
from deployments.thumbnails import Thumbnails
from deployments.video_config import VideoConfig
from longlive.snapshot import Snapshot

MOST_UNPUBLISHED = 2
"""Two are encoded while a third is made. More of a render would take the encoder's cores from those who watch."""


@dataclass(frozen=True)
class Made:
    """A media chunk from the device, and what the video goes on from after it.

    `seconds` are those it had the device, `switch_seconds` of them for the new prompt.
    """

    chunk: int
    first_frame: int
    frames: NDArray[np.uint8]
    snapshot: Snapshot
    seconds: float
    switch_seconds: float
    at: float
    prompt: Prompt | None

    def record(self, gap_seconds: float, slack_seconds: float | None) -> Chunk:
        return Chunk(
            chunk=self.chunk,
            first_frame=self.first_frame,
            frames=len(self.frames),
            generated_ms=round(self.seconds * 1000),
            gap_ms=math.ceil(gap_seconds * 1000),
            slack_ms=None if slack_seconds is None else round(slack_seconds * 1000),
        )

    def applied(self, fps: int, late_seconds: float) -> PromptApplied | None:
        """What became of the prompt that the chunk is the first to follow.

        `late_seconds`: since the frame was due that the prompt was asked for, where it was asked for one.
        """
        if self.prompt is None:
            return None
        asked = self.prompt.asked
        waited_ms = max(0, round(time.time() * 1000) - asked.at)
        return PromptApplied(
            prompt_id=asked.prompt_id,
            text=asked.text,
            mode=asked.mode,
            chunk=self.chunk,
            frame=self.first_frame,
            media_seconds=self.first_frame / fps,
            changes=self.prompt.changes,
            latency_ms=waited_ms if asked.at_frame is None else min(waited_ms, round(late_seconds * 1000)),
        )


@dataclass
class Owned:
    """A session of this replica. `asked` and `served` are times of the playout's clock.

    Chunks are media chunks, which rise for ever: `first_chunk` is the first one of this owner, `next_chunk` the first
    that the device has not begun. The stream counts its own, and is `shift` behind after it was rebuilt as it had been
    earlier. `starting`: no fragment of it was ever out. `resumed`: the video was paused before. `moved`: another
    replica had it until now. `live`: it is made at its frame rate, for viewers; else as fast as the others leave room,
    for nobody. `max_seconds`: it ends with the first chunk that reaches this length. `pausing`: why it shall pause.
    `moving`: another generator shall take it; `still`: all that was made of it is out. `at_end`: why nothing more can
    be made of it. `broken`: the model broke over it here; `broke_before`: the chunk over which it did before. `paused`:
    it has left, and others may have its lease. `unkept`: why a render that was to be recorded is not. `rewinds`: where
    it is asked to go back to; `rewinding`: it does. `told_applied`: the prompt that the owner before has said its
    first chunk to follow, which it did not get to. `again`: it is made from its very first chunk on, and what others
    made of it before is made once more for nobody.
    """

    sid: str
    fence: int
    stream: Stream
    playout: PlayoutClock
    recorder: Recorder
    keeper: Keeper
    writer: SnapshotWriter
    video: VideoConfig
    first_chunk: int
    asked: float
    live: bool = True
    starting: bool = False
    resumed: bool = False
    moved: bool = False
    max_seconds: float | None = None
    recording: Recording | None = None
    thumbnails: Thumbnails | None = None
    cursor: str = ""
    ring: FragmentRing = field(default_factory=FragmentRing)
    served: float = -math.inf
    stalled: bool = False
    pausing: PauseReason | None = None
    leaving: bool = False
    moving: bool = False
    broken: bool = False
    at_end: str = ""
    broke_before: int | None = None
    over: bool = False
    paused: bool = False
    unkept: str = ""
    told_applied: str = ""
    again: bool = False
    rewinds: deque[RewindRequested] = field(default_factory=deque)
    rewinding: bool = False
    unpublished: int = 0
    publishing: asyncio.Task[None] | None = None
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)
    encoding: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    still: asyncio.Event = field(default_factory=asyncio.Event)
    holding: asyncio.Lock = field(default_factory=asyncio.Lock)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    next_chunk: int = field(init=False)
    shift: int = field(init=False)
    plan: PromptPlan = field(init=False)

    def __post_init__(self) -> None:
        self.next_chunk = 0 if self.again else self.first_chunk
        self.go_on_with(self.stream)
        self.plan = PromptPlan(self.video.fps)

    def go_on_with(self, stream: Stream) -> None:
        """The next chunk is the next one of this stream."""
        self.stream = stream
        self.shift = self.next_chunk - stream.chunk

    @property
    def demand(self) -> Demand:
        return Demand(self.video.fps, live=self.live)

    @property
    def finished(self) -> bool:
        """Every chunk of the video was begun."""
        return self.max_seconds is not None and self.next_chunk >= chunk_at(
            max(1, math.ceil(self.max_seconds * self.video.fps - 1e-6))  # seconds that are not binary fractions
        )

    @property
    def stands(self) -> bool:
        """Whether its next chunk is not wanted: the video is as long as it shall be, or shall pause, or cannot go on.

        A session that nobody has seen anything of makes its first chunk first: it cannot pause before it is live.
        """
        return (
            self.broken
            or bool(self.at_end)
            or self.finished
            or (self.pausing is not None and self.next_chunk >= self.first_chunk + self.starting)
        )

    def job(self, now: float, times: Times) -> Job | None:
        """The next chunk; None while there must not be one."""
        if self.over or self.moving or self.rewinds or self.stands or self.unpublished >= MOST_UNPUBLISHED:
            return None
        # A live video that plays does not wait for words, but it begins with those that are there, and does as it was
        # told to have done; a render follows its script.
        begins = self.next_chunk == self.first_chunk and (not self.moved or self.told_applied != "")
        if (begins or not self.live) and self.plan.holds(self.next_chunk):
            return None
        cost = times.chunk.seconds + (times.switch.seconds if self.plan.switches(self.next_chunk) else 0.0)
        if not self.live:
            return unpaced_job(self.sid, cost=cost, served=self.served)
        return paced_job(
            self.sid,
            self.playout,
            self.next_chunk,
            now,
            first=self.first_chunk,
            asked=self.asked,
            playing=self.moved,
            cost=cost,
            delivery=times.delivery.seconds,
            served=self.served,
        )

    def slack(self, now: float) -> float:
        """Seconds until its next chunk is due; infinite where nobody waits for it, and none while it is on its way."""
        if self.over or not self.live:
            return math.inf
        return -math.inf if self.unpublished else self.playout.due(chunk_first_frame(self.next_chunk), now) - now

    def make_chunk(self, prompt: Prompt | None, clock: Callable[[], float]) -> Made:
        """For the device's thread: the next chunk, which follows `prompt` if there is a new one."""
        start = clock()
        if prompt is not None:
            self.stream.switch(prompt.embeddings, prompt.mode(self.video.fps))
        switched = clock()
        chunk = self.stream.chunk + self.shift
        frames = self.stream.next_frames().numpy()
        snapshot = self.stream.snapshot()
        end = clock()
        return Made(chunk, chunk_first_frame(chunk), frames, snapshot, end - start, switched - start, end, prompt)

    def pack(self) -> bytes:
        """For the device's thread: what the video goes on from."""
        return self.stream.snapshot().pack()

    def seconds_left(self, now: float, limits: Limits) -> float:
        """Until the session pauses because nobody watches it. Infinite while somebody does, and where nobody need."""
        if not self.live or self.pausing or self.playout.watched:
            return math.inf
        limit = limits.unwatched_seconds if self.playout.seen else limits.first_viewer_seconds
        return limit - self.playout.unwatched_for(now)
