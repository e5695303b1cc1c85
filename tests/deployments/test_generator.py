"""The owner of sessions, on a fake stream and a real Redis: chunks in order, slots kept, faults contained."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest
import torch
from generator_rig import PATIENCE, VIDEO, FakeVideoStream, owns
from generator_rig import rig as make_rig
from redis.asyncio import Redis
from redis_store import Store
from torch import Tensor

from deployments.entries import (
    EndRequested,
    Fact,
    PauseRequested,
    PromptApplied,
    PromptRefused,
    PromptRequested,
    SessionEnded,
    SessionMoved,
    SessionPaused,
    SessionResumed,
    SessionStarting,
    Stalled,
)
from deployments.leases import Leases
from deployments.placement import Refusal, TakeOver
from deployments.redis_server import RedisServer
from deployments.session import Session, SessionState
from deployments.store import Keys, connect
from deployments.timeline import Timeline
from deployments.waiting_room import WaitingRoom
from longlive.snapshot import Snapshot


async def test_chunks_come_in_order_and_are_counted(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path)
    async with rig.running():
        await rig.begin("s")
        fragments = await rig.watch("s", 5)
        session = await store.timeline.session("s")
    assert [f.chunk for f in fragments] == [0, 1, 2, 3, 4]
    assert [f.first_frame for f in fragments] == [0, 9, 21, 33, 45]
    assert {(f.sid, f.fence, f.config_hash) for f in fragments} == {("s", 1, VIDEO.hash)}
    assert session.chunks >= 5
    assert (session.status, session.owner) == (SessionState.live, "r")


async def test_unwatched_a_session_makes_no_more_than_one_chunk_of_lead(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path)
    async with rig.running():
        await rig.begin("s")
        last = (await rig.watch("s", 3))[-1].chunk
        # Another session, opened later, is given its chunks meanwhile: the device is not what holds the first one up.
        await rig.begin("t")
        await rig.watch("t", 20)
        session = await store.timeline.session("s")
    assert last + 1 <= session.chunks <= last + 3


async def test_an_unpaced_session_does_not_wait_for_viewers(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path)
    async with rig.running():
        await rig.begin("s", pace="offline", max_seconds=1000)
        made = [fragment.chunk for fragment in await rig.watch("s", 20)]
        await rig.until_chunks("s", made[-1] + 10)
    assert made == sorted(set(made))


async def test_a_prompt_is_applied_at_the_chunk_that_shows_it(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path)
    async with rig.running() as generator:
        await rig.begin("s")
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


async def test_of_two_prompts_before_one_chunk_the_newer_is_applied_and_the_older_refused(
    store: Store, tmp_path: Path
) -> None:
    rig = make_rig(store, tmp_path)
    async with rig.running() as generator:
        await rig.begin("s")
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


async def test_a_prompt_that_cannot_be_read_is_refused_and_the_video_goes_on(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path)
    async with rig.running():
        await rig.begin("s")
        await rig.ask("s", PromptRequested(prompt_id="p", text="unreadable"))
        async for entry in store.timeline.tail("s"):
            if isinstance(entry, PromptRefused):
                break
        assert len(await rig.watch("s", 3)) == 3
    assert "again" in entry.reason


async def test_an_end_closes_the_stream_and_frees_the_slot(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path)
    async with rig.running() as generator:
        await rig.begin("s")
        watching = asyncio.create_task(rig.watch("s", 10_000))
        await rig.ask("s", EndRequested())
        assert (await rig.over("s")).reason == "requested"
        await watching
        await owns(generator, 0)
        assert await rig.watch("s", 1) == []


async def test_a_full_replica_refuses_and_says_when_to_ask_again(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path, slots=2)
    async with rig.running():
        answers = await asyncio.gather(*(rig.offer(sid) for sid in ("a", "b", "c")))
    refusals = [answer for answer in answers if isinstance(answer, Refusal)]
    assert [refusal.replica for refusal in refusals] == ["r"]
    assert refusals[0].retry_after_s >= 1


async def test_a_replica_takes_no_more_sessions_than_its_memory_holds(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path, slots=4, memory_slots=1)
    async with rig.running():
        answers = [await rig.offer(sid) for sid in ("a", "b")]
    assert [isinstance(answer, Refusal) for answer in answers] == [False, True]


async def test_what_nobody_came_to_see_pauses_sooner_than_what_somebody_saw(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path, first_viewer_seconds=0.3)
    async with rig.running() as generator:
        await rig.begin("seen")
        await rig.watch("seen", 1)
        await rig.begin("never")
        assert (await rig.next_of(SessionPaused, "never")).reason == "unwatched"
        await owns(generator, 1)


async def test_a_viewers_call_ends_in_time_and_the_next_one_misses_nothing(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path, watch_seconds=0.1)
    chunks: list[int] = []
    async with rig.running() as generator:
        await rig.begin("s")
        while len(set(chunks)) < 20:
            call = [fragment.chunk async for some in generator.watch("s") for fragment in some]
            assert call == list(range(call[0], call[0] + len(call))) if call else True
            chunks += call
        await owns(generator, 1)
    assert sorted(set(chunks)) == list(range(max(chunks) + 1))


async def test_what_nobody_watches_for_long_pauses_and_goes_on_when_asked_to(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path, unwatched_seconds=0.3)
    async with rig.running() as generator:
        await rig.begin("s")
        await rig.watch("s", 1)
        assert (await rig.next_of(SessionPaused, "s")).reason == "unwatched"
        await owns(generator, 0)
        assert isinstance(await generator.take("s"), Session)
        assert len(await rig.watch("s", 3)) == 3


async def test_a_chunk_that_cannot_be_encoded_fails_the_session(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path, encoder_breaks_at=2)
    async with rig.running():
        await rig.begin("s")
        fragments = await rig.watch("s", 10)
        session = await rig.over("s")
    assert [f.chunk for f in fragments] == [0, 1]
    assert session.status == SessionState.failed


async def test_an_owner_that_was_replaced_drops_the_session_and_writes_nothing(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path)
    async with rig.running() as generator:
        await rig.begin("s")
        await rig.watch("s", 1)
        await Leases(store.redis).claim("s", "other", dead_owner="r")
        fragments = await rig.watch("s", 10_000)
        await owns(generator, 0)
        session = await store.timeline.session("s")
    assert session.owner == "other"
    assert session.chunks <= (fragments[-1].chunk + 1 if fragments else 3)


async def test_a_replica_that_stops_pauses_its_sessions_and_takes_no_more(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path)
    async with rig.running() as generator:
        await rig.begin("s")
        await rig.begin("render", pace="offline", max_seconds=1e6)
        await rig.until_chunks("s", 1)
        await rig.until_chunks("render", 1)
        await generator.close()
        assert generator.sessions == 0
        assert isinstance(await rig.offer("t"), Refusal)
    for sid in ("s", "render"):
        session = await store.timeline.session(sid)
        assert (session.status, session.reason) == (SessionState.paused, "stopped")
        assert session.snapshot == f"{sid}/snapshots/1-{session.chunks}"
    again = make_rig(store, tmp_path, name="r2")
    async with again.running() as generator:
        await generator.take("s")
        assert len(await again.watch("s", 3)) == 3


async def test_what_nobody_saw_anything_of_ends_when_its_replica_stops(store: Store, tmp_path: Path) -> None:
    class Unseen(FakeVideoStream):
        def next_frames(self) -> Tensor:
            time.sleep(0.5)
            return super().next_frames()

    rig = make_rig(store, tmp_path, stream=Unseen)
    async with rig.running() as generator:
        await rig.begin("s")
        await generator.close()
    assert isinstance((await rig.facts("s"))[-1], SessionEnded)


async def test_a_session_on_its_way_to_a_replica_that_stops_waits_for_another(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path)
    asked, read = asyncio.Event(), asyncio.Event()

    async def encode_text(text: str) -> Tensor:
        asked.set()
        await read.wait()
        return torch.zeros(1, 1, 1)

    rig.encode_text = encode_text  # type: ignore[method-assign]
    async with rig.running() as generator:
        opening = asyncio.create_task(rig.offer("s"))
        await asked.wait()
        await generator.close()
        read.set()
        assert isinstance(await opening, Refusal)
        await owns(generator, 0)
    assert (await store.timeline.session("s")).status is SessionState.queued
    assert not await store.redis.exists(Keys("s").lease)


async def test_a_take_whose_caller_leaves_gives_the_session_back(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path)
    asked, read = asyncio.Event(), asyncio.Event()

    async def encode_text(text: str) -> Tensor:
        asked.set()
        await read.wait()
        return torch.zeros(1, 1, 1)

    rig.encode_text = encode_text  # type: ignore[method-assign]
    async with rig.running() as generator:
        opening = asyncio.create_task(rig.offer("s", pace="offline", max_seconds=1e6))
        await asked.wait()
        assert await store.redis.exists(Keys("s").lease)
        opening.cancel()
        await asyncio.wait({opening})
        read.set()
        await owns(generator, 0)
        while await store.redis.exists(Keys("s").lease):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert (await store.timeline.session("s")).status is SessionState.queued
        assert isinstance(await generator.take("s"), Session)


async def test_a_take_over_whose_caller_leaves_goes_on(store: Store, tmp_path: Path) -> None:
    first = make_rig(store, tmp_path)
    second = make_rig(store, tmp_path, name="q", history=first.history)
    restoring, go_on = threading.Event(), threading.Event()

    def restore(snapshot: Snapshot) -> FakeVideoStream:
        restoring.set()
        go_on.wait(PATIENCE)
        return FakeVideoStream.restore(snapshot)

    second.restore = restore
    async with first.running():
        await first.begin("s")
        await first.watch("s", 3)
    await first.idle("s")
    async with second.running() as generator:
        taking = asyncio.create_task(generator.take("s", TakeOver("r", "lost")))
        await asyncio.to_thread(restoring.wait, PATIENCE)
        taking.cancel()
        await asyncio.wait({taking})
        go_on.set()
        moved = await second.next_of(SessionMoved, "s")
        await second.watch("s", 5)
        assert generator.sessions == 1
    assert (moved.cause, (await store.timeline.session("s")).owner) == ("lost", "q")


class Late(Timeline):
    """Writes down that a session was taken only when told to."""

    def __init__(self, redis: Redis, blocking: Redis) -> None:
        super().__init__(redis, blocking)
        self.asked, self.open = asyncio.Event(), asyncio.Event()

    async def append_fact(self, sid: str, fence: int, fact: Fact, key: str | None = None, **how: str | None) -> str:
        if isinstance(fact, SessionStarting | SessionResumed):
            self.asked.set()
            await self.open.wait()
        return await super().append_fact(sid, fence, fact, key, **how)


@pytest.mark.parametrize("was", ["new", "queued", "paused"])
async def test_a_take_whose_caller_leaves_when_it_is_done_leaves_nothing_that_nobody_knows_of(
    store: Store, redis_server: RedisServer, tmp_path: Path, was: str
) -> None:
    async with connect(redis_server.url, blocking=True) as blocking:
        timeline = Late(store.redis, blocking)
        rig = make_rig(Store(store.redis, timeline, store.leases), tmp_path)
        async with rig.running() as generator:
            await rig.create("s", pace="offline", max_seconds=1e6)
            if was == "queued":
                await WaitingRoom(store.redis).enter("s", "offline")
            if was == "paused":
                timeline.open.set()
                await generator.take("s")
                await rig.ask("s", PauseRequested())
                await rig.next_of(SessionPaused, "s")
                await owns(generator, 0)
                timeline.open.clear()
                timeline.asked.clear()
            taking = asyncio.create_task(generator.take("s"))
            await timeline.asked.wait()
            taking.cancel()
            await asyncio.wait({taking})
            timeline.open.set()
            match was:
                case "new":
                    assert (await rig.over("s")).reason == "abandoned"
                    await owns(generator, 0)
                case "queued":
                    await rig.until_chunks("s", 10)
                case "paused":
                    await rig.next_of(SessionPaused, "s", 2)
                    await owns(generator, 0)


async def test_a_text_encoder_that_is_silent_holds_up_nobody_elses_commands(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path)
    silent = asyncio.Event()
    plain = rig.encode_text

    async def encode_text(text: str) -> Tensor:
        if text == "slow":
            await silent.wait()
        return await plain(text)

    rig.encode_text = encode_text  # type: ignore[method-assign]
    async with rig.running():
        await rig.begin("slow")
        await rig.begin("s")
        await rig.ask("slow", PromptRequested(prompt_id="p", text="slow"), PromptRequested(prompt_id="q", text="quick"))
        await rig.ask("s", EndRequested())
        assert (await rig.over("s")).reason == "requested"
        await rig.ask("slow", EndRequested())
        assert (await rig.over("slow")).reason == "requested"


async def test_prompts_keep_their_order_however_long_each_takes_to_read(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path)
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
    async with rig.running():
        await rig.begin("s")
        await rig.watch("s", 1)
        await rig.idle("s")
        await rig.ask("s", PromptRequested(prompt_id="p", text="one"), PromptRequested(prompt_id="q", text="two"))
        async for entry in store.timeline.tail("s"):
            if isinstance(entry, PromptRefused):
                break
    assert entry.prompt_id == "p"


async def test_a_timeline_that_cannot_be_read_fails_its_session_only(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path)
    async with rig.running():
        await rig.begin("bad")
        await rig.begin("good")
        await store.redis.xadd(Keys("bad").timeline, {"data": '{"type": "nonsense"}'})
        await store.timeline.ring("r", "bad")
        await rig.until("bad", lambda session: session.status is SessionState.failed)
        assert len(await rig.watch("good", 3)) == 3
    session = await store.timeline.session("bad")
    assert (session.status, "cannot be read" in (session.reason or "")) == (SessionState.failed, True)


async def test_one_entry_tells_of_a_run_of_late_chunks_and_each_chunk_counts(store: Store, tmp_path: Path) -> None:
    class Slow(FakeVideoStream):
        def next_frames(self) -> Tensor:
            time.sleep(0.2 if self.chunk in (3, 4, 5, 9) else 0.0)
            return super().next_frames()

    rig = make_rig(store, tmp_path, stream=Slow)
    async with rig.running() as generator:
        await rig.begin("s")
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
            rig = make_rig(Store(redis, Timeline(redis, blocking), Leases(redis)), tmp_path)
            async with rig.running() as generator:
                await rig.begin("s")
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
    assert kinds[:3] == ["session.created", "session.starting", "session.live"]
    assert set(kinds[3:]) <= {"stalled"}


async def test_a_session_outlives_a_redis_that_died_and_came_back(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        async with connect(server.url) as redis, connect(server.url, blocking=True) as blocking:
            rig = make_rig(Store(redis, Timeline(redis, blocking), Leases(redis)), tmp_path)
            async with rig.running() as generator:
                await rig.begin("s")
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
