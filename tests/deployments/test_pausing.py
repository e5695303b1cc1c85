"""Pause and resume: the video stands still at a chunk, holds nothing meanwhile, and goes on where it was."""

from __future__ import annotations

import asyncio
import gc
import weakref
from pathlib import Path

import pytest
import torch
from generator_rig import FakeVideoStream, Rig, owns, tiny_rig
from generator_rig import rig as make_rig
from redis.asyncio import Redis
from redis_store import Store
from torch import Tensor

from deployments.ending import Ending
from deployments.entries import (
    AnyEntry,
    EndRequested,
    Fact,
    PauseRefused,
    PauseRequested,
    PromptApplied,
    PromptRequested,
    PromptScheduled,
    SessionEnded,
    SessionLive,
    SessionPaused,
    SessionResumed,
)
from deployments.leases import Leases
from deployments.media_store import MediaStore, StoreFull, StoreUnavailable
from deployments.recording import recorded
from deployments.redis_server import RedisServer
from deployments.session import Session, SessionState, chunk_first_frame
from deployments.store import LIVE_SESSIONS, Keys, LeaseHeld, connect
from deployments.timeline import Timeline
from longlive.pipeline import load_model
from longlive.stream import VideoStream


class FaultyStore(MediaStore):
    """Refuses with `error` while it has one."""

    error: Exception | None = None

    async def write(self, path: str, data: bytes) -> None:
        if self.error:
            raise self.error
        await super().write(path, data)

    async def read(self, path: str) -> bytes:
        if self.error:
            raise self.error
        return await super().read(path)


async def pause(rig: Rig, sid: str = "s") -> SessionPaused:
    before = len(await rig.all_of(SessionPaused, sid))
    await rig.ask(sid, PauseRequested())
    paused = await rig.next_of(SessionPaused, sid, before + 1)
    await owns(rig.generator, 0)
    return paused


async def test_a_paused_session_stands_before_a_chunk_and_holds_no_lease_slot_or_memory(
    store: Store, tmp_path: Path
) -> None:
    streams: list[weakref.ref[FakeVideoStream]] = []

    def stream(prompt: Tensor, seed: int) -> FakeVideoStream:
        made = FakeVideoStream(prompt, seed)
        streams.append(weakref.ref(made))
        return made

    rig = make_rig(store, tmp_path, stream=stream)
    async with rig.running() as generator:
        await rig.begin("s")
        await rig.watch("s", 5)
        watching = asyncio.create_task(rig.watch("s", 10_000))
        gc.disable()  # what is not referred to any more must go by itself
        try:
            paused = await pause(rig)
            shown = await watching
            await rig.watch("s", 1)
            assert [stream() for stream in streams] == [None]
        finally:
            gc.enable()
        session = await store.timeline.session("s")
        assert generator.free == pytest.approx(0.5), "of two slots the next session takes one"
    assert paused.frame == chunk_first_frame(paused.chunk)
    assert paused.media_seconds == paused.frame / 160
    assert (session.status, session.chunks, session.snapshot) == (SessionState.paused, paused.chunk, paused.snapshot)
    assert shown[-1].chunk == paused.chunk - 1, "all that was made was shown"
    assert await store.leases.orphans() == frozenset()
    assert not await store.redis.exists(Keys("s").lease, LIVE_SESSIONS)
    assert paused.snapshot == f"s/snapshots/1-{paused.chunk}"


async def test_another_replica_goes_on_without_a_gap(store: Store, tmp_path: Path) -> None:
    first, second = make_rig(store, tmp_path), make_rig(store, tmp_path, name="r2")
    async with first.running():
        await first.begin("s")
        before = await first.watch("s", 4)
        paused = await pause(first)
    async with second.running() as generator:
        session = await generator.take("s")
        assert isinstance(session, Session)
        assert (session.status, session.owner, session.fence) == (SessionState.live, "r2", 2)
        after = await second.watch("s", 12)
        chunks = await store.timeline.chunks("s")
    (resumed,) = await second.all_of(SessionResumed, "s")
    assert (resumed.chunk, resumed.frame, resumed.media_seconds) == (paused.chunk, paused.frame, paused.media_seconds)
    assert [fragment.chunk for fragment in after] == list(range(paused.chunk, paused.chunk + 12))
    assert [fragment.first_frame for fragment in after] == [chunk_first_frame(f.chunk) for f in after]
    assert {fragment.fence for fragment in before} == {1}
    assert {fragment.fence for fragment in after} == {2}
    assert {fragment.data for fragment in before + after} == {bytes([1])}, "the prompt is the one it had"
    assert [chunk.chunk for chunk in chunks] == list(range(len(chunks)))
    first_again = chunks[paused.chunk]
    assert (first_again.gap_ms, first_again.slack_ms) == (0, None), "a pause is no stall"
    assert len(await second.all_of(SessionLive, "s")) == 1


async def test_a_session_pauses_and_goes_on_again_and_again_and_keeps_one_snapshot(
    store: Store, tmp_path: Path
) -> None:
    rig = make_rig(store, tmp_path)
    async with rig.running() as generator:
        await rig.begin("s")
        for _ in range(3):
            await rig.watch("s", 3)
            paused = await pause(rig)
            while await rig.media.names("s/snapshots") != [paused.snapshot.rpartition("/")[2]]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await generator.take("s")
        assert len(await rig.watch("s", 3)) == 3


async def test_paused_sessions_leave_nothing_to_do(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path)
    async with rig.running() as generator:
        await asyncio.sleep(0)
        tasks = len(asyncio.all_tasks())
        for sid in (f"s{n}" for n in range(20)):
            await rig.begin(sid)
            await rig.until_chunks(sid, 1)
            await pause(rig, sid)
        while len(asyncio.all_tasks()) > tasks:  # noqa: ASYNC110  (tasks have no event)
            await asyncio.sleep(0.01)
        assert generator.sessions == 0
        assert await store.leases.orphans() == frozenset()
        assert not await store.redis.exists(LIVE_SESSIONS)


async def test_a_pause_before_the_first_fragment_comes_after_it(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path)
    async with rig.running() as generator:
        await rig.create("s")
        await store.timeline.append_command("s", PauseRequested())
        await generator.take("s")
        assert (await rig.next_of(SessionPaused, "s")).chunk == 1
        await owns(generator, 0)
        await generator.take("s")
        assert len(await rig.watch("s", 3)) == 3, "what asked for the first pause asks for no second one"


async def test_prompts_wait_through_a_pause(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path)
    async with rig.running() as generator:
        await rig.begin("s")
        await rig.watch("s", 2)
        await rig.ask("s", PromptRequested(prompt_id="later", text="later", at_frame=chunk_first_frame(20)))
        await rig.next_of(PromptScheduled, "s")
        paused = await pause(rig)
        await rig.ask("s", PromptRequested(prompt_id="meanwhile", text="meanwhile"))
        await generator.take("s")
        watching = asyncio.create_task(rig.watch("s", 10_000))
        applied = [await rig.next_of(PromptApplied, "s", count) for count in (1, 2)]
        await rig.ask("s", EndRequested())
        await watching
    assert [(entry.prompt_id, entry.chunk) for entry in applied] == [("meanwhile", paused.chunk), ("later", 20)]
    planned = [entry.prompt_id for entry in await rig.all_of(PromptScheduled, "s")]
    assert planned == ["later", "meanwhile"], "nothing is announced twice"


async def test_what_is_recorded_is_whole_when_the_session_is_paused(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path)
    async with rig.running() as generator:
        await rig.begin("s", record=True)
        for _ in range(2):
            await rig.watch("s", 6)
            paused = await pause(rig)
            kept = [chunk for segment in await recorded(rig.media, "s") for chunk in segment.chunks]
            assert kept == list(range(paused.chunk))
            await generator.take("s")


@pytest.mark.parametrize("error", [StoreFull("quota"), StoreUnavailable("gone")])
async def test_a_store_that_takes_no_snapshot_refuses_the_pause_and_the_video_goes_on(
    store: Store, tmp_path: Path, error: Exception
) -> None:
    media = FaultyStore(str(tmp_path))
    rig = Rig(store, media)
    async with rig.running():
        await rig.begin("s")
        await rig.watch("s", 2)
        media.error = error
        await rig.ask("s", PauseRequested())
        refused = await rig.next_of(PauseRefused, "s")
        assert str(error) in refused.reason
        assert len(await rig.watch("s", 12)) == 12
        media.error = None
        assert await pause(rig)


@pytest.mark.parametrize("unwatched_seconds", [1e6, 0.3])
async def test_a_recording_that_is_late_costs_no_snapshot_and_leaves_none_that_nobody_needs(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unwatched_seconds: float
) -> None:
    class SlowRecordings(MediaStore):
        async def write(self, path: str, data: bytes) -> None:
            if "/snapshots/" not in path:
                await asyncio.Event().wait()
            await super().write(path, data)

    monkeypatch.setattr("deployments.leaving.PAUSE_SECONDS", 0.5)
    media = SlowRecordings(str(tmp_path))
    rig = Rig(store, media, unwatched_seconds=unwatched_seconds)
    async with rig.running():
        await rig.begin("s", record=True)
        await rig.watch("s", 2)
        if unwatched_seconds < 1:
            paused = await rig.next_of(SessionPaused, "s")
            assert paused.snapshot == f"s/snapshots/1-{paused.chunk}"
            assert await media.names("s/snapshots") == [f"1-{paused.chunk}"]
        else:
            await rig.ask("s", PauseRequested())
            assert "in time" in (await rig.next_of(PauseRefused, "s")).reason
            while await media.names("s/snapshots"):  # noqa: ASYNC110  (a folder has no event)
                await asyncio.sleep(0.01)


async def test_a_session_ended_while_it_pauses_has_ended(store: Store, tmp_path: Path) -> None:
    writing, go_on = asyncio.Event(), asyncio.Event()

    class SlowStore(MediaStore):
        async def write(self, path: str, data: bytes) -> None:
            if "/snapshots/" in path:  # small pictures are written too, before anybody asks for a pause
                writing.set()
                await go_on.wait()
            await super().write(path, data)

    rig = Rig(store, SlowStore(str(tmp_path)))
    async with rig.running() as generator:
        await rig.begin("s")
        await rig.watch("s", 2)
        await rig.ask("s", PauseRequested())
        await writing.wait()
        await rig.ask("s", EndRequested())
        assert (await rig.over("s")).reason == "requested"
        go_on.set()
        await owns(generator, 0)
    assert await rig.all_of(SessionPaused, "s") == []


class Interrupted(Timeline):
    """Somebody asks for the end just before the pause is written, or just after; and the owner hears of it."""

    def __init__(self, redis: Redis, blocking: Redis, *, before: bool) -> None:
        super().__init__(redis, blocking)
        self.before = before
        self.heard = asyncio.Event()

    async def read(self, sid: str, after: str = "", limit: int = 100) -> list[AnyEntry]:
        entries = await super().read(sid, after, limit)
        if any(isinstance(entry, EndRequested) for entry in entries):
            self.heard.set()
        return entries

    async def append_fact(self, sid: str, fence: int, fact: Fact, key: str | None = None, **how: str | None) -> str:
        if not isinstance(fact, SessionPaused):
            return await super().append_fact(sid, fence, fact, key, **how)
        if not self.before:
            written = await super().append_fact(sid, fence, fact, key, **how)
        await self.append_command(sid, EndRequested())
        await self.ring("r", sid)
        await self.heard.wait()
        return await super().append_fact(sid, fence, fact, key, **how) if self.before else written


@pytest.mark.parametrize("before", [True, False])
async def test_a_session_ended_in_the_moment_in_which_it_has_paused_has_ended(
    store: Store, redis_server: RedisServer, tmp_path: Path, before: bool
) -> None:
    async with connect(redis_server.url, blocking=True) as blocking:
        timeline = Interrupted(store.redis, blocking, before=before)
        rig = make_rig(Store(store.redis, timeline, store.leases), tmp_path)
        async with rig.running() as generator:
            await rig.begin("s")
            await rig.watch("s", 2)
            await rig.ask("s", PauseRequested())
            assert (await rig.over("s")).reason == "requested"
            await owns(generator, 0)
    assert await store.redis.ttl(Keys("s").state) > 0


async def test_whenever_a_pause_and_an_end_are_asked_for_the_session_ends(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path)
    ending = Ending(store.timeline, Leases(store.redis), "ingress")
    async with rig.running() as generator:
        for milliseconds in range(0, 30, 2):
            sid = f"s{milliseconds}"
            await rig.begin(sid)
            await rig.watch(sid, 2)
            await rig.ask(sid, PauseRequested())
            await asyncio.sleep(milliseconds / 1000)
            await rig.ask(sid, EndRequested())
            if not (await store.timeline.session(sid)).status.owned:  # as the API does
                await ending.conclude(sid, SessionEnded(reason="requested"))
            assert (await rig.over(sid)).reason == "requested"
            await owns(generator, 0)


async def test_a_session_ended_while_it_cannot_be_resumed_has_ended(store: Store, tmp_path: Path) -> None:
    class Ended(FaultyStore):
        async def read(self, path: str) -> bytes:
            await store.timeline.append_command("s", EndRequested())
            raise StoreUnavailable("gone")

    rig = Rig(store, Ended(str(tmp_path)))
    async with rig.running() as generator:
        await rig.begin("s")
        await rig.watch("s", 2)
        await pause(rig)
        with pytest.raises(StoreUnavailable):
            await generator.take("s")
        assert (await store.timeline.session("s")).reason == "requested"
        await owns(generator, 0)


@pytest.mark.parametrize("fault", ["damaged", "deleted"])
@pytest.mark.parametrize("history", [True, False])
async def test_without_its_snapshot_a_paused_video_goes_on_from_the_history_or_begins_anew(
    store: Store, tmp_path: Path, fault: str, history: bool
) -> None:
    rig = make_rig(store, tmp_path)
    async with rig.running() as generator:
        await rig.begin("s")
        await rig.watch("s", 5)
        paused = await pause(rig)
        if fault == "damaged":
            await rig.media.write(paused.snapshot, b"damaged")
        else:
            await rig.media.delete(paused.snapshot)
        if not history:
            rig.history.kept.clear()
        await generator.take("s")
        after = await rig.watch("s", 3)
    (resumed,) = await rig.all_of(SessionResumed, "s")
    assert (resumed.chunk, resumed.restored_chunk) == (paused.chunk, None if history else 0)
    assert [(each.chunk, each.first_frame, each.frames) for each in after] == [
        (chunk, chunk_first_frame(chunk), 12) for chunk in range(paused.chunk, paused.chunk + 3)
    ]


async def test_a_session_whose_store_is_away_stays_paused_and_goes_on_later(store: Store, tmp_path: Path) -> None:
    media = FaultyStore(str(tmp_path))
    rig = Rig(store, media)
    async with rig.running() as generator:
        await rig.begin("s")
        await rig.watch("s", 2)
        await pause(rig)
        media.error = StoreUnavailable("gone")
        with pytest.raises(StoreUnavailable):
            await generator.take("s")
        assert (await store.timeline.session("s")).status is SessionState.paused
        assert await store.redis.ttl(Keys("s").state) > 0
        media.error = None
        assert isinstance(await generator.take("s"), Session)


async def test_a_session_is_taken_once(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path)
    async with rig.running() as generator:
        await rig.create("s")
        answers = await asyncio.gather(*(generator.take("s") for _ in range(5)), return_exceptions=True)
        assert sum(isinstance(answer, Session) for answer in answers) == 1
        assert sum(isinstance(answer, LeaseHeld) for answer in answers) == 4
        with pytest.raises(LeaseHeld):
            await generator.take("s")
        await rig.watch("s", 2)
        await rig.ask("s", PauseRequested())
        await rig.next_of(SessionPaused, "s")
        assert isinstance(await generator.take("s"), Session), "as soon as it says that it is paused"


async def test_the_tiny_model_s_picture_goes_on_over_a_pause(store: Store, tmp_path: Path) -> None:
    model = load_model("tiny", torch.float32, "cpu")
    first, second = (tiny_rig(store, tmp_path, model, name=name) for name in ("r", "r2"))
    async with first.running():
        await first.begin("s", pace="offline", max_seconds=1e6)
        await first.until_chunks("s", 6)
        paused = await pause(first)
    async with second.running() as generator:
        await generator.take("s")
        await second.until_chunks("s", paused.chunk + 2)
        cut = VideoStream(model, await second.encode_text("a ball"), seed=99).next_frames()[-1].float()
    frames = torch.cat([*first.frames, *second.frames]).float()
    change = frames.diff(dim=0).abs().mean(dim=(1, 2, 3))
    at_the_seam = change[paused.frame - 1].item()
    change[paused.frame - 1] = 0
    assert at_the_seam <= 1.5 * change.max()
    assert at_the_seam <= (frames[paused.frame - 1] - cut).abs().mean() / 5
