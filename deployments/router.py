"""Serve's request router for the generators: sessions are sticky, new ones go where there is most room.

The wish travels in the handle's `session_id` option as a `Placement`, so the router needs no I/O of its own.
"""

from __future__ import annotations

from ray.serve.request_router import PendingRequest, RequestRouter, RunningReplica

from deployments.placement import NoReplicaLeft, Placement, ReplicaGone, rank


class PinRouter(RequestRouter):
    """`rank` as Serve's router. Replicas publish `{"sessions": n, "free": room}` as their routing stats."""

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        if pending_request is None:
            return [candidate_replicas]
        # Without this, Serve asks again in a hot loop while the chosen replica is busy.
        pending_request.routing_context.should_backoff = True
        replicas = {replica.replica_id.unique_id: replica for replica in candidate_replicas}
        # One that has not said anything yet has just started: it has room.
        free = {name: float(replica.routing_stats.get("free", 1.0)) for name, replica in replicas.items()}
        try:
            return [[replicas[name]] for name in rank(Placement.parse(pending_request.metadata.session_id), free)]
        except (ReplicaGone, NoReplicaLeft) as error:
            # Serve would only log an exception raised here, and the caller would wait for ever.
            if not pending_request.future.done():
                pending_request.future.set_exception(error)
            return [candidate_replicas]
