"""Each replica says how it is, and hears whether to drain, over Redis alone."""

from __future__ import annotations

import pytest
from redis_store import Store

from deployments import replicas as module
from deployments.replicas import NoSuchReplica, Replica, Replicas


def replica(name: str, node: str = "n1", started: int = 1, **how: object) -> Replica:
    said = {"sessions": 0, "more": 2, "accepting": True, "draining": False, "stopping": False} | how
    return Replica.model_validate({"id": name, "node": node, "host": "h", "started_at": started, **said})


async def silence(store: Store, name: str) -> None:
    """As if the replica had said nothing for too long."""
    await store.redis.zincrby(module._BEATS, -module.GONE_SECONDS * 1000 - 1, name)


async def test_those_that_speak_are_listed_oldest_first_as_they_said_last(store: Store) -> None:
    replicas = Replicas(store.redis)
    assert await replicas.alive() == []
    for said in (replica("b", started=2), replica("a", started=3), replica("c", started=1), replica("c", sessions=2)):
        await replicas.beat(said)
    assert await replicas.alive() == [replica("c", sessions=2), replica("b", started=2), replica("a", started=3)]


async def test_one_that_is_silent_or_has_left_is_gone_and_leaves_nothing(store: Store) -> None:
    replicas = Replicas(store.redis)
    for name in "abc":
        await replicas.beat(replica(name))
        await replicas.drain_replica(name)
    await silence(store, "a")
    await replicas.leave("b")
    assert [each.id for each in await replicas.alive()] == ["c"]
    await replicas.beat(replica("c"))
    assert not await replicas.beat(replica("a"))  # the wish was for the one that is gone
    assert not await replicas.beat(replica("b"))
    assert await replicas.beat(replica("c"))


async def test_a_replica_hears_its_own_wish_until_it_is_taken_back(store: Store) -> None:
    replicas = Replicas(store.redis)
    assert not await replicas.beat(replica("a"))
    await replicas.beat(replica("b"))
    for _ in range(2):
        await replicas.drain_replica("a")
        assert await replicas.beat(replica("a"))
    assert not await replicas.beat(replica("b"))
    for _ in range(2):
        await replicas.undrain_replica("a")
        assert not await replicas.beat(replica("a"))


async def test_a_drained_node_drains_who_starts_there_later(store: Store) -> None:
    replicas = Replicas(store.redis)
    await replicas.beat(replica("a", "n1"))
    await replicas.beat(replica("b", "n2"))
    await replicas.drain_node("n1")
    assert await replicas.drained_nodes() == {"n1"}
    assert await replicas.beat(replica("a", "n1"))
    assert await replicas.beat(replica("late", "n1"))
    assert not await replicas.beat(replica("b", "n2"))
    await silence(store, "a")
    await silence(store, "late")
    await replicas.undrain_node("n1")  # also when none of them is left
    assert not await replicas.beat(replica("late", "n1"))


async def test_what_is_not_there_cannot_be_drained(store: Store) -> None:
    replicas = Replicas(store.redis)
    await replicas.beat(replica("a", "n1"))
    for call, name in (
        (replicas.drain_replica, "n1"),
        (replicas.undrain_replica, "n1"),
        (replicas.drain_node, "a"),
        (replicas.undrain_node, "a"),
    ):
        with pytest.raises(NoSuchReplica, match=name):
            await call(name)
