"""A replica's place in the pool: it tells of itself, hears whether it shall go, and holds Serve up until it can."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from redis.exceptions import RedisError

from deployments import autoscaling
from deployments.autoscaling import Room
from deployments.draining import Condition, DrainWatch
from deployments.replicas import BEAT_SECONDS, Replica, Replicas
from deployments.waiting_room import WaitingRoom

STOP_SECONDS = 120.0
"""The deployment's `graceful_shutdown_timeout_s`: a new replica may have to load its model before the sessions of the
old one have a place to go."""

HOLD_SECONDS = STOP_SECONDS - 10.0  # then Serve may end it in order; what it still has is adopted
REFUSED_SECONDS = 5.0

log = logging.getLogger(__name__)


class Drainable(Protocol):
    """What is needed of a `Generator`."""

    @property
    def sessions(self) -> int: ...
    @property
    def more(self) -> int: ...
    @property
    def draining(self) -> bool: ...
    def drain(self) -> None: ...
    def undrain(self) -> None: ...


@dataclass(frozen=True)
class Place:
    """Which replica it is, on which node and at which address, and whether that is the head node."""

    replica: str
    node: str
    host: str
    head: bool
    started: float  # unix time

    @property
    def routing_stats(self) -> dict[str, float]:
        """What `PinRouter` knows a replica's stay by."""
        return {"head": float(self.head), "started": self.started}


class Duty:
    """Keep `run` going, call `hold` from somewhere that Serve waits for, and `close` when the service stops.

    The generator is drained while an operator wishes it, and for good once Serve stops the replica. One that has only
    lost Serve's controller takes no new session meanwhile: nobody would know of it.
    """

    def __init__(
        self,
        place: Place,
        generator: Drainable,
        replicas: Replicas,
        waiting: WaitingRoom,
        watch: DrainWatch,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._place = place
        self._generator = generator
        self._replicas = replicas
        self._waiting_room = waiting
        self._watch = watch
        self._clock = clock
        self._wished = False
        self._waiting = 0
        self._refused = float("-inf")
        self._stopping_since: float | None = None
        self._may_go = asyncio.Event()

    @property
    def accepting(self) -> bool:
        """Whether it takes sessions that have no generator yet."""
        return self._watch.condition is Condition.serving and not self._generator.draining and not self.over

    @property
    def over(self) -> bool:
        """Whether nothing is held up any more."""
        return self._may_go.is_set()

    def beat(self) -> None:
        """Serve asks for as long as it wants the replica: to be told of each time."""
        self._watch.beat()

    def refused(self) -> None:
        """To be told of each session that found no room here."""
        self._refused = self._clock()

    def autoscaling_stats(self) -> dict[str, float]:
        generator = self._generator
        room = Room(generator.sessions, generator.more if self.accepting else 0, self.accepting)
        return autoscaling.stats(room, self._waiting, refused=self._clock() - self._refused < REFUSED_SECONDS)

    async def run(self) -> None:
        while True:
            await self.step()
            await asyncio.sleep(BEAT_SECONDS)

    async def step(self) -> None:
        """Tell and hear once. A wish stands while the store is away."""
        if self.over:
            return
        condition = await self._watch.look()
        try:
            self._wished = await self._replicas.beat(self._about())
            self._waiting = await self._waiting_room.count()
        except RedisError as error:
            log.warning("the list of replicas is not kept: %s", error)
        stopping = condition is Condition.stopping
        if (self._wished or stopping) != self._generator.draining:
            log.info("draining" if self._wished or stopping else "in service again")
            (self._generator.drain if self._wished or stopping else self._generator.undrain)()
        if stopping:
            self._stopping_since = self._clock() if self._stopping_since is None else self._stopping_since
            if not self._generator.sessions or self._clock() - self._stopping_since >= HOLD_SECONDS:
                await self._leave()

    async def hold(self) -> None:
        """Returns when Serve stops the replica and it has no session any more; or when the service stops."""
        await self._may_go.wait()

    async def close(self) -> None:
        """The service stops: nothing is waited for."""
        await self._leave()

    async def _leave(self) -> None:
        self._may_go.set()
        try:
            await self._replicas.leave(self._place.replica)
        except RedisError as error:
            log.warning("still in the list of replicas: %s", error)  # until its time is over

    def _about(self) -> Replica:
        place, generator = self._place, self._generator
        return Replica(
            id=place.replica,
            node=place.node,
            host=place.host,
            sessions=generator.sessions,
            more=generator.more if self.accepting else 0,
            accepting=self.accepting,
            draining=generator.draining,
            stopping=self._watch.condition is Condition.stopping,
            started_at=round(place.started * 1000),
        )
