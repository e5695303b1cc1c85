"""Leases over a real Redis: one owner, a fence that only grows, and orphans that are found."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest import mock

import pytest
from redis.asyncio.client import Pipeline
from redis_store import Store

from deployments.entries import Chunk, SessionCreated, SessionEnded, SessionLive, SessionPaused, SessionStarting
from deployments.session import SessionState
from deployments.store import LIVE_SESSIONS, Fenced, Keys, LeaseHeld, NoSuchSession, SessionOver
from deployments.timeline import CLAIM_SECONDS, KEEP_SECONDS

CREATED = SessionCreated(prompt="a fox", seed=1, model="tiny", width=96, height=96, fps=16)


@pytest.fixture
async def sid(store: Store) -> str:
    await store.timeline.create("s1", CREATED)
    return "s1"


async def begin(store: Store, sid: str) -> int:
    fence = await store.leases.claim(sid, "r1")
    await store.timeline.append_fact(sid, fence, SessionStarting())
    return fence


async def run_out(store: Store, sid: str) -> None:
    """What time would do."""
    assert await store.redis.pttl(Keys(sid).lease) > 0
    await store.redis.delete(Keys(sid).lease)


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
    assert await store.leases.claim(sid, "r3") == 9


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


async def test_a_created_session_is_forgotten_unless_somebody_claims_it(store: Store, sid: str) -> None:
    keys = Keys(sid)
    assert {0 < await store.redis.ttl(key) <= CLAIM_SECONDS for key in (keys.state, keys.timeline)} == {True}
    assert not await store.redis.exists(LIVE_SESSIONS)
    await store.leases.claim(sid, "r1")
    assert {await store.redis.ttl(key) for key in (keys.state, keys.timeline)} == {-1}
    assert await store.redis.smembers(LIVE_SESSIONS) == {sid}


async def test_a_session_given_back_is_as_it_was_for_somebody_else(store: Store, sid: str) -> None:
    keys = Keys(sid)
    fence = await store.leases.claim(sid, "r1")
    await store.leases.release(sid, fence, KEEP_SECONDS)
    assert await store.leases.orphans() == frozenset()
    assert not await store.redis.exists(keys.lease, LIVE_SESSIONS)
    assert {KEEP_SECONDS - 60 < await store.redis.ttl(key) <= KEEP_SECONDS for key in (keys.state, keys.timeline)} == {
        True
    }
    assert (await store.timeline.session(sid)).status is SessionState.queued
    assert await store.leases.claim(sid, "r2") == fence + 1


async def test_a_session_taken_from_its_owner_and_given_back_can_be_taken_from_that_one_again(
    store: Store, sid: str
) -> None:
    await begin(store, sid)
    fence = await store.leases.claim(sid, "r2", dead_owner="r1")
    await store.leases.release(sid, fence, KEEP_SECONDS, dead_owner="r1")
    session = await store.timeline.session(sid)
    assert (session.owner, session.fence) == ("r1", fence)
    assert await store.leases.held_by("r1") == {sid}
    with pytest.raises(Fenced):
        await store.leases.renew(sid, "r1", 1)
    with pytest.raises(LeaseHeld):
        await store.leases.claim(sid, "r3", dead_owner="r2")
    assert await store.leases.claim(sid, "r3", dead_owner="r1") == fence + 1


async def test_who_is_not_the_owner_any_more_gives_nothing_back(store: Store, sid: str) -> None:
    fence = await store.leases.claim(sid, "r1")
    await store.leases.claim(sid, "r2", dead_owner="r1")
    await store.leases.release(sid, fence, KEEP_SECONDS)
    with pytest.raises(LeaseHeld):
        await store.leases.claim(sid, "r3")
    assert await store.redis.ttl(Keys(sid).state) == -1
    assert await store.redis.smembers(LIVE_SESSIONS) == {sid}


async def test_a_claimed_session_that_nobody_began_is_no_orphan_and_is_forgotten(store: Store, sid: str) -> None:
    await store.leases.claim(sid, "r1")
    assert await store.leases.orphans() == frozenset()
    assert await store.redis.smembers(LIVE_SESSIONS) == {sid}, "somebody is about to begin it"
    await run_out(store, sid)
    assert await store.leases.orphans() == frozenset()
    assert not await store.redis.exists(LIVE_SESSIONS)


async def kept_for_ever(store: Store, sid: str) -> list[bool]:
    """Of what there is of a session, but its lease."""
    keys = Keys(sid)
    there = [key for key in (keys.state, keys.timeline, keys.chunks, keys.fence) if await store.redis.exists(key)]
    assert len(there) >= 3
    return [await store.redis.ttl(key) == -1 for key in there]


@pytest.mark.parametrize("paused", [False, True])
async def test_what_a_replica_claimed_and_died_over_is_not_kept_for_ever(store: Store, sid: str, paused: bool) -> None:
    if paused:
        fence = await begin(store, sid)
        await store.timeline.append_fact(sid, fence, SessionLive())
        await store.timeline.append_chunk(sid, fence, Chunk(chunk=0, first_frame=0, frames=9, generated_ms=1))
        await store.timeline.append_fact(
            sid, fence, SessionPaused(chunk=1, frame=9, media_seconds=0.5625, snapshot="s1/snapshots/1-1")
        )
    await store.leases.claim(sid, "r1")
    assert all(await kept_for_ever(store, sid))
    await run_out(store, sid)
    await store.leases.orphans()
    assert not any(await kept_for_ever(store, sid))
    assert KEEP_SECONDS - 60 < await store.redis.ttl(Keys(sid).state) <= KEEP_SECONDS
    await store.leases.claim(sid, "r2")
    assert all(await kept_for_ever(store, sid))


async def test_an_owner_that_was_away_for_long_before_it_began_keeps_its_session(store: Store, sid: str) -> None:
    fence = await store.leases.claim(sid, "r1")
    await run_out(store, sid)
    await store.leases.orphans()
    await store.leases.renew(sid, "r1", fence)
    await store.timeline.append_fact(sid, fence, SessionStarting())
    assert all(await kept_for_ever(store, sid))
    await run_out(store, sid)
    assert await store.leases.orphans() == {sid}


async def test_what_is_claimed_while_the_orphans_are_looked_for_is_not_forgotten(store: Store, sid: str) -> None:
    """The look finds nobody; then somebody claims; then what was found is forgotten."""
    await store.redis.sadd(LIVE_SESSIONS, sid)
    real = Pipeline.execute

    async def claimed_after(pipeline: Pipeline, *args: Any, **kwargs: Any) -> Any:
        answers = await real(pipeline, *args, **kwargs)
        patch.stop()
        await store.leases.claim(sid, "r1")
        return answers

    patch = mock.patch.object(Pipeline, "execute", claimed_after)
    patch.start()
    assert await store.leases.orphans() == frozenset()
    assert await store.redis.smembers(LIVE_SESSIONS) == {sid}
    assert all(await kept_for_ever(store, sid))


async def test_a_look_for_orphans_costs_a_few_commands_however_many_sessions_there_are(store: Store) -> None:
    for number in range(50):
        await store.timeline.create(f"s{number}", CREATED)
        await begin(store, f"s{number}")
    with mock.patch.object(store.redis, "execute_command", wraps=store.redis.execute_command) as commands:
        assert await store.leases.orphans() == frozenset()
    assert commands.call_count == 1


async def test_a_session_that_is_held_and_was_forgotten_is_missed_again(store: Store, sid: str) -> None:
    fence = await begin(store, sid)
    await store.redis.delete(LIVE_SESSIONS)
    await store.leases.renew(sid, "r1", fence)
    await run_out(store, sid)
    assert await store.leases.orphans() == {sid}


async def test_the_sweeper_forgets_what_is_over_or_never_was(store: Store, sid: str) -> None:
    fence = await store.leases.claim(sid, "r1")
    await store.timeline.append_fact(sid, fence, SessionEnded(reason="requested"))
    await store.redis.sadd(LIVE_SESSIONS, sid, "nobody")
    assert await store.leases.orphans() == frozenset()
    assert not await store.redis.exists(LIVE_SESSIONS)
