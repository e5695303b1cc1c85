"""Serve's request router for the generators: sessions are sticky, new ones go where there is room.

The wish travels in the handle's `session_id` option as a `Placement`, so the router needs no I/O of its own.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

import ray
from ray.serve._private.common import DeploymentID, RunningReplicaInfo  # to reach a replica that Serve stops
from ray.serve.request_router import PendingRequest, ReplicaID, RequestRouter, RunningReplica

from deployments.placement import NoReplicaLeft, Placement, ReplicaGone, Stay, rank

NAMESPACE = "serve"
LOOK_SECONDS = 1.0
CALLS = 10_000  # to one that is being stopped; it counts for itself
log = logging.getLogger(__name__)


class PinRouter(RequestRouter):
    """`rank` as Serve's router. Replicas publish `{"free": room, "head": 0 or 1, "started": unix time}` as their
    routing stats.

    `pack`: new sessions go to the replicas that Serve would stop last, else where there is most room. A replica that
    Serve is stopping takes none. The sessions that it still has are reached there, also by who has just started: Serve
    tells of running replicas alone, so the others are looked up among Ray's actors. Broadcasts reach them too.
    """

    def initialize_state(self, *, pack: bool = False, **_: Any) -> None:
        self._pack = pack
        self._others: dict[ReplicaID, RunningReplica] = {}
        self._live: frozenset[ReplicaID] | None = None
        self._looked = 0.0

    def update_replicas(self, replicas: list[RunningReplica]) -> None:
        live = frozenset(replica.replica_id for replica in replicas)
        now = time.monotonic()
        if live != self._live or (self._others and now - self._looked >= LOOK_SECONDS):
            self._others = self._alive_besides(live)
            self._live, self._looked = live, now
        super().update_replicas(replicas)
        self._replicas.update(self._others)  # Serve sends nothing to one that it does not find there

    def on_replica_actor_died(self, replica_id: ReplicaID) -> None:
        self._others.pop(replica_id, None)
        super().on_replica_actor_died(replica_id)

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        candidates = [replica for replica in candidate_replicas if replica.replica_id not in self._others]
        if pending_request is None:
            return [candidates]
        # Without this, Serve asks again in a hot loop while the chosen replica is busy, or there is none yet.
        pending_request.routing_context.should_backoff = True
        placement = Placement.parse(pending_request.metadata.session_id)
        for name, other in self._others.items():
            if name.unique_id == placement.pin:
                return [[other]]
        if placement.waits and not candidates:
            return []
        replicas = {replica.replica_id.unique_id: replica for replica in candidates}
        # One that has not said anything yet has just started: it has room.
        free = {name: float(replica.routing_stats.get("free", 1.0)) for name, replica in replicas.items()}
        try:
            ranked = rank(placement, free, _stays(replicas.values()) if self._pack else None)
            return [[replicas[name]] for name in ranked]
        except (ReplicaGone, NoReplicaLeft) as error:
            # Serve would only log an exception raised here, and the caller would wait for ever.
            if not pending_request.future.done():
                pending_request.future.set_exception(error)
            return [candidates]

    def _alive_besides(self, live: frozenset[ReplicaID]) -> dict[ReplicaID, RunningReplica]:
        """The replicas whose processes run and that Serve does not tell of: they start, or are being stopped."""
        try:
            names = _named_replicas(self._deployment_id)
        except Exception as error:  # Ray's control store is away: those that were known stay known
            log.warning("replicas that are being stopped are not looked for: %r", error)
            names = {*self._others, *self._replicas}
        others: dict[ReplicaID, RunningReplica] = {}
        for name in names - live:
            try:
                others[name] = self._replicas.get(name) or self.create_replica_wrapper(_info(name))
            except ValueError:
                log.info("%s has just died", name)
        return others


def _named_replicas(deployment: DeploymentID) -> set[ReplicaID]:
    actors = ray.util.list_named_actors(all_namespaces=True)
    names = [actor["name"] for actor in actors if actor["namespace"] == NAMESPACE]
    found = {ReplicaID.from_full_id_str(name) for name in names if ReplicaID.is_full_id_str(name)}
    return {name for name in found if name.deployment_id == deployment}


def _info(name: ReplicaID) -> RunningReplicaInfo:
    return RunningReplicaInfo(name, None, None, None, name.to_full_id_str(), CALLS)


def _stays(replicas: Iterable[RunningReplica]) -> dict[str, Stay]:
    replicas = list(replicas)
    neighbours = Counter(replica.node_id for replica in replicas)
    return {
        replica.replica_id.unique_id: Stay(
            head=bool(replica.routing_stats.get("head", 0)),
            neighbours=neighbours[replica.node_id],
            started=float(replica.routing_stats.get("started", math.inf)),
        )
        for replica in replicas
    }
