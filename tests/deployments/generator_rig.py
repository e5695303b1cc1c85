"""A generator over a real Redis and a real media store, with a fake video, fake encoders and a history in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
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

from deployments.admission import Demand
from deployments.context import Context
from deployments.entries import AnyEntry, Command, PromptExpanded, PromptRequested, SessionCreated
from deployments.fragments import Fragment
from deployments.generator import Generator
from deployments.leases import Leases
from deployments.media_store import MediaStore
from deployments.parts import Limits, Parts
from deployments.placement import Refusal, TakeOver
from deployments.recent_fragments import RecentFragments
from deployments.session import Session, chunk_frames
from deployments.snapshot_shelves import SnapshotsAway
from deployments.video_config import VideoConfig
from longlive.errors import SnapshotError
from longlive.model import Model
from longlive.rollout_state import RolloutState
from longlive.snapshot import Snapshot
from longlive.stream import VideoStream
from longlive.switch import SwitchMode
from prompt_agent.expansion import Refused

VIDEO = VideoConfig(width=16, height=16, fps=160)  # ten times as fast as is usual: a chunk lasts 75 ms
PATIENCE = 120.0  # of a machine that is busy with much else
E = TypeVar("E")


class FakeVideoStream:
    """Frames that hold the number of the prompt they follow."""

    def __init__(self, prompt: Tensor, seed: int) -> None:
        self.prompt = prompt
        self.seed = seed
        self.chunk = 0
        self.modes: list[SwitchMode] = []

    @classmethod
    def restore(cls, snapshot: Snapshot) -> FakeVideoStream:
        head = snapshot.head
        if head.model != "fake":
            raise SnapshotError("the snapshot is of another model")
        stream = cls(snapshot.parts[head.prompt], head.seed)
        stream.chunk = head.chunk
        return stream

    def next_frames(self) -> Tensor:
        frames = chunk_frames(self.chunk)
        self.chunk += 1
        return torch.full((frames, 16, 16, 3), int(self.prompt.item()), dtype=torch.uint8)

    def switch(self, prompt: Tensor, mode: SwitchMode) -> None:
        self.prompt = prompt
        self.modes.append(mode)

    def snapshot(self) -> Snapshot:
        nothing = torch.empty(1, 0, 1)
        state = RolloutState("fake", self.seed, self.chunk, self.prompt, nothing, None, (), (), 0, 0)
        return Snapshot.take("fake", state, 3, torch.float32)


@dataclass(frozen=True)
class FoundInMemory:
    chunk: int
    snapshot: Snapshot
    damaged: tuple[int, ...]


class MemoryHistory:
    """Snapshots by session and chunk; None is a damaged one. `away`: it raises. Several generators may share one."""

    seconds = 0.25

    def __init__(self) -> None:
        self.kept: dict[str, dict[int, Snapshot | None]] = {}
        self.away = False
        self.shelf = MemoryShelf(self)

    def writer(self, sid: str, fence: int) -> MemoryWriter:
        return MemoryWriter(self, sid)

    async def newest(self, sid: str, at_most: int) -> FoundInMemory | None:
        self.require()
        damaged = []
        for chunk, snapshot in sorted(self.kept.get(sid, {}).items(), reverse=True):
            if chunk <= at_most and snapshot is not None:
                return FoundInMemory(chunk, snapshot, tuple(damaged))
            if chunk <= at_most:
                damaged.append(chunk)
        return None

    def require(self) -> None:
        if self.away:
            raise ConnectionError("the history is away")


class MemoryShelf:
    """Where a history keeps fragments: as far away as the rest of it."""

    seconds = 1.0

    def __init__(self, history: MemoryHistory) -> None:
        self._history = history
        self._kept: dict[str, dict[str, bytes]] = {}

    def _of(self, sid: str) -> dict[str, bytes]:
        if self._history.away:
            raise SnapshotsAway("it is told to be")
        return self._kept.setdefault(sid, {})

    async def sizes(self, sid: str) -> dict[str, int]:
        return {name: len(data) for name, data in self._of(sid).items()}

    async def read(self, sid: str, names: Sequence[str]) -> list[bytes | None]:
        return [self._of(sid).get(name) for name in names]

    async def change(self, sid: str, add: Mapping[str, bytes], drop: Collection[str]) -> int | None:
        kept = self._of(sid)
        kept.update(add)
        for name in drop:
            kept.pop(name, None)
        return len(kept)

    async def copy(self, sid: str, to_sid: str, names: Mapping[str, str]) -> bool:
        raise NotImplementedError

    async def forget(self, sid: str) -> None:
        self._of(sid).clear()

    async def prune(self) -> None:
        pass

    async def close(self) -> None:
        pass


@dataclass(frozen=True)
class MemoryWriter:
    history: MemoryHistory
    sid: str

    async def add(self, chunk: int, snapshot: Snapshot) -> None:
        self.history.require()
        self.history.kept.setdefault(self.sid, {})[chunk] = snapshot


@dataclass
class Rig:
    """A generator named `name`, its store, and what its encoders were asked."""

    store: Store
    media: MediaStore
    stream: Callable[[Tensor, int], FakeVideoStream] = FakeVideoStream
    restore: Callable[[Snapshot], FakeVideoStream] = FakeVideoStream.restore
    history: MemoryHistory = field(default_factory=MemoryHistory)
    name: str = "r"
    slots: int | None = 2
    memory_slots: int | None = None
    offline_slots: int = 4
    chunk_seconds: float = 0.01
    unwatched_seconds: float = 1e6
    first_viewer_seconds: float = 1e6
    watch_seconds: float = 60.0
    encoder_breaks_at: int | None = None
    heir: Rig | None = None
    prompts: list[str] = field(default_factory=list)
    generator: Generator = field(init=False)

    async def word(self, asked: PromptRequested, context: Context) -> PromptExpanded | None:
        """A loose prompt comes behind the scene, and "evil" is refused."""
        if "evil" in asked.text:
            raise Refused("It is evil.")
        if not asked.expand:
            return None
        prompt = f"{context.scene}, {asked.text}"
        return PromptExpanded(prompt_id=asked.prompt_id, prompt=prompt, added=asked.text, source="rules", ms=1)

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

    async def others_have_room(self, sid: str, demand: Demand) -> bool:
        return self.heir is not None and self.heir.generator.offer(demand) is None

    async def hand_over(self, sid: str) -> None:
        """To the generator `heir`, if there is one."""
        if self.heir is None:
            raise RuntimeError("there is no other generator")
        if isinstance(await self.heir.generator.take(sid, TakeOver(self.name, "handed-over")), Refusal):
            raise RuntimeError("the other generator is full")

    async def init_segment(self, config: VideoConfig) -> bytes:
        return b"init"

    def build(self) -> Generator:
        """A generator that takes sessions and makes nothing of them: its loops do not run."""
        parts = Parts(
            timeline=self.store.timeline,
            leases=Leases(self.store.redis),
            media=self.media,
            word=self.word,
            encode_text=self.encode_text,
            encode_video=self.encode_video,
            thumbnail=self.thumbnail,
            init_segment=self.init_segment,
            open_stream=self.stream,
            restore_stream=self.restore,
            history=self.history,
            recent=RecentFragments(self.history.shelf),
            others_have_room=self.others_have_room,
            hand_over=self.hand_over,
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
    """The same with a real model, whose frames it keeps in the order in which they were made, and by chunk."""

    model: Model = field(kw_only=True)
    frames: list[Tensor] = field(default_factory=list)
    made: dict[int, Tensor] = field(default_factory=dict)

    async def encode_text(self, text: str) -> Tensor:
        return self.model.encode([text])

    async def encode_video(self, config: VideoConfig, frames: NDArray[np.uint8], chunk: int, first_frame: int) -> bytes:
        self.frames.append(torch.from_numpy(frames))
        self.made[chunk] = self.frames[-1]
        return b""


def tiny_rig(store: Store, folder: Path, model: Model, **how: Any) -> TinyRig:
    def restore(snapshot: Snapshot) -> Any:
        return VideoStream.restore(model, snapshot)

    stream: Any = partial(VideoStream, model)
    return TinyRig(store, MediaStore(str(folder)), stream, restore, model=model, **how)


def rig(store: Store, folder: Path, **how: Any) -> Rig:
    return Rig(store, MediaStore(str(folder)), **how)


async def owns(generator: Generator, sessions: int) -> None:
    """Returns once the generator owns so many: an end is recorded first, and the slot is free after."""
    async with asyncio.timeout(10):
        while generator.sessions != sessions:  # noqa: ASYNC110  (a plain count has no event)
            await asyncio.sleep(0.01)
