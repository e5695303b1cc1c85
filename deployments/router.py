"""Serve's request router for the generators: sessions are sticky, new ones go where there is room.

The wish travels in the handle's `session_id` option as a `Placement`, so the router needs no I/O of its own.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

from ray.serve.request_router import PendingRequest, ReplicaID, RequestRouter, RunningReplica

from deployments.placement import NoReplicaLeft, Placement, ReplicaGone, Stay, rank

LEAVING_SECONDS = 150.0  # longer than a replica may take to stop


class PinRouter(RequestRouter):
    """`rank` as Serve's router. Replicas publish `{"free": room, "head": 0 or 1, "started": unix time}` as their
    routing stats.

    `pack`: new sessions go to the replicas that Serve would stop last, else where there is most room. A replica that
    Serve is stopping takes none; those that it still has are reached there, by who knew it before.
    """

    def initialize_state(self, *, pack: bool = False, **_: Any) -> None:
        self._pack = pack
        self._leaving: dict[ReplicaID, tuple[RunningReplica, float]] = {}

    def update_replicas(self, replicas: list[RunningReplica]) -> None:
        live, now = {replica.replica_id for replica in replicas}, time.monotonic()
        leaving = {name: each for name, each in self._leaving.items() if now - each[1] < LEAVING_SECONDS}
        leaving |= {name: (each, now) for name, each in self._replicas.items() if name not in leaving}
        self._leaving = {name: each for name, each in leaving.items() if name not in live}
        super().update_replicas(replicas)

    def on_replica_actor_died(self, replica_id: ReplicaID) -> None:
        self._leaving.pop(replica_id, None)
        super().on_replica_actor_died(replica_id)

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        if pending_request is None:
            return [candidate_replicas]
        # Without this, Serve asks again in a hot loop while the chosen replica is busy.
        pending_request.routing_context.should_backoff = True
        placement = Placement.parse(pending_request.metadata.session_id)
        replicas = {
            replica.replica_id.unique_id: replica
            for replica in candidate_replicas
            if placement.pin or replica.replica_id not in self._leaving
        }
        for name, (replica, _) in self._leaving.items():
            if name.unique_id == placement.pin:
                self._replicas[name] = replica  # Serve sends nothing to one that it does not find there
                return [[replica]]
        # One that has not said anything yet has just started: it has room.
        free = {name: float(replica.routing_stats.get("free", 1.0)) for name, replica in replicas.items()}
        try:
            ranked = rank(placement, free, _stays(replicas.values()) if self._pack else None)
            return [[replicas[name]] for name in ranked]
        except (ReplicaGone, NoReplicaLeft) as error:
            # Serve would only log an exception raised here, and the caller would wait for ever.
            if not pending_request.future.done():
                pending_request.future.set_exception(error)
            return [candidate_replicas]


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
