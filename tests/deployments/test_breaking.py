"""A model that breaks: its session goes on elsewhere, unless it breaks there too; a broken replica is replaced."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from generator_rig import FakeVideoStream, MemoryHistory, Rig, owns
from generator_rig import rig as make_rig
from redis_store import Store
from torch import Tensor

from deployments.breaking import TWICE, broke_over
from deployments.device_health import DeviceHealth, ModelBroke
from deployments.entries import PauseRequested, SessionBroke, SessionFailed, SessionMoved, SessionPaused
from deployments.placement import Refusal, TakeOver
from deployments.session import Session, SessionState, chunk_first_frame
from deployments.store import SessionOver
from longlive.errors import InputError

BAD = 13


class BrokenStream(FakeVideoStream):
    """Breaks over chunk `at` of sessions with the seed BAD, or of all."""

    at = 3
    all = False

    def next_frames(self) -> Tensor:
        if self.chunk == self.at and (self.all or self.seed == BAD):
            raise RuntimeError("the device is on fire")
        return super().next_frames()


class BrokenDevice(BrokenStream):
    all = True


class BrokenFromTheStart(BrokenDevice):
    at = 0


class EndingStream(FakeVideoStream):
    """A video whose model has no more positions behind chunk 4."""

    def next_frames(self) -> Tensor:
        if self.chunk == 5:
            raise InputError("latent frame 15 would be past the 15 positions of the model")
        return super().next_frames()


def make(store: Store, folder: Path, name: str, history: MemoryHistory, kind: type[FakeVideoStream], **how: int) -> Rig:
    return make_rig(store, folder, name=name, history=history, stream=kind, restore=kind.restore, **how)


def pair(store: Store, folder: Path, *kinds: type[FakeVideoStream]) -> tuple[Rig, Rig]:
    history = MemoryHistory()
    first, second = (make(store, folder, name, history, kind) for name, kind in zip("rq", kinds, strict=True))
    first.heir = second
    return first, second


async def until_dropped(rig: Rig, sid: str) -> None:
    """Watch until its owner has no more of it."""
    async for _ in rig.generator.watch(sid):
        pass
    await owns(rig.generator, 0)


@pytest.mark.parametrize("before", [None, 2])
def test_another_replica_may_make_the_chunk_over_which_a_model_broke(before: int | None) -> None:
    frame = chunk_first_frame(3)
    assert broke_over(3, 16, before) == SessionBroke(chunk=3, frame=frame, media_seconds=frame / 16)


def test_a_session_over_whose_chunk_a_model_broke_again_has_failed() -> None:
    assert broke_over(3, 16, 3) == SessionFailed(reason=TWICE)


async def test_a_session_over_which_a_model_breaks_goes_on_elsewhere_at_once(store: Store, tmp_path: Path) -> None:
    first, second = pair(store, tmp_path, BrokenDevice, FakeVideoStream)
    async with first.running() as generator, second.running():
        await first.begin("s")
        seen = await first.watch("s", 1000)
        await owns(generator, 0)
        more = await second.watch("s", 6)
        [broke], [moved] = await first.all_of(SessionBroke, "s"), await first.all_of(SessionMoved, "s")
        generator.check_health()
    assert (broke.chunk, broke.frame, moved.chunk) == (3, chunk_first_frame(3), 3)
    assert moved.restored_chunk is None
    assert [fragment.chunk for fragment in seen] == [0, 1, 2], "what was made before is out"
    assert {fragment.chunk for fragment in more} >= {3, 4, 5}


@pytest.mark.parametrize("pace", ["live", "offline"])
async def test_a_chunk_that_works_nowhere_fails_its_session_only(store: Store, tmp_path: Path, pace: str) -> None:
    first, second = pair(store, tmp_path, BrokenStream, BrokenStream)
    async with first.running() as generator, second.running() as other:
        await first.begin("good")
        await second.begin("good-too")
        watching = [asyncio.create_task(rig.watch(sid, 1000)) for rig, sid in ((first, "good"), (second, "good-too"))]
        await first.begin("bad", seed=BAD, pace=pace, max_seconds=10)
        bad = asyncio.create_task(first.watch("bad", 1000))
        await first.next_of(SessionMoved, "bad")
        also_bad = asyncio.create_task(second.watch("bad", 1000))
        session = await first.over("bad")
        await asyncio.gather(bad, also_bad)
        for sid in ("good", "good-too"):
            await first.until_chunks(sid, (await store.timeline.session(sid)).chunks + 2)
        generator.check_health()
        other.check_health()
        for task in watching:
            task.cancel()
    assert (session.status, session.moves, session.chunks) == (SessionState.failed, 1, 3)
    assert isinstance((await first.facts("bad"))[-1], SessionFailed)


async def test_one_that_nobody_else_has_room_for_loses_its_lease_and_waits(store: Store, tmp_path: Path) -> None:
    rig = make(store, tmp_path, "r", MemoryHistory(), BrokenStream)
    async with rig.running() as generator:
        await rig.begin("s", seed=BAD)
        await until_dropped(rig, "s")
        assert await store.leases.orphans() == {"s"}
        await rig.begin("good")
        await rig.watch("good", 2)
        assert isinstance(await generator.take("s", TakeOver("", "lost")), Session), "it does work"
        assert (await rig.over("s")).status is SessionState.failed
        await rig.watch("good", 5)
        generator.check_health()


async def test_a_replica_over_which_two_sessions_break_takes_none_and_is_replaced(store: Store, tmp_path: Path) -> None:
    first, second = pair(store, tmp_path, BrokenFromTheStart, FakeVideoStream)
    async with first.running() as generator, second.running():
        for sid in ("s", "t"):
            generator.check_health()
            await first.begin(sid)
            await first.until(sid, lambda session: session.owner == "q")
        with pytest.raises(ModelBroke):
            generator.check_health()
        assert generator.free < 0
        assert isinstance(await first.offer("u"), Refusal)
        for sid in ("s", "t"):
            await second.watch(sid, 1)
            assert (await second.until(sid, lambda session: session.chunks > 0)).status is SessionState.live


async def test_a_replica_to_which_a_session_comes_back_is_replaced(store: Store, tmp_path: Path) -> None:
    rig = make(store, tmp_path, "r", MemoryHistory(), BrokenDevice)
    async with rig.running() as generator:
        await rig.begin("s")
        await until_dropped(rig, "s")
        generator.check_health()
        assert isinstance(await generator.take("s", TakeOver("", "lost")), Refusal)
        with pytest.raises(ModelBroke):
            generator.check_health()
    assert (await store.timeline.session("s")).status is SessionState.live, "another one may go on with it"


@pytest.mark.parametrize("how", ["queued", "paused", "live"])
async def test_a_session_that_breaks_on_its_way_to_a_replica_stays_as_it_was_but_once(
    store: Store, tmp_path: Path, how: str
) -> None:
    def broken(*_: object) -> FakeVideoStream:
        raise RuntimeError("the device is on fire")

    history = MemoryHistory()
    owner = make(store, tmp_path, "p", history, FakeVideoStream)
    first, second, third = (make_rig(store, tmp_path, name=name, stream=broken, restore=broken) for name in "qrs")
    first.history = second.history = third.history = history
    async with owner.running(), first.running() as one, second.running() as two, third.running() as three:
        over = None
        await (owner.create if how == "queued" else owner.begin)("s")
        if how != "queued":
            await owner.watch("s", 2)
        if how == "paused":
            await owner.ask("s", PauseRequested())
            await owner.next_of(SessionPaused, "s")
        if how == "live":
            await owner.idle("s")
            over = TakeOver("p", "lost")
        before = await store.timeline.session("s")
        assert isinstance(await one.take("s", over), Refusal)
        after = await store.timeline.session("s")
        assert (after.status, after.chunks) == (before.status, before.chunks)
        assert [broke.chunk for broke in await first.all_of(SessionBroke, "s")] == [before.chunks]
        if how == "live":
            assert "s" in await store.leases.orphans()
        with pytest.raises(SessionOver):
            await two.take("s", over)
        with pytest.raises(SessionOver):
            await three.take("s", over)
    assert (await store.timeline.session("s")).status is SessionState.failed


def test_a_device_is_broken_if_two_broke_or_one_comes_back_and_nothing_was_made_since() -> None:
    health = DeviceHealth()
    health.broke("s")
    health.offered("t")
    health.broke("s")
    assert not health.broken
    health.offered("s")
    assert health.broken
    health.worked()
    health.offered("s")
    assert not health.broken
    health.broke("t")
    health.worked()
    health.broke("u")
    assert not health.broken
    health.broke("v")
    assert health.broken


async def test_a_video_at_the_end_of_its_model_says_so_and_its_device_is_well(store: Store, tmp_path: Path) -> None:
    first, second = pair(store, tmp_path, EndingStream, EndingStream)
    async with first.running() as generator, second.running():
        for sid in ("s", "t"):
            await first.begin(sid)
        shown = await asyncio.gather(*(first.watch(sid, 10) for sid in ("s", "t")))
        assert [[fragment.chunk for fragment in some] for some in shown] == [[0, 1, 2, 3, 4]] * 2
        for sid in ("s", "t"):
            failed = await first.next_of(SessionFailed, sid)
            assert "past the 15 positions" in failed.reason
            assert await first.all_of(SessionBroke, sid) == []
        generator.check_health()
        assert isinstance(await first.begin("u"), Session)
