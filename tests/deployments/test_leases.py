"""Leases over a real Redis: one owner, a fence that only grows, and orphans that are found and failed."""

from __future__ import annotations

import asyncio

import pytest
from redis_store import Store

from deployments.leases import Leases, Sweeper
from deployments.session import SessionCreated, SessionEnded, SessionState
from deployments.store import Fenced, Keys, LeaseHeld, NoSuchSession, SessionOver

CREATED = SessionCreated(prompt="a fox", seed=1, model="tiny", width=96, height=96, fps=16)


@pytest.fixture
async def sid(store: Store) -> str:
    await store.timeline.create("s1", CREATED)
    return "s1"


async def run_out(store: Store, sid: str) -> None:
    await asyncio.sleep(max(0, await store.redis.pttl(Keys(sid).lease)) / 1000 + 0.01)
    assert not await store.redis.exists(Keys(sid).lease)


async def test_of_many_claimants_one_wins(store: Store, sid: str) -> None:
    results = await asyncio.gather(*(store.leases.claim(sid, f"r{n}") for n in range(50)), return_exceptions=True)
    assert [result for result in results if isinstance(result, int)] == [1]
    assert sum(isinstance(result, LeaseHeld) for result in results) == 49


async def test_every_claim_raises_the_fence(store: Store, sid: str) -> None:
    assert await store.leases.claim(sid, "r1") == 1
    assert await store.leases.claim(sid, "r2", dead_owner="r1") == 2
    await run_out(store, sid)
    assert await store.leases.claim(sid, "r3") == 3
    session = await store.timeline.session(sid)
    assert (session.owner, session.fence) == ("r3", 3)


async def test_a_fence_is_not_given_twice_when_redis_lost_its_newest_writes(store: Store, sid: str) -> None:
    keys = Keys(sid)
    await store.leases.claim(sid, "r1")
    await store.redis.hset(keys.state, "fence", 7)
    await store.redis.delete(keys.lease)
    assert await store.leases.claim(sid, "r2") == 8
    await store.redis.delete(keys.lease, keys.fence)
    await store.redis.hset(keys.state, "fence", 2)
    assert await store.leases.claim(sid, "r3", seen_fence=8) == 9


async def test_a_renewed_lease_holds_and_a_late_renewal_is_good_until_somebody_claims(store: Store, sid: str) -> None:
    fence = await store.leases.claim(sid, "r1")
    await run_out(store, sid)
    await store.leases.renew(sid, "r1", fence)
    with pytest.raises(LeaseHeld):
        await store.leases.claim(sid, "r2")
    await store.leases.claim(sid, "r2", dead_owner="r1")
    with pytest.raises(Fenced):
        await store.leases.renew(sid, "r1", fence)


async def test_sessions_that_are_over_or_unknown_have_no_owner(store: Store, sid: str) -> None:
    fence = await store.leases.claim(sid, "r1")
    await store.timeline.append_fact(sid, fence, SessionEnded(reason="requested"))
    with pytest.raises(SessionOver):
        await store.leases.claim(sid, "r1")
    with pytest.raises(SessionOver):
        await store.leases.renew(sid, "r1", fence)
    with pytest.raises(NoSuchSession):
        await store.leases.claim("nobody", "r1")
    with pytest.raises(NoSuchSession):
        await store.leases.renew("nobody", "r1", 1)


async def test_a_session_whose_owner_is_gone_fails_in_the_second_sweep(store: Store, sid: str) -> None:
    sweeper = Sweeper(store.timeline, store.leases, "sweeper")
    await store.leases.claim(sid, "r1")
    await run_out(store, sid)
    assert await sweeper.sweep() == []
    assert (await store.timeline.session(sid)).status is SessionState.starting
    assert await sweeper.sweep() == [sid]
    session = await store.timeline.session(sid)
    assert session.status is SessionState.failed
    assert "replica" in (session.reason or "")
    assert await sweeper.sweep() == []


async def test_an_owner_that_comes_back_in_time_keeps_its_session(store: Store, sid: str) -> None:
    leases = Leases(store.redis, lease_seconds=60)
    sweeper = Sweeper(store.timeline, leases, "sweeper")
    fence = await store.leases.claim(sid, "r1")
    await run_out(store, sid)
    assert await sweeper.sweep() == []
    await leases.renew(sid, "r1", fence)
    assert await sweeper.sweep() == []
    assert await sweeper.sweep() == []


async def test_a_known_death_fails_the_session_at_once_and_only_once(store: Store, sid: str) -> None:
    leases = Leases(store.redis, lease_seconds=60)
    await leases.claim(sid, "r1")
    sweepers = [Sweeper(store.timeline, leases, f"ingress-{n}") for n in range(5)]
    assert not await sweepers[0].fail(sid, dead_owner="somebody-else")
    assert sum(await asyncio.gather(*(sweeper.fail(sid, dead_owner="r1") for sweeper in sweepers))) == 1
    types = [entry.type for entry in await store.timeline.read(sid)]
    assert types == ["session.created", "session.failed"]
