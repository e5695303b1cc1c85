"""A generator over a real Redis and a real media store, with a fake video and fake encoders."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from redis_store import Store
from torch import Tensor

from deployments.entries import AnyEntry, Command, PromptRequested, SessionCreated
from deployments.fragments import Fragment
from deployments.generator import Generator
from deployments.leases import Leases
from deployments.media_store import MediaStore
from deployments.parts import Limits, Parts
from deployments.placement import Refusal
from deployments.session import Session, chunk_first_frame, chunk_frames
from deployments.video_config import VideoConfig
from longlive.errors import SnapshotError
from longlive.model import Model
from longlive.snapshot import Snapshot
from longlive.stream import VideoStream
from longlive.switch import SwitchMode

VIDEO = VideoConfig(width=16, height=16, fps=160)  # ten times as fast as is usual: a chunk lasts 75 ms
PATIENCE = 120.0  # of a machine that is busy with much else
E = TypeVar("E")


class FakeVideoStream:
    """Frames that hold the number of the prompt they follow."""

    def __init__(self, prompt: Tensor, seed: int) -> None:
        self.prompt = prompt
        self.chunk = 0
        self.modes: list[SwitchMode] = []

    @classmethod
    def restore(cls, data: bytes) -> FakeVideoStream:
        if data == b"damaged":
            raise SnapshotError("the snapshot is damaged")
        head = json.loads(data)
        stream = cls(torch.tensor([[[float(head["prompt"])]]]), 0)
        stream.chunk = head["chunk"]
        return stream

    @property
    def frame(self) -> int:
        return chunk_first_frame(self.chunk)

    def next_frames(self) -> Tensor:
        frames = chunk_frames(self.chunk)
        self.chunk += 1
        return torch.full((frames, 16, 16, 3), int(self.prompt.item()), dtype=torch.uint8)

    def switch(self, prompt: Tensor, mode: SwitchMode) -> None:
        self.prompt = prompt
        self.modes.append(mode)

    def snapshot(self) -> FakeSnapshot:
        return FakeSnapshot(self.chunk, self.prompt.item())


@dataclass(frozen=True)
class FakeSnapshot:
    chunk: int
    prompt: float

    def pack(self) -> bytes:
        return json.dumps({"chunk": self.chunk, "prompt": self.prompt}).encode()


@dataclass
class Rig:
    """A generator named `name`, its store, and what its encoders were asked."""

    store: Store
    media: MediaStore
    stream: Callable[[Tensor, int], FakeVideoStream] = FakeVideoStream
    restore: Callable[[bytes], FakeVideoStream] = FakeVideoStream.restore
    name: str = "r"
    slots: int | None = 2
    memory_slots: int | None = None
    offline_slots: int = 4
    chunk_seconds: float = 0.01
    unwatched_seconds: float = 1e6
    first_viewer_seconds: float = 1e6
    watch_seconds: float = 60.0
    encoder_breaks_at: int | None = None
    prompts: list[str] = field(default_factory=list)
    generator: Generator = field(init=False)

    async def encode_text(self, text: str) -> Tensor:
        if text == "unreadable":
            raise RuntimeError("no text encoder")
        self.prompts.append(text)
        return torch.tensor([[[float(len(self.prompts))]]])

    async def encode_video(self, config: VideoConfig, frames: NDArray[np.uint8], chunk: int, first_frame: int) -> bytes:
        if chunk == self.encoder_breaks_at:
            raise RuntimeError("no video encoder")
        return bytes([int(frames[0, 0, 0, 0])])

    async def thumbnail(self, frame: NDArray[np.uint8]) -> bytes:
        return bytes([int(frame[0, 0, 0])])

    async def init_segment(self, config: VideoConfig) -> bytes:
        return b"init"

    def build(self) -> Generator:
        """A generator that takes sessions and makes nothing of them: its loops do not run."""
        parts = Parts(
            timeline=self.store.timeline,
            leases=Leases(self.store.redis),
            media=self.media,
            encode_text=self.encode_text,
            encode_video=self.encode_video,
            thumbnail=self.thumbnail,
            init_segment=self.init_segment,
            open_stream=self.stream,
            restore_stream=self.restore,
        )
        limits = Limits(
            self.slots,
            self.unwatched_seconds,
            self.first_viewer_seconds,
            self.watch_seconds,
            self.memory_slots,
            self.offline_slots,
        )
        self.generator = Generator(self.name, VIDEO.fps, parts, limits, self.chunk_seconds)
        return self.generator

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Generator]:
        """Its loops must run all the while."""
        running = asyncio.create_task(self.build().run())
        try:
            async with asyncio.timeout(PATIENCE):
                yield self.generator
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    async def create(
        self, sid: str, *script: PromptRequested, seed: int = 1, prompt: str = "a ball", **how: Any
    ) -> None:
        asked = {"model": "fake", "width": VIDEO.width, "height": VIDEO.height, "fps": VIDEO.fps} | how
        await self.store.timeline.create(sid, SessionCreated(prompt=prompt, seed=seed, **asked), script)

    async def begin(self, sid: str, *script: PromptRequested, **how: Any) -> Session:
        """Create a session and have it taken."""
        answer = await self.offer(sid, *script, **how)
        assert isinstance(answer, Session)
        return answer

    async def offer(self, sid: str, *script: PromptRequested, **how: Any) -> Session | Refusal:
        await self.create(sid, *script, **how)
        return await self.generator.take(sid)

    async def ask(self, sid: str, *commands: Command) -> None:
        for command in commands:
            await self.store.timeline.append_command(sid, command)
        await self.store.timeline.ring(self.name, sid)

    async def watch(self, sid: str, count: int) -> list[Fragment]:
        fragments: list[Fragment] = []
        async for some in self.generator.watch(sid):
            fragments += some
            if len(fragments) >= count:
                break
        return fragments[:count]

    async def facts(self, sid: str) -> list[AnyEntry]:
        return await self.store.timeline.read(sid, limit=1000)

    async def all_of(self, kind: type[E], sid: str) -> list[E]:
        return [entry for entry in await self.facts(sid) if isinstance(entry, kind)]

    async def next_of(self, kind: type[E], sid: str, count: int = 1) -> E:
        """The first entry of a kind in the session's timeline, or that of a `count`, once it is there."""
        left = count
        async for entry in self.store.timeline.tail(sid):
            if isinstance(entry, kind):
                left -= 1
                if not left:
                    return entry
        raise AssertionError(f"the session is over, without {kind.__name__}")

    async def until(self, sid: str, holds: Callable[[Session], bool]) -> Session:
        while True:
            if holds(session := await self.store.timeline.session(sid)):
                return session
            await asyncio.sleep(0.01)

    async def until_chunks(self, sid: str, count: int) -> Session:
        return await self.until(sid, lambda session: session.chunks >= count)

    async def idle(self, sid: str) -> int:
        """Returns when an unwatched session has made what it may: how many chunks."""
        made = -1
        while True:
            before, made = made, (await self.store.timeline.session(sid)).chunks
            if made == before:
                return made
            await asyncio.sleep(0.3)

    async def over(self, sid: str) -> Session:
        async for _ in self.store.timeline.tail(sid):
            pass
        return await self.store.timeline.session(sid)


@dataclass
class TinyRig(Rig):
    """The same with a real model, whose frames it keeps in the order in which they were made."""

    model: Model = field(kw_only=True)
    frames: list[Tensor] = field(default_factory=list)

    async def encode_text(self, text: str) -> Tensor:
        return self.model.encode([text])

    async def encode_video(self, config: VideoConfig, frames: NDArray[np.uint8], chunk: int, first_frame: int) -> bytes:
        self.frames.append(torch.from_numpy(frames))
        return b""


def tiny_rig(store: Store, folder: Path, model: Model, **how: Any) -> TinyRig:
    def restore(data: bytes) -> Any:
        return VideoStream.restore(model, Snapshot.unpack(data))

    stream: Any = partial(VideoStream, model)
    return TinyRig(store, MediaStore(str(folder)), stream, restore, model=model, **how)


def rig(store: Store, folder: Path, **how: Any) -> Rig:
    return Rig(store, MediaStore(str(folder)), **how)


async def owns(generator: Generator, sessions: int) -> None:
    """Returns once the generator owns so many: an end is recorded first, and the slot is free after."""
    async with asyncio.timeout(10):
        while generator.sessions != sessions:  # noqa: ASYNC110  (a plain count has no event)
            await asyncio.sleep(0.01)
