"""A replica drains while somebody wishes it, for good when Serve stops it, and lets Serve wait until it is empty."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from redis.exceptions import RedisError
from redis_store import Store

from deployments.draining import SILENCE_SECONDS, DrainWatch
from deployments.duty import HOLD_SECONDS, Duty, Place
from deployments.replicas import Replicas
from deployments.waiting_room import WaitingRoom

PLACE = Place("r", node="n1", host="10.0.0.1", head=True, started=3.0)


@dataclass
class Pool:
    """The generator of the replica; Serve, of which the controller has it in `state`; and a clock."""

    store: Store
    sessions: int = 0
    more: int = 2
    draining: bool = False
    state: str | None = "RUNNING"
    now: float = 100.0
    turns: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.replicas = Replicas(self.store.redis)
        self.waiting = WaitingRoom(self.store.redis)
        self.duty = Duty(PLACE, self, self.replicas, self.waiting, DrainWatch(self.ask, self.time), self.time)

    def time(self) -> float:
        return self.now

    def drain(self) -> None:
        self.draining = True
        self.turns.append("drain")

    def undrain(self) -> None:
        self.draining = False
        self.turns.append("undrain")

    async def ask(self) -> str:
        if self.state is None:
            raise RuntimeError("no controller")
        return self.state

    async def silence(self) -> None:
        self.now += SILENCE_SECONDS
        await self.duty.step()

    async def holds(self) -> bool:
        held = asyncio.create_task(self.duty.hold())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return not held.done()


async def test_a_replica_is_listed_as_it_is(store: Store) -> None:
    pool = Pool(store, sessions=1)
    await pool.duty.step()
    [said] = await pool.replicas.alive()
    assert (said.id, said.node, said.host, said.started_at) == ("r", "n1", "10.0.0.1", 3000)
    assert (said.sessions, said.more, said.accepting, said.draining, said.stopping) == (1, 2, True, False, False)


async def test_an_operators_wish_is_followed_once_and_taken_back(store: Store) -> None:
    pool = Pool(store, sessions=1)
    await pool.duty.step()
    await pool.replicas.drain_replica("r")
    for _ in range(3):
        await pool.duty.step()
    assert pool.turns == ["drain"]
    [said] = await pool.replicas.alive()
    assert (said.accepting, said.draining, said.more) == (False, True, 0)
    pool.sessions = 0
    assert await pool.holds()  # it is Serve's to stop it
    await pool.replicas.undrain_replica("r")
    await pool.duty.step()
    assert pool.turns == ["drain", "undrain"]
    assert pool.duty.accepting


async def test_a_wish_stands_while_the_store_is_away(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool(store)
    await pool.duty.step()
    await pool.replicas.drain_node("n1")
    await pool.duty.step()

    async def away(_: object) -> bool:
        raise RedisError("away")

    monkeypatch.setattr(pool.replicas, "beat", away)
    await pool.duty.step()
    assert pool.turns == ["drain"]


async def test_serve_waits_until_the_last_session_is_handed_over(store: Store) -> None:
    pool = Pool(store, sessions=2, state="STOPPING")
    await pool.duty.step()
    assert await pool.holds()
    await pool.silence()
    await pool.duty.step()
    assert pool.turns == ["drain"]
    [said] = await pool.replicas.alive()
    assert said.draining
    assert said.stopping
    assert await pool.holds()
    pool.sessions = 0
    await pool.duty.step()
    assert not await pool.holds()
    assert await pool.replicas.alive() == []


async def test_serve_does_not_wait_for_ever(store: Store) -> None:
    pool = Pool(store, sessions=2, state="STOPPING")
    await pool.silence()
    pool.now += HOLD_SECONDS - 1
    await pool.duty.step()
    assert await pool.holds()
    pool.now += 1
    await pool.duty.step()
    assert not await pool.holds()


async def test_a_replica_that_has_lost_its_controller_takes_nothing_new_and_keeps_what_it_has(store: Store) -> None:
    pool = Pool(store, sessions=2, state=None)
    await pool.silence()
    assert not pool.duty.accepting
    assert pool.duty.autoscaling_stats()["accepting"] == 0
    assert pool.turns == []
    pool.state = "RUNNING"
    await pool.duty.step()
    assert pool.duty.accepting


async def test_nothing_is_waited_for_when_the_service_stops(store: Store) -> None:
    pool = Pool(store, sessions=2)
    await pool.duty.step()
    await pool.duty.close()
    assert not await pool.holds()
    assert not pool.duty.accepting
    assert await pool.replicas.alive() == []


async def test_serve_hears_how_many_wait_and_whether_some_were_refused(store: Store) -> None:
    pool = Pool(store, sessions=1, more=1)
    await pool.waiting.enter("s", "live")
    await pool.duty.step()
    told = {"sessions": 1, "more": 1, "accepting": 1, "waiting": 1, "refused": 0}
    assert pool.duty.autoscaling_stats() == told
    pool.duty.refused()
    assert pool.duty.autoscaling_stats() == told | {"refused": 1}
    pool.now += 60
    assert pool.duty.autoscaling_stats() == told
