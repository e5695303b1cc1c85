"""Serve's own router with our choice in it: who is being stopped takes nothing new, and is reached all the same."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from ray.serve._private.common import DeploymentHandleSource, DeploymentID
from ray.serve.request_router import ReplicaID

from deployments.placement import NoReplicaLeft, Placement, ReplicaGone
from deployments.router import PinRouter

GENERATORS = DeploymentID("Generator", "longlive")


@dataclass
class Replica:
    """A running replica, as far as the router uses one."""

    name: str
    routing_stats: dict[str, float] = field(default_factory=dict)
    node_id: str = "n1"
    max_ongoing_requests: int = 10

    @property
    def replica_id(self) -> ReplicaID:
        return ReplicaID(self.name, GENERATORS)

    async def get_queue_len(self, *, deadline_s: float) -> int:
        return 0


@dataclass
class Actors:
    """The actors that Ray tells of."""

    alive: set[str] = field(default_factory=set)
    away: bool = False

    def named(self, deployment: DeploymentID) -> set[ReplicaID]:
        if self.away:
            raise RuntimeError("no word of Ray")
        return {ReplicaID(name, deployment) for name in self.alive}


@pytest.fixture(autouse=True)
def actors(monkeypatch: pytest.MonkeyPatch) -> Actors:
    known = Actors()
    # Serve pickles the class by value: once it was read back, its methods have globals that are not the module's.
    monkeypatch.setitem(PinRouter.update_replicas.__globals__, "_named_replicas", known.named)
    monkeypatch.setitem(PinRouter.update_replicas.__globals__, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(PinRouter, "create_replica_wrapper", lambda _, info: Replica(info.replica_id.unique_id))
    return known


def router_of(*replicas: Replica, pack: bool = False) -> PinRouter:
    router = PinRouter(GENERATORS, DeploymentHandleSource.REPLICA, use_replica_queue_len_cache=True)
    router.initialize_state(pack=pack)
    router.update_replicas(replicas)  # type: ignore[arg-type]
    return router


async def chosen(router: PinRouter, placement: Placement) -> list[str]:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    request: Any = SimpleNamespace(
        future=future,
        metadata=SimpleNamespace(session_id=str(placement)),
        routing_context=SimpleNamespace(should_backoff=False),
    )
    ranked = await router.choose_replicas(list(router.curr_replicas.values()), request)
    assert request.routing_context.should_backoff
    if future.done():
        future.result()
    return [replica.replica_id.unique_id for [replica] in ranked]


async def test_a_session_stays_and_a_new_one_goes_where_there_is_room() -> None:
    router = router_of(Replica("a", {"free": 0.1}), Replica("b", {"free": 0.8}))
    assert await chosen(router, Placement("s")) == ["b", "a"]
    assert await chosen(router, Placement("s", pin="a")) == ["a"]
    with pytest.raises(ReplicaGone):
        await chosen(router, Placement("s", pin="c"))


async def test_a_pool_that_shrinks_again_is_packed() -> None:
    stats = {"free": 0.5, "head": 1.0}
    young, old = Replica("young", stats | {"started": 9.0}), Replica("old", stats | {"started": 1.0, "free": 0.1})
    elsewhere, silent = Replica("elsewhere", stats | {"head": 0.0, "started": 0.0}, "n2"), Replica("silent")
    router = router_of(young, old, elsewhere, silent, pack=True)
    assert await chosen(router, Placement("s")) == ["old", "young", "silent", "elsewhere"]


async def test_one_that_is_being_stopped_is_reached_for_its_sessions_and_takes_no_new_one(actors: Actors) -> None:
    a, b = Replica("a"), Replica("b")
    router = router_of(a, b)
    actors.alive = {"a", "b"}
    router.update_replicas([b])  # type: ignore[list-item]
    assert await chosen(router, Placement("s", pin="a")) == ["a"]
    assert a.replica_id in router.curr_replicas  # where Serve looks it up to send the call
    assert await chosen(router, Placement("s")) == ["b"]
    router.update_replicas([b, a])  # type: ignore[list-item]
    assert sorted(await chosen(router, Placement("s"))) == ["a", "b"]


@pytest.mark.parametrize("running", [["b"], []])
async def test_who_starts_later_finds_one_that_is_being_stopped(actors: Actors, running: list[str]) -> None:
    actors.alive = {"a", *running}
    router = router_of(*map(Replica, running))
    assert await chosen(router, Placement("s", pin="a")) == ["a"]
    assert set(router.curr_replicas) == {Replica(name).replica_id for name in actors.alive}
    if running:
        assert await chosen(router, Placement("s")) == ["b"]


@pytest.mark.parametrize("seen", ["by a call", "by Ray"])
async def test_one_that_was_stopped_and_is_dead_is_gone(actors: Actors, seen: str) -> None:
    a, b = Replica("a"), Replica("b")
    router = router_of(a, b)
    actors.alive = {"a", "b"}
    router.update_replicas([b])  # type: ignore[list-item]
    actors.alive = {"b"}
    if seen == "by a call":
        router.on_replica_actor_died(a.replica_id)
    else:
        router.update_replicas([b])  # type: ignore[list-item]
    with pytest.raises(ReplicaGone):
        await chosen(router, Placement("s", pin="a"))


async def test_who_is_being_stopped_is_remembered_while_ray_cannot_tell(actors: Actors) -> None:
    router = router_of(Replica("a"), Replica("b"))
    actors.away = True
    router.update_replicas([Replica("b")])  # type: ignore[list-item]
    assert await chosen(router, Placement("s", pin="a")) == ["a"]


async def test_who_waits_for_a_replica_is_sent_to_the_first_that_starts(actors: Actors) -> None:
    actors.alive = {"stopping"}
    router = router_of()
    with pytest.raises(NoReplicaLeft):
        await chosen(router, Placement("s"))
    assert await chosen(router, Placement("wake", waits=True)) == []  # Serve asks again, and counts it as queued
    router.update_replicas([Replica("new")])  # type: ignore[list-item]
    assert await chosen(router, Placement("wake", waits=True)) == ["new"]
