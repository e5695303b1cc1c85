"""Who waits is served in order, by one at a time; who cannot begin holds nobody up."""

from __future__ import annotations

import asyncio

import pytest
from redis_store import Store

from deployments.calls import PartDown
from deployments.entries import Pace, SessionCreated
from deployments.pool import PoolFull
from deployments.session import SessionState
from deployments.store import WAITING_SESSIONS, Keys, LeaseHeld, NoSuchSession, SessionOver, waiting_key
from deployments.waiting_room import LOCK_SECONDS, WaitingRoom

CREATED = SessionCreated(prompt="a ball", seed=0, model="m", width=64, height=64, fps=16)


class Pool:
    """Has room for `room` sessions; an entry of `errors` is raised for its session."""

    def __init__(self, room: int = 0, errors: dict[str, Exception] | None = None) -> None:
        self.room = room
        self.errors = errors or {}
        self.begun: list[str] = []
        self.given_up: dict[str, str] = {}
        self.full = asyncio.Event()

    async def take(self, sid: str) -> None:
        if error := self.errors.get(sid):
            raise error
        await asyncio.sleep(0)  # lets others in, if they were let
        if len(self.begun) == self.room:
            raise PoolFull(3)
        self.begun.append(sid)
        if len(self.begun) == self.room:
            self.full.set()

    async def give_up(self, sid: str, reason: str) -> None:
        self.given_up[sid] = reason


async def waiting(store: Store, *sids: str) -> WaitingRoom:
    room = WaitingRoom(store.redis)
    for sid in sids:
        await room.enter(sid, "live")
    return room


async def position(store: Store, sid: str) -> int | None:
    rank = await store.redis.zrank(waiting_key("live"), sid)
    return None if rank is None else int(rank) + 1


async def serve(room: WaitingRoom, pool: Pool) -> list[str]:
    return await room.serve_once(pool.take, pool.give_up)


async def test_a_position_counts_from_one_and_follows_who_leaves(store: Store) -> None:
    room = WaitingRoom(store.redis)
    assert not await room.anyone_waiting("live")
    assert [await room.enter(sid, "live") for sid in "zya"] == [1, 2, 3]
    assert await room.anyone_waiting("live")
    assert await room.enter("o", "offline") == 1
    assert await room.count() == 4
    await room.leave("z", "live")
    assert await room.count() == 3
    assert [await position(store, sid) for sid in "zya"] == [None, 1, 2]


async def test_who_enters_twice_keeps_its_place(store: Store) -> None:
    room = await waiting(store, "a", "b")
    assert await room.enter("a", "live") == 1


async def test_who_enters_after_the_clock_was_set_back_is_last_all_the_same(store: Store) -> None:
    room = await waiting(store, "a")
    await store.redis.zincrby(waiting_key("live"), 3600e6, "a")
    assert [await room.enter(sid, "live") for sid in "zb"] == [2, 3]


async def test_the_queue_is_served_in_order_until_there_is_no_room(store: Store) -> None:
    room, pool = await waiting(store, "c", "a", "b"), Pool(room=2)
    assert await serve(room, pool) == pool.begun == ["c", "a"]
    assert await position(store, "b") == 1
    pool.room = 3
    assert await serve(room, pool) == ["b"]
    assert not await room.anyone_waiting("live")


@pytest.mark.parametrize(("blocked", "free"), [("offline", "live"), ("live", "offline")])
async def test_where_one_pace_is_full_the_other_is_served(store: Store, blocked: Pace, free: Pace) -> None:
    room, pool = WaitingRoom(store.redis), Pool(room=9, errors={"a": PoolFull(3)})
    assert await room.enter("a", blocked) == 1
    assert not await room.anyone_waiting(free)
    assert [await room.enter(sid, free) for sid in "bc"] == [1, 2]
    assert await serve(room, pool) == ["b", "c"]
    assert await room.anyone_waiting(blocked)
    assert not await room.anyone_waiting(free)


async def test_an_empty_queue_costs_one_read(store: Store) -> None:
    room, pool = WaitingRoom(store.redis), Pool()
    await serve(room, pool)
    before = (await store.redis.info("stats"))["total_commands_processed"]
    await serve(room, pool)
    after = (await store.redis.info("stats"))["total_commands_processed"]
    assert after - before == 2  # one of them is the second `info`


@pytest.mark.parametrize("error", [NoSuchSession("b"), SessionOver("b", "ended")])
async def test_a_session_that_is_over_leaves_and_holds_nobody_up(store: Store, error: Exception) -> None:
    room, pool = await waiting(store, "b", "c"), Pool(room=9, errors={"b": error})
    assert await serve(room, pool) == ["c"]
    assert not await room.anyone_waiting("live")
    assert pool.given_up == {}


@pytest.mark.parametrize("error", [PartDown("generator"), TimeoutError(), PoolFull(1)])
async def test_a_fault_that_will_pass_keeps_the_place(store: Store, error: Exception) -> None:
    room, pool = await waiting(store, "b", "c"), Pool(room=9, errors={"b": error})
    assert await serve(room, pool) == []
    assert await position(store, "b") == 1
    pool.errors = {}
    assert await serve(room, pool) == ["b", "c"]


async def test_a_session_that_some_generator_has_begun_after_all_leaves_the_queue(store: Store) -> None:
    room, pool = await waiting(store, "b"), Pool(room=9, errors={"b": LeaseHeld("b", "r1")})
    await store.timeline.create("b", CREATED)
    assert await serve(room, pool) == []
    assert await position(store, "b") == 1  # the generator may still give it back
    await store.redis.hset(Keys("b").state, "status", SessionState.live)
    assert await serve(room, pool) == []
    assert await position(store, "b") is None


async def test_a_session_that_can_never_begin_is_given_up_and_holds_nobody_up(store: Store) -> None:
    room, pool = await waiting(store, "b", "c"), Pool(room=9, errors={"b": ValueError("broken")})
    assert await serve(room, pool) == ["c"]
    assert "could not be started" in pool.given_up["b"]


async def test_who_has_waited_too_long_is_given_up(store: Store) -> None:
    room, pool = await waiting(store, "a", "b"), Pool(room=0)
    await store.redis.zincrby(waiting_key("live"), -601e6, "a")
    assert await serve(room, pool) == []
    assert pool.given_up == {"a": "No generator had room for 10 minutes. Try again later."}
    assert await position(store, "b") == 1


async def test_many_ingresses_serve_one_at_a_time_and_in_order(store: Store) -> None:
    sids = [f"s{n:02}" for n in range(30)]
    await waiting(store, *sids)
    pool = Pool(room=30)
    running = [asyncio.create_task(_run(store, pool)) for _ in range(5)]
    async with asyncio.timeout(20):
        await pool.full.wait()
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    assert pool.begun == sids


async def _run(store: Store, pool: Pool) -> None:
    await WaitingRoom(store.redis).run(pool.take, pool.give_up, pause_seconds=0.005)


async def test_who_arrives_while_the_queue_is_served_does_not_overtake(store: Store) -> None:
    room, pool = await waiting(store, "a", "b"), Pool(room=9)
    entered: list[int] = []

    async def take(sid: str) -> None:
        assert await room.anyone_waiting("live")  # who is being begun still counts
        if sid == "a":
            entered.append(await room.enter("late", "live"))
        await pool.take(sid)

    assert await room.serve_once(take, pool.give_up) == ["a", "b", "late"]
    assert entered == [3]


async def test_the_queue_waits_for_one_who_died_over_it_and_no_longer_than_its_lock(store: Store) -> None:
    room, pool = await waiting(store, "a"), Pool(room=1)
    lock = f"{WAITING_SESSIONS}:lock"
    await store.redis.set(lock, "the dead one's", px=int(LOCK_SECONDS * 1000))
    assert await serve(room, pool) == []
    await store.redis.pexpire(lock, 0)
    assert await serve(room, pool) == ["a"]
    assert not await store.redis.exists(lock)


async def test_the_queue_is_served_on_after_the_one_who_served_was_stopped(store: Store) -> None:
    room, pool = await waiting(store, "a"), Pool(room=1)
    stuck = asyncio.Event()

    async def never(sid: str) -> None:
        stuck.set()
        await asyncio.Event().wait()

    dying = asyncio.create_task(room.serve_once(never, pool.give_up))
    await stuck.wait()
    assert await serve(WaitingRoom(store.redis), pool) == []
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    assert await serve(WaitingRoom(store.redis), pool) == ["a"]
