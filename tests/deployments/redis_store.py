"""What a test of the control rooms is given: one Redis and the stores over it."""

from __future__ import annotations

from dataclasses import dataclass

from redis.asyncio import Redis

from deployments.leases import Leases
from deployments.timeline import Timeline


@dataclass(frozen=True)
class Store:
    redis: Redis
    timeline: Timeline
    leases: Leases
