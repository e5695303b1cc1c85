"""Devices and their sessions under a clock that is set: the service's own scheduler and playout clock, and no model.

What makes a chunk is a number of seconds that the caller draws; what decides which chunk, and when, is the real code.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from deployments.playout import PlayoutClock
from deployments.scheduler import Estimate, Job, Start, decide, paced_job, unpaced_job
from deployments.session import CHUNK_FRAMES, chunk_first_frame

FPS = 16
CHUNK_SECONDS = CHUNK_FRAMES / FPS
"""Of video in a chunk."""
MOST_UNPUBLISHED = 2


class World:
    """A clock that jumps from event to event."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = itertools.count()

    def at(self, time: float, action: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._events, (max(time, self.now), next(self._order), action, arguments))

    def run(self, until: float) -> None:
        while self._events and self._events[0][0] <= until:
            self.now, _, action, arguments = heapq.heappop(self._events)
            action(*arguments)
        self.now = until


@dataclass(eq=False)
class Session:
    """A session and what its viewer sees of it. `first` above 0: it goes on after a pause, and is restored for that."""

    sid: str
    asked: float
    live: bool = True
    watched: bool = True
    fps: int = FPS
    tenant: str = ""
    weight: float = 1.0
    first: int = 0
    clock: PlayoutClock = field(init=False)
    chunk: int = field(init=False)
    served: float = -math.inf
    switching: bool = False
    unpublished: int = 0
    job: Job | None = None
    """Of the next chunk. Rebuilt when something has happened to the session: between that, nothing of it moves."""
    published: int = 0
    stalls: int = 0
    stalled_seconds: float = 0.0
    longest_stall: float = 0.0
    last: float = math.nan
    longest: float = 0.0

    def __post_init__(self) -> None:
        self.chunk = self.first
        self.switching = self.first > 0
        self.clock = PlayoutClock(self.fps, self.asked)
        if self.watched:
            self.clock.enter(self.asked)

    def plan(self, now: float, cost: float, delivery: float) -> None:
        if self.unpublished >= MOST_UNPUBLISHED:
            self.job = None
        elif not self.live:
            self.job = unpaced_job(self.sid, cost=cost, served=self.served, tenant=self.tenant, weight=self.weight)
        else:
            self.job = paced_job(
                self.sid,
                self.clock,
                self.chunk,
                now,
                asked=self.asked,
                cost=cost,
                delivery=delivery,
                served=self.served,
                first=self.first,
                tenant=self.tenant,
                weight=self.weight,
            )

    def publish(self, chunk: int, now: float) -> None:
        """Fragment `chunk` is out."""
        gap = self.clock.publish(chunk_first_frame(chunk), now)
        if gap and self.live:
            self.stalls += 1
            self.stalled_seconds += gap
            self.longest_stall = max(self.longest_stall, gap)
        if self.published:
            self.longest = max(self.longest, now - self.last)
        self.published += 1
        self.last = now

    def forget(self) -> None:
        """Count from here on."""
        self.published = self.stalls = 0
        self.stalled_seconds = self.longest_stall = self.longest = 0.0


class Device:
    """Makes one chunk at a time, then delivers it while the next one is made.

    `cost` is the time of a chunk as measured beforehand. `seconds` draws what the next chunk takes, `switch_seconds` a
    prompt switch or a restore before it, `delivery_seconds` the way to the viewers. `learning`: weight of each new
    measurement in what the scheduler expects; 0 lets it expect `cost` for ever.
    """

    def __init__(
        self,
        world: World,
        cost: float,
        seconds: Callable[[], float],
        *,
        switch_seconds: Callable[[], float] | None = None,
        delivery_seconds: Callable[[], float] = lambda: 0.0,
        learning: float = 0.2,
    ) -> None:
        self.world = world
        self.sessions: dict[str, Session] = {}
        self.chunk = Estimate(cost, weight=learning)
        self.steady = Estimate(cost, weight=learning / 10)
        self.busy_seconds = 0.0
        self.live_seconds = 0.0
        """Of the busy ones, without renders."""
        self.on_start: Callable[[Session], None] | None = None
        self._switch = Estimate(cost if switch_seconds else 0.0, weight=learning)
        self._delivery = Estimate(0.0, weight=learning)
        self._seconds = seconds
        self._switch_seconds = switch_seconds
        self._delivery_seconds = delivery_seconds
        self._busy = False
        self._wake = math.inf

    def add(self, session: Session) -> None:
        self.sessions[session.sid] = session
        self.changed(session)

    def remove(self, session: Session) -> None:
        """The chunk that is being made is made, and seen by nobody."""
        del self.sessions[session.sid]

    def changed(self, session: Session) -> None:
        """Something has happened to the session: it may be made now, or later than it was going to be."""
        cost = self.chunk.seconds + (self._switch.seconds if session.switching else 0.0)
        session.plan(self.world.now, cost, self._delivery.seconds)
        self._turn()

    def _turn(self) -> None:
        if self._busy:
            return
        now = self.world.now
        jobs = [session.job for session in self.sessions.values() if session.job is not None]
        decision = decide(jobs, now, spare=self._switch.seconds)
        self._wake = math.inf
        if isinstance(decision, Start):
            self._make(self.sessions[decision.sid])
        elif decision.until < math.inf:
            self._wake = decision.until
            self.world.at(decision.until, self._woken, decision.until)

    def _woken(self, time: float) -> None:
        if time == self._wake:
            self._turn()

    def _make(self, session: Session) -> None:
        if self.on_start is not None:
            self.on_start(session)
        self._busy = True
        switch = self._switch_seconds() if self._switch_seconds and session.switching else 0.0
        seconds = self._seconds()
        session.switching = False
        self.busy_seconds += switch + seconds
        self.live_seconds += switch + seconds if session.live else 0.0
        self.world.at(self.world.now + switch + seconds, self._made, session, switch, seconds)

    def _made(self, session: Session, switch: float, seconds: float) -> None:
        self._busy = False
        self.chunk.observe(seconds)
        self.steady.observe(seconds)
        if switch:
            self._switch.observe(switch)
        if self.sessions.get(session.sid) is not session:
            self._turn()
            return
        chunk = session.chunk
        session.chunk += 1
        session.served = self.world.now
        session.unpublished += 1
        delivery = self._delivery_seconds()
        if delivery:
            self.world.at(self.world.now + delivery, self._deliver, session, chunk, delivery)
            self.changed(session)
        else:
            self._deliver(session, chunk, 0.0)

    def _deliver(self, session: Session, chunk: int, seconds: float) -> None:
        self._delivery.observe(seconds)
        if self.sessions.get(session.sid) is session:
            session.unpublished -= 1
            session.publish(chunk, self.world.now)
            self.changed(session)
