"""The owner of sessions, on a fake stream and a real Redis: chunks in order, prompts applied, faults contained."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from redis_store import Store
from torch import Tensor

from deployments.fragments import Fragment
from deployments.generator import Generator, Parts
from deployments.leases import Leases
from deployments.owned import Limits
from deployments.placement import Refusal
from deployments.redis_server import RedisServer
from deployments.session import (
    EndRequested,
    PromptApplied,
    PromptRefused,
    PromptRequested,
    Session,
    SessionEnded,
    SessionFailed,
    SessionState,
    Stalled,
    chunk_frames,
)
from deployments.store import Keys, connect
from deployments.timeline import Timeline
from deployments.video_config import VideoConfig

VIDEO = VideoConfig(width=16, height=16, fps=160)  # ten times as fast as is usual: a chunk lasts 75 ms
PATIENCE = 20.0


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
    broken = 0

    def next_frames(self) -> Tensor:
        if self.chunk == 1:
            self.broken += 1
            raise RuntimeError("the device is on fire")
        return super().next_frames()


@dataclass
class Rig:
    """A generator named `r`, its store, and what its encoders were asked."""

    store: Store
    stream: Callable[[Tensor, int], FakeVideoStream] = FakeVideoStream
    slots: int = 2
    memory_slots: int | None = None
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

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Generator]:
        """Its loops must run all the while."""
        parts = Parts(
            timeline=self.store.timeline,
            leases=Leases(self.store.redis),
            encode_text=self.encode_text,
            encode_video=self.encode_video,
            open_stream=self.stream,
        )
        limits = Limits(
            self.slots, self.unwatched_seconds, self.first_viewer_seconds, self.watch_seconds, self.memory_slots
        )
        self.generator = Generator("r", "fake", VIDEO, parts, limits, chunk_seconds=0.01)
        running = asyncio.create_task(self.generator.run())
        try:
            async with asyncio.timeout(PATIENCE):
                yield self.generator
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    async def ask(self, sid: str, *commands: PromptRequested | EndRequested) -> None:
        for command in commands:
            await self.store.timeline.append_command(sid, command)
        await self.store.timeline.ring("r", sid)

    async def watch(self, sid: str, count: int) -> list[Fragment]:
        fragments: list[Fragment] = []
        async for some in self.generator.watch(sid):
            fragments += some
            if len(fragments) >= count:
                break
        return fragments[:count]

    async def facts(self, sid: str) -> list[object]:
        return list(await self.store.timeline.read(sid, limit=1000))

    async def until(self, sid: str, holds: Callable[[Session], bool]) -> Session:
        while True:
            if holds(session := await self.store.timeline.session(sid)):
                return session
            await asyncio.sleep(0.01)

    async def until_chunks(self, sid: str, count: int) -> Session:
        return await self.until(sid, lambda session: session.chunks >= count)

    async def idle(self, sid: str) -> None:
        """Returns when an unwatched session has made what it may."""
        made = -1
        while True:
            before, made = made, (await self.store.timeline.session(sid)).chunks
            if made == before:
                return
            await asyncio.sleep(0.3)

    async def over(self, sid: str) -> Session:
        async for _ in self.store.timeline.tail(sid):
            pass
        return await self.store.timeline.session(sid)


async def owns(generator: Generator, sessions: int) -> None:
    """Returns once the generator owns so many: an end is recorded first, and the slot is free after."""
    async with asyncio.timeout(10):
        while generator.sessions != sessions:  # noqa: ASYNC110  (a plain count has no event)
            await asyncio.sleep(0.01)


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


async def test_unwatched_a_session_makes_no_more_than_one_chunk_of_lead(store: Store) -> None:
    rig = Rig(store)
    async with rig.running() as generator:
        await generator.open("s", "a ball", 1)
        last = (await rig.watch("s", 3))[-1].chunk
        # Another session, opened later, is given its chunks meanwhile: the device is not what holds the first one up.
        await generator.open("t", "a cube", 1)
        await rig.watch("t", 20)
        session = await store.timeline.session("s")
    assert last + 1 <= session.chunks <= last + 3


async def test_an_unpaced_session_does_not_wait_for_viewers(store: Store) -> None:
    rig = Rig(store)
    async with rig.running() as generator:
        await generator.open("s", "a ball", 1, paced=False)
        made = [fragment.chunk for fragment in await rig.watch("s", 20)]
        await rig.until_chunks("s", made[-1] + 10)
    assert made == sorted(set(made))


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
        await rig.watch("s", 3)  # and nobody watches any more: no chunk begins between the two
        await rig.idle("s")
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
        await owns(generator, 0)
        assert await rig.watch("s", 1) == []


async def test_a_full_replica_refuses_and_says_when_to_ask_again(store: Store) -> None:
    rig = Rig(store, slots=2)
    async with rig.running() as generator:
        answers = await asyncio.gather(*(generator.open(sid, "a ball", 1) for sid in ("a", "b", "c")))
    refusals = [answer for answer in answers if isinstance(answer, Refusal)]
    assert [refusal.replica for refusal in refusals] == ["r"]
    assert refusals[0].retry_after_s >= 1


async def test_a_replica_takes_no_more_sessions_than_its_memory_holds_whatever_was_set(store: Store) -> None:
    rig = Rig(store, slots=4, memory_slots=1)
    async with rig.running() as generator:
        answers = [await generator.open(sid, "a ball", 1) for sid in ("a", "b")]
    assert [isinstance(answer, Refusal) for answer in answers] == [False, True]


async def test_who_never_comes_loses_the_session_sooner_than_who_was_there(store: Store) -> None:
    rig = Rig(store, first_viewer_seconds=0.3)
    async with rig.running() as generator:
        await generator.open("seen", "a ball", 1)
        await rig.watch("seen", 1)
        await generator.open("never", "a ball", 1)
        assert (await rig.over("never")).reason == "unwatched"
        await owns(generator, 1)


async def test_a_viewers_call_ends_in_time_and_the_next_one_misses_nothing(store: Store) -> None:
    rig = Rig(store, watch_seconds=0.1)
    chunks: list[int] = []
    async with rig.running() as generator:
        await generator.open("s", "a ball", 1)
        while len(set(chunks)) < 20:
            call = [fragment.chunk async for some in generator.watch("s") for fragment in some]
            assert call == list(range(call[0], call[0] + len(call))) if call else True
            chunks += call
        await owns(generator, 1)
    assert sorted(set(chunks)) == list(range(max(chunks) + 1))


async def test_nobody_watches_for_long_ends_the_session(store: Store) -> None:
    rig = Rig(store, unwatched_seconds=0.3)
    async with rig.running() as generator:
        await generator.open("s", "a ball", 1)
        await rig.watch("s", 1)
        assert (await rig.over("s")).reason == "unwatched"
        await owns(generator, 0)


async def test_a_model_that_breaks_fails_its_session_only(store: Store) -> None:
    made: list[BrokenStream] = []

    def stream(prompt: Tensor, seed: int) -> FakeVideoStream:
        if seed != 13:
            return FakeVideoStream(prompt, seed)
        made.append(BrokenStream(prompt, seed))
        return made[-1]

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
    assert made[0].broken == 1


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
        await owns(generator, 0)
        session = await store.timeline.session("s")
    assert session.owner == "other"
    assert session.chunks <= (fragments[-1].chunk + 1 if fragments else 3)


async def test_a_replica_that_stops_ends_its_sessions_and_takes_no_more(store: Store) -> None:
    rig = Rig(store)
    async with rig.running() as generator:
        await generator.open("s", "a ball", 1)
        await generator.close()
        assert isinstance((await rig.facts("s"))[-1], SessionEnded)
        assert isinstance(await generator.open("t", "a ball", 1), Refusal)
    assert (await store.timeline.session("s")).reason == "stopped"


async def test_a_session_that_is_being_opened_when_the_replica_stops_does_not_stay(store: Store) -> None:
    rig = Rig(store)
    asked, read = asyncio.Event(), asyncio.Event()

    async def encode_text(text: str) -> Tensor:
        asked.set()
        await read.wait()
        return torch.zeros(1, 1, 1)

    rig.encode_text = encode_text  # type: ignore[method-assign]
    async with rig.running() as generator:
        opening = asyncio.create_task(generator.open("s", "a ball", 1))
        await asked.wait()
        await generator.close()
        read.set()
        assert isinstance(await opening, Refusal)
        await owns(generator, 0)
    assert (await store.timeline.session("s")).reason == "stopped"


async def test_a_text_encoder_that_is_silent_holds_up_nobody_elses_commands(store: Store) -> None:
    rig = Rig(store)
    silent = asyncio.Event()
    plain = rig.encode_text

    async def encode_text(text: str) -> Tensor:
        if text == "slow":
            await silent.wait()
        return await plain(text)

    rig.encode_text = encode_text  # type: ignore[method-assign]
    async with rig.running() as generator:
        await generator.open("slow", "a ball", 1)
        await generator.open("s", "a ball", 1)
        await rig.ask("slow", PromptRequested(prompt_id="p", text="slow"), PromptRequested(prompt_id="q", text="quick"))
        await rig.ask("s", EndRequested())
        assert (await rig.over("s")).reason == "requested"
        await rig.ask("slow", EndRequested())
        assert (await rig.over("slow")).reason == "requested"


async def test_prompts_keep_their_order_however_long_each_takes_to_read(store: Store) -> None:
    rig = Rig(store)
    second_read = asyncio.Event()
    plain = rig.encode_text

    async def encode_text(text: str) -> Tensor:
        if text == "one":
            await second_read.wait()
        embeddings = await plain(text)
        if text == "two":
            second_read.set()
        return embeddings

    rig.encode_text = encode_text  # type: ignore[method-assign]
    async with rig.running() as generator:
        await generator.open("s", "a ball", 1)
        await rig.watch("s", 1)
        await rig.idle("s")
        await rig.ask("s", PromptRequested(prompt_id="p", text="one"), PromptRequested(prompt_id="q", text="two"))
        async for entry in store.timeline.tail("s"):
            if isinstance(entry, PromptRefused):
                break
    assert entry.prompt_id == "p"


async def test_a_timeline_that_cannot_be_read_fails_its_session_only(store: Store) -> None:
    rig = Rig(store)
    async with rig.running() as generator:
        await generator.open("bad", "a ball", 1)
        await generator.open("good", "a ball", 1)
        await store.redis.xadd(Keys("bad").timeline, {"data": '{"type": "nonsense"}'})
        await store.timeline.ring("r", "bad")
        await rig.until("bad", lambda session: session.status is SessionState.failed)
        assert len(await rig.watch("good", 3)) == 3
    session = await store.timeline.session("bad")
    assert (session.status, "cannot be read" in (session.reason or "")) == (SessionState.failed, True)


async def test_one_entry_tells_of_a_run_of_late_chunks_and_each_chunk_counts(store: Store) -> None:
    class Slow(FakeVideoStream):
        def next_frames(self) -> Tensor:
            time.sleep(0.2 if self.chunk in (3, 4, 5, 9) else 0.0)
            return super().next_frames()

    rig = Rig(store, stream=Slow)
    async with rig.running() as generator:
        await generator.open("s", "a ball", 1)
        await rig.watch("s", 14)
        await generator.close()  # what is read below must be of one moment
        session = await store.timeline.session("s")
        stalled = [entry.chunk for entry in await rig.facts("s") if isinstance(entry, Stalled)]
    late = [
        row["chunk"]
        for _, fields in await store.redis.xrange(Keys("s").chunks)
        if (row := json.loads(fields["data"]))["gap_ms"]
    ]
    assert session.stalls == len(late) >= 4
    assert stalled == [chunk for chunk in late if chunk - 1 not in late]
    assert len(stalled) < len(late)


async def test_the_picture_goes_on_while_redis_is_away_and_the_history_catches_up(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        async with connect(server.url) as redis, connect(server.url, blocking=True) as blocking:
            rig = Rig(Store(redis, Timeline(redis, blocking), Leases(redis)))
            async with rig.running() as generator:
                await generator.open("s", "a ball", 1)
                await rig.watch("s", 2)
                assert server.pid is not None
                os.kill(server.pid, signal.SIGSTOP)
                try:
                    shown = [fragment.chunk for fragment in await rig.watch("s", 30)]
                finally:
                    os.kill(server.pid, signal.SIGCONT)
                await rig.until_chunks("s", shown[-1] + 1)
                await owns(generator, 1)
            recorded = [json.loads(fields["data"])["chunk"] for _, fields in await redis.xrange(Keys("s").chunks)]
            kinds = [getattr(entry, "type", "") for entry in await rig.facts("s")]
    assert shown == list(range(shown[0], shown[0] + 30))
    assert recorded == list(range(recorded[-1] + 1))
    assert kinds[:2] == ["session.created", "session.live"]
    assert set(kinds[2:]) <= {"stalled"}


async def test_a_session_outlives_a_redis_that_died_and_came_back(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        async with connect(server.url) as redis, connect(server.url, blocking=True) as blocking:
            rig = Rig(Store(redis, Timeline(redis, blocking), Leases(redis)))
            async with rig.running() as generator:
                await generator.open("s", "a ball", 1)
                await rig.watch("s", 2)
                await redis.config_set("appendfsync", "always")
                await redis.hset("marker", "a", "b")
                assert server.pid is not None
                os.kill(server.pid, signal.SIGKILL)
                shown = [fragment.chunk for fragment in await rig.watch("s", 10)]
                assert not server.alive
                server.keep()
                assert (await rig.until_chunks("s", shown[-1] + 1)).status is SessionState.live
                await rig.ask("s", EndRequested())
                assert (await rig.over("s")).reason == "requested"
                await owns(generator, 0)
