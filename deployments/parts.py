"""What a generator works with: the other deployments, the stores, the model; and how much it may do."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from deployments.admission import OFFLINE_SLOTS, Demand
from deployments.context import Context
from deployments.entries import PromptExpanded, PromptRequested
from deployments.leases import Leases
from deployments.media_store import MediaStore
from deployments.recent_fragments import RecentFragments
from deployments.scheduler import Estimate
from deployments.timeline import Timeline
from deployments.video_config import VideoConfig
from longlive.snapshot import Snapshot
from longlive.switch import SwitchMode

T = TypeVar("T")


class OnDevice(Protocol):
    """Runs work on the device's thread."""

    def __call__(self, work: Callable[[], T]) -> Awaitable[T]: ...


class Stream(Protocol):
    """What a generator needs of `longlive.stream.VideoStream`. Used by one thread only. Its chunks are logical ones."""

    @property
    def chunk(self) -> int: ...
    def next_frames(self) -> Tensor: ...
    def switch(self, prompt: Tensor, mode: SwitchMode) -> None: ...
    def snapshot(self) -> Snapshot: ...


class Found(Protocol):
    """What a session was before media chunk `chunk`; `damaged` are newer ones that could not be used."""

    @property
    def chunk(self) -> int: ...
    @property
    def snapshot(self) -> Snapshot: ...
    @property
    def damaged(self) -> tuple[int, ...]: ...


class SnapshotWriter(Protocol):
    async def add(self, chunk: int, snapshot: Snapshot) -> None: ...


class SnapshotHistory(Protocol):
    """What a generator needs of `deployments.snapshot_history.SnapshotHistory`. Its chunks are media chunks.

    `seconds`: what it may take to store something.
    """

    @property
    def seconds(self) -> float: ...
    def writer(self, sid: str, fence: int) -> SnapshotWriter: ...
    async def newest(self, sid: str, at_most: int) -> Found | None: ...


@dataclass(frozen=True)
class Parts:
    """`word`, `encode_text`, `encode_video`, `thumbnail` (a WebP of a frame) and `init_segment` ask other deployments:
    they try again themselves, and answer or raise in bounded time. `word` tells what the video shall show where a
    prompt takes hold in a context, None if that is its text, or raises prompt_agent.expansion.Refused.

    `open_stream` begins a video of embeddings and a seed; `restore_stream` goes on with a stream's snapshot, or raises
    longlive.errors.SnapshotError. `others_have_room` tells whether another generator would take over a session that
    asks so much, without waiting for one to start. `hand_over` has another generator take a session that this one
    holds, and returns when that one has it, or raises: then this one has it still, until its lease says otherwise.
    """

    timeline: Timeline
    leases: Leases
    media: MediaStore
    word: Callable[[PromptRequested, Context], Awaitable[PromptExpanded | None]]
    encode_text: Callable[[str], Awaitable[Tensor]]
    encode_video: Callable[[VideoConfig, NDArray[np.uint8], int, int], Awaitable[bytes]]
    thumbnail: Callable[[NDArray[np.uint8]], Awaitable[bytes]]
    init_segment: Callable[[VideoConfig], Awaitable[bytes]]
    open_stream: Callable[[Tensor, int], Stream]
    restore_stream: Callable[[Snapshot], Stream]
    history: SnapshotHistory
    recent: RecentFragments
    others_have_room: Callable[[str, Demand], Awaitable[bool]]
    hand_over: Callable[[str], Awaitable[None]]
    clock: Callable[[], float] = time.monotonic


@dataclass(frozen=True)
class Limits:
    """`slots` None: as many as the chunk time, measured all the while, allows; never more than `memory_slots`.

    A session pauses when nobody has watched it for `unwatched_seconds`, or has not begun to in `first_viewer_seconds`.
    A viewer's call lasts `watch_seconds` at most, for nobody says when its caller has died; a living one calls anew.
    """

    slots: int | None
    unwatched_seconds: float
    first_viewer_seconds: float
    watch_seconds: float = 60.0
    memory_slots: int | None = None
    offline_slots: int = OFFLINE_SLOTS


@dataclass
class Times:
    """What things take, in seconds, measured all the while: a chunk and a prompt switch on the device, a delivery.

    `usual` is a chunk too, over minutes: what is promised shall not follow every hiccup of the device.
    """

    chunk: Estimate
    usual: Estimate
    switch: Estimate
    delivery: Estimate
