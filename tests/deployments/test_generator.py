"""The owner of sessions, on a fake stream and a real Redis: chunks in order, prompts applied, faults contained."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from redis_store import Store
from torch import Tensor

from deployments.fragments import Fragment
from deployments.generator import Generator, Limits, Parts
from deployments.leases import Leases
from deployments.pool import Refusal
from deployments.session import (
    EndRequested,
    PromptApplied,
    PromptRefused,
    PromptRequested,
    Session,
    SessionEnded,
    SessionFailed,
    SessionState,
    chunk_frames,
)
from deployments.video_encoder import VideoConfig

VIDEO = VideoConfig(width=16, height=16, fps=16)
SPEED = 40.0


class FakeVideoStream:
    """Frames that hold the number of the prompt they follow."""

    def __init__(self, prompt: Tensor, seed: int) -> None:
        self.prompt = prompt
        self.chunk = 0
        self.frame = 0

    def next_frames(self) -> Tensor:
        frames = chunk_frames(self.chunk)
        self.chunk += 1
        self.frame += frames
        return torch.full((frames, 16, 16, 3), int(self.prompt.item()), dtype=torch.uint8)

    def switch(self, prompt: Tensor) -> None:
        self.prompt = prompt


class BrokenStream(FakeVideoStream):
    def next_frames(self) -> Tensor:
        if self.chunk == 1:
            raise RuntimeError("the device is on fire")
        return super().next_frames()


@dataclass
class Rig:
    """A generator named `r`, its store, and what its encoders were asked."""

    store: Store
    stream: Callable[[Tensor, int], FakeVideoStream] = FakeVideoStream
    slots: int = 2
    unwatched_seconds: float = 60.0
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

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Generator]:
        """Media time passes SPEED times as fast as the clock on the wall."""
        loop = asyncio.get_running_loop()
        parts = Parts(
            timeline=self.store.timeline,
            leases=Leases(self.store.redis),
            encode_text=self.encode_text,
            encode_video=self.encode_video,
            open_stream=self.stream,
            clock=lambda: loop.time() * SPEED,
        )
        limits = Limits(self.slots, self.unwatched_seconds)
        self.generator = Generator("r", "fake", VIDEO, parts, limits, chunk_seconds=0.01)
        running = asyncio.create_task(self.generator.run())
        try:
            yield self.generator
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def ask(self, sid: str, *commands: PromptRequested | EndRequested) -> None:
        for command in commands:
            await self.store.timeline.append_command(sid, command)
        await self.store.timeline.ring("r", sid)

    async def watch(self, sid: str, count: int) -> list[Fragment]:
        fragments = []
        async for fragment in self.generator.watch(sid):
            fragments.append(fragment)
            if len(fragments) == count:
                break
        return fragments

    async def facts(self, sid: str) -> list[object]:
        return list(await self.store.timeline.read(sid))

    async def over(self, sid: str) -> Session:
        async for _ in self.store.timeline.tail(sid):
            pass
        return await self.store.timeline.session(sid)


async def test_chunks_come_in_order_and_are_counted(store: Store) -> None:
    rig = Rig(store)
    async with rig.running() as generator:
        await generator.open("s", "a ball", 1)
        fragments = await rig.watch("s", 5)
        session = await store.timeline.session("s")
    assert [f.chunk for f in fragments] == [0, 1, 2, 3, 4]
    assert [f.first_frame for f in fragments] == [0, 9, 21, 33, 45]
    assert {(f.sid, f.fence, f.config_hash) for f in fragments} == {("s", 1, VIDEO.hash)}
    assert session.chunks >= 5
    assert (session.status, session.owner) == (SessionState.live, "r")


async def test_unwatched_a_session_makes_its_first_chunk_and_waits(store: Store) -> None:
    rig = Rig(store)
    async with rig.running() as generator:
        await generator.open("s", "a ball", 1)
        await rig.watch("s", 1)
        await asyncio.sleep(3 / SPEED)
        session = await store.timeline.session("s")
    assert 1 <= session.chunks <= 2


async def test_an_unpaced_session_does_not_wait_for_viewers(store: Store) -> None:
    rig = Rig(store)
    async with rig.running() as generator:
        await generator.open("s", "a ball", 1, paced=False)
        made = [fragment.chunk for fragment in await rig.watch("s", 20)]
        await asyncio.sleep(0.1)
        left_alone = await store.timeline.session("s")
    assert made == list(range(made[0], made[0] + 20))
    assert left_alone.chunks > made[-1] + 3


async def test_a_prompt_is_applied_at_the_chunk_that_shows_it(store: Store) -> None:
    rig = Rig(store)
    async with rig.running() as generator:
        await generator.open("s", "a ball", 1)
        watching = asyncio.create_task(rig.watch("s", 400))
        await rig.ask("s", PromptRequested(prompt_id="p", text="a cube"))
        async for entry in store.timeline.tail("s"):
            if isinstance(entry, PromptApplied):
                break
        await generator.close()
        shown = {f.chunk: f.data[0] for f in await watching}
    assert (entry.prompt_id, entry.text) == ("p", "a cube")
    assert entry.frame == 9 + 12 * (entry.chunk - 1) if entry.chunk else entry.frame == 0
    assert all(data == (2 if chunk >= entry.chunk else 1) for chunk, data in shown.items())


async def test_of_two_prompts_before_one_chunk_the_newer_is_applied_and_the_older_refused(store: Store) -> None:
    rig = Rig(store)
    async with rig.running() as generator:
        await generator.open("s", "a ball", 1)
        await rig.watch("s", 1)  # and nobody watches any more: no chunk begins between the two
        await asyncio.sleep(3 / SPEED)
        await rig.ask("s", PromptRequested(prompt_id="p", text="one"), PromptRequested(prompt_id="q", text="two"))
        async for entry in store.timeline.tail("s"):
            if isinstance(entry, PromptRefused):
                break
        watching = asyncio.create_task(rig.watch("s", 400))
        async for applied in store.timeline.tail("s"):
            if isinstance(applied, PromptApplied):
                break
        await generator.close()
        await watching
    assert entry.prompt_id == "p"
    assert applied.prompt_id == "q"


async def test_a_prompt_that_cannot_be_read_is_refused_and_the_video_goes_on(store: Store) -> None:
    rig = Rig(store)
    async with rig.running() as generator:
        await generator.open("s", "a ball", 1)
        await rig.ask("s", PromptRequested(prompt_id="p", text="unreadable"))
        async for entry in store.timeline.tail("s"):
            if isinstance(entry, PromptRefused):
                break
        assert len(await rig.watch("s", 3)) == 3
    assert "again" in entry.reason


async def test_an_end_closes_the_stream_and_frees_the_slot(store: Store) -> None:
    rig = Rig(store)
    async with rig.running() as generator:
        await generator.open("s", "a ball", 1)
        watching = asyncio.create_task(rig.watch("s", 10_000))
        await rig.ask("s", EndRequested())
        assert (await rig.over("s")).reason == "requested"
        await watching
        assert generator.sessions == 0
        assert await rig.watch("s", 1) == []


async def test_a_full_replica_refuses_and_says_when_to_ask_again(store: Store) -> None:
    rig = Rig(store, slots=2)
    async with rig.running() as generator:
        answers = await asyncio.gather(*(generator.open(sid, "a ball", 1) for sid in ("a", "b", "c")))
    refusals = [answer for answer in answers if isinstance(answer, Refusal)]
    assert [refusal.replica for refusal in refusals] == ["r"]
    assert refusals[0].retry_after_s >= 1


async def test_nobody_watches_for_long_ends_the_session(store: Store) -> None:
    rig = Rig(store, unwatched_seconds=2.0)
    async with rig.running() as generator:
        await generator.open("s", "a ball", 1)
        assert (await rig.over("s")).reason == "unwatched"
        assert generator.sessions == 0


async def test_a_model_that_breaks_fails_its_session_only(store: Store) -> None:
    def stream(prompt: Tensor, seed: int) -> FakeVideoStream:
        return (BrokenStream if seed == 13 else FakeVideoStream)(prompt, seed)

    rig = Rig(store, stream=stream)
    async with rig.running() as generator:
        await generator.open("good", "a ball", 1)
        await generator.open("bad", "a ball", 13)
        watching = asyncio.create_task(rig.watch("bad", 10))
        session = await rig.over("bad")
        await watching
        assert len(await rig.watch("good", 3)) == 3
    assert session.status == SessionState.failed
    assert isinstance((await rig.facts("bad"))[-1], SessionFailed)


async def test_a_chunk_that_cannot_be_encoded_fails_the_session(store: Store) -> None:
    rig = Rig(store, encoder_breaks_at=2)
    async with rig.running() as generator:
        await generator.open("s", "a ball", 1)
        fragments = await rig.watch("s", 10)
        session = await rig.over("s")
    assert [f.chunk for f in fragments] == [0, 1]
    assert session.status == SessionState.failed


async def test_an_owner_that_was_replaced_drops_the_session_and_writes_nothing(store: Store) -> None:
    rig = Rig(store)
    async with rig.running() as generator:
        await generator.open("s", "a ball", 1)
        await rig.watch("s", 1)
        await Leases(store.redis).claim("s", "other", dead_owner="r")
        fragments = await rig.watch("s", 10_000)
        assert generator.sessions == 0
        session = await store.timeline.session("s")
    assert session.owner == "other"
    assert session.chunks <= (fragments[-1].chunk + 1 if fragments else 2)


async def test_a_replica_that_stops_ends_its_sessions_and_takes_no_more(store: Store) -> None:
    rig = Rig(store)
    async with rig.running() as generator:
        await generator.open("s", "a ball", 1)
        await generator.close()
        assert isinstance((await rig.facts("s"))[-1], SessionEnded)
        assert isinstance(await generator.open("t", "a ball", 1), Refusal)
    assert (await store.timeline.session("s")).reason == "stopped"
