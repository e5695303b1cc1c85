"""Sessions whose owner is gone, over a real Redis: found, and taken by another; nobody who comes back loses his."""

from __future__ import annotations

import asyncio
from pathlib import Path
from unittest import mock

import pytest
from redis.exceptions import RedisError
from redis_store import Store

from deployments.entries import Chunk, SessionCreated, SessionEnded, SessionLive, SessionPaused, SessionStarting
from deployments.leases import Leases
from deployments.placement import TakeOver
from deployments.pool import PoolFull
from deployments.session import Session, SessionState
from deployments.store import Keys, connect
from deployments.sweeper import PATIENCE_SECONDS, ROOM_SECONDS, SHUN_SECONDS, Sweeper

CREATED = SessionCreated(prompt="a fox", seed=1, model="tiny", width=96, height=96, fps=16)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class FakePool:
    """Claims as a generator does; makes nothing. `room` is how many more sessions it takes."""

    def __init__(self, store: Store, name: str = "heir") -> None:
        self.name = name
        self.room = 100
        self.broken: Exception | None = None
        self.asked: list[tuple[str, TakeOver | None, tuple[str, ...]]] = []
        self._store = store

    async def take(self, sid: str, take_over: TakeOver | None = None, not_to: tuple[str, ...] = ()) -> Session:
        self.asked.append((sid, take_over, not_to))
        if self.broken is not None:
            raise self.broken
        if not self.room:
            raise PoolFull(3)
        dead, seen = (take_over.owner, take_over.fence) if take_over else ("", 0)
        await self._store.leases.claim(sid, self.name, dead_owner=dead, seen=seen)
        self.room -= 1
        return await self._store.timeline.session(sid)


class World:
    """Some sessions of the owner `r1`, one sweeper, and its pool."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = Clock()
        self.pool = FakePool(store)
        self.sweeper = Sweeper(store.timeline, store.leases, "ingress", self.pool.take, self.clock)

    async def begin(self, sid: str, owner: str = "r1", live: bool = True) -> int:
        await self.store.timeline.create(sid, CREATED)
        fence = await self.store.leases.claim(sid, owner)
        await self.store.timeline.append_fact(sid, fence, SessionStarting())
        if live:
            await self.store.timeline.append_chunk(sid, fence, Chunk(chunk=0, first_frame=0, frames=9, generated_ms=1))
            await self.store.timeline.append_fact(sid, fence, SessionLive())
        return fence

    async def run_out(self, sid: str) -> None:
        """What time would do."""
        assert await self.store.redis.delete(Keys(sid).lease) == 1

    async def sweep(self, after: float = 0.0) -> list[bool]:
        """One round, with all that it began; gives what became of that."""
        self.clock.now += after
        return list(await asyncio.gather(*await self.sweeper.sweep()))

    async def owner(self, sid: str) -> str | None:
        return (await self.store.timeline.session(sid)).owner


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


@pytest.mark.parametrize("live", [True, False], ids=["live", "starting"])
async def test_a_session_without_a_lease_for_long_enough_is_taken_by_another_replica(world: World, live: bool) -> None:
    await world.begin("s", live=live)
    await world.run_out("s")
    assert await world.sweep() == []
    assert await world.sweep(PATIENCE_SECONDS - 0.01) == []
    assert world.pool.asked == []
    assert await world.sweep(0.02) == [True]
    assert world.pool.asked == [("s", TakeOver("", "lost"), ("r1",))], "its old owner may be hanging"
    session = await world.store.timeline.session("s")
    assert (session.owner, session.fence, session.status.owned) == ("heir", 2, True)
    assert await world.sweep(PATIENCE_SECONDS) == []


async def test_an_owner_that_comes_back_in_time_keeps_its_session(world: World) -> None:
    fence = await world.begin("s")
    for _ in range(3):
        await world.run_out("s")
        assert await world.sweep() == []
        world.clock.now += PATIENCE_SECONDS - 0.01
        await world.store.leases.renew("s", "r1", fence)
        assert await world.sweep() == []
    assert world.pool.asked == []


async def test_an_owner_that_comes_back_at_the_last_moment_keeps_its_session(world: World) -> None:
    """It renews between the look and the claim."""
    fence = await world.begin("s")
    await world.run_out("s")
    await world.sweep()
    world.clock.now += PATIENCE_SECONDS
    begun = await world.sweeper.sweep()
    await world.store.leases.renew("s", "r1", fence)
    assert await asyncio.gather(*begun) == [True], "it is settled"
    assert await world.owner("s") == "r1"
    await world.store.leases.renew("s", "r1", fence)


async def test_what_was_seen_before_redis_was_away_moves_nobody(world: World, tmp_path: Path) -> None:
    await world.begin("s")
    await world.run_out("s")
    away = Leases(connect(f"unix://{tmp_path}/nothing-listens-here"))
    with mock.patch.object(world.store.leases, "orphans", wraps=world.store.leases.orphans) as orphans:
        await world.sweep()
        orphans.side_effect = away.orphans
        with pytest.raises(RedisError):
            await world.sweep(PATIENCE_SECONDS)
        orphans.side_effect = None
        assert await world.sweep() == []
        assert await world.sweep(PATIENCE_SECONDS) == [True]


async def test_of_many_sweepers_one_has_the_session_moved(world: World) -> None:
    await world.begin("s")
    pools = [FakePool(world.store, f"heir-{n}") for n in range(5)]
    sweepers = [Sweeper(world.store.timeline, world.store.leases, pool.name, pool.take) for pool in pools]
    await asyncio.gather(*(sweeper.lost("s", "r1", 1) for sweeper in sweepers))
    session = await world.store.timeline.session("s")
    assert [pool.room for pool in pools].count(99) == 1
    assert ((session.owner or "").startswith("heir"), session.fence) == (True, 2)


async def test_a_known_death_has_every_session_of_that_owner_moved_at_once(world: World) -> None:
    for sid in ("watched", "unwatched", "paused"):
        await world.begin(sid)
    await world.begin("render", live=False)
    await world.begin("other", owner="r2")
    where = SessionPaused(chunk=1, frame=9, media_seconds=0.5625)
    await world.store.timeline.append_fact("paused", 1, where)
    await world.sweeper.lost("watched", "r1", 7)
    assert await world.owner("watched") == "heir"
    assert (await world.store.timeline.session("watched")).fence == 8, "above what its viewers have seen"
    await asyncio.gather(*world.sweeper._running.values())
    assert {sid: await world.owner(sid) for sid in ("unwatched", "render", "other")} == {
        "unwatched": "heir",
        "render": "heir",
        "other": "r2",
    }
    assert (await world.store.timeline.session("paused")).status is SessionState.paused
    assert {over for _, over, _ in world.pool.asked} == {TakeOver("r1", "lost", 7), TakeOver("r1", "lost")}


async def test_a_death_that_is_told_late_takes_the_session_from_nobody_else(world: World) -> None:
    await world.begin("s")
    await world.store.leases.claim("s", "r2", dead_owner="r1")
    await world.sweeper.lost("s", "r1", 1)
    assert world.pool.asked == []
    assert await world.owner("s") == "r2"


@pytest.mark.parametrize("fault", [PoolFull(3), RuntimeError("what nobody thought of")], ids=["full", "broken"])
async def test_what_nobody_took_is_tried_again_each_round(world: World, fault: Exception) -> None:
    await world.begin("s")
    world.pool.broken = fault
    await world.sweeper.lost("s", "r1", 1)
    assert await world.sweep() == [False], "without patience: its owner is known to be dead"
    assert await world.sweep() == [False]
    world.pool.broken = None
    assert await world.sweep() == [True]
    assert await world.owner("s") == "heir"
    assert await world.sweep() == []


async def test_one_that_hangs_holds_up_no_other_and_is_not_asked_twice(world: World) -> None:
    for sid in ("hangs", "moves"):
        await world.begin(sid)
        await world.run_out(sid)
    released = asyncio.Event()
    take = world.pool.take

    async def hanging(sid: str, take_over: TakeOver | None = None, not_to: tuple[str, ...] = ()) -> Session:
        if sid == "hangs":
            await released.wait()
        return await take(sid, take_over, not_to)

    sweeper = Sweeper(world.store.timeline, world.store.leases, "ingress", hanging, world.clock)
    await sweeper.sweep()
    world.clock.now += PATIENCE_SECONDS
    hangs, moves = await sweeper.sweep()
    assert await moves
    assert await sweeper.sweep() == []
    released.set()
    assert await hangs
    assert await world.owner("hangs") == "heir"


async def test_in_the_end_its_old_owner_may_have_it_back(world: World) -> None:
    await world.begin("s")
    await world.run_out("s")
    world.pool.room = 0
    await world.sweep()
    await world.sweep(PATIENCE_SECONDS)
    await world.sweep(SHUN_SECONDS)
    assert [not_to for _, _, not_to in world.pool.asked] == [("r1",), ()]


@pytest.mark.parametrize("live", [True, False], ids=["live", "starting"])
async def test_a_session_that_nobody_has_room_for_is_paused_and_can_go_on(world: World, live: bool) -> None:
    await world.begin("s", live=live)
    await world.run_out("s")
    world.pool.room = 0
    await world.sweep()
    assert await world.sweep(ROOM_SECONDS - 0.01) == [False]
    assert await world.sweep(0.02) == [True]
    session = await world.store.timeline.session("s")
    assert (session.status, session.reason) == (SessionState.paused, "no-room")
    paused = (await world.store.timeline.read("s"))[-1]
    assert isinstance(paused, SessionPaused)
    assert (paused.chunk, paused.frame) == ((1, 9) if live else (0, 0))
    assert await world.store.redis.ttl(Keys("s").state) > 0
    assert await world.sweep(PATIENCE_SECONDS) == []
    world.pool.room = 1
    assert await world.sweeper.wanted("s")


async def test_a_session_that_is_wanted_is_resumed_once_there_is_room(world: World) -> None:
    fence = await world.begin("s")
    paused = SessionPaused(chunk=1, frame=9, media_seconds=0.5625, reason="unwatched")
    await world.store.timeline.append_fact("s", fence, paused)
    world.pool.room = 0
    assert not await world.sweeper.wanted("s")
    world.pool.room = 2
    assert await world.sweeper.wanted("s")
    assert world.pool.asked[-1] == ("s", None, ())
    assert await world.owner("s") == "heir"
    await world.store.timeline.append_fact("s", fence + 1, SessionEnded(reason="requested"))
    assert not await world.sweeper.wanted("s"), "it is over"
