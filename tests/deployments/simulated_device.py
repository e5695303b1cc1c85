"""One device and its sessions under a simulated clock, with an eye on every chunk."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import simulator
from deployments.session import chunk_first_frame, chunk_frames
from simulator import CHUNK_SECONDS

CHUNK_MEDIA = CHUNK_SECONDS


@dataclass(eq=False)
class Simulated(simulator.Session):
    first_frame_after: float | None = None
    gaps: list[tuple[float, float]] = field(default_factory=list)
    most_lead: float = 0.0
    publications: list[float] = field(default_factory=list)
    slack_left: list[float] = field(default_factory=list)

    def publish(self, chunk: int, now: float) -> None:
        due = self.clock.due(chunk_first_frame(chunk), now)
        before = self.stalled_seconds
        super().publish(chunk, now)
        if gap := self.stalled_seconds - before:
            self.gaps.append((now, gap))
        elif chunk and due < math.inf:
            self.slack_left.append(due - now)
        if chunk == self.first:
            self.first_frame_after = now - self.asked
        undue = [k for k in range(max(0, chunk - 3), chunk + 1) if self.clock.due(chunk_first_frame(k), now) > now]
        self.most_lead = max(self.most_lead, sum(chunk_frames(k) for k in undue) / self.fps)
        self.publications.append(now)


class Device(simulator.Device):
    """Has a world of its own. What the scheduler believes of a chunk stays `cost`."""

    def __init__(self, cost: float, seconds: Callable[[], float], delivery: float = 0.0) -> None:
        world = simulator.World()
        super().__init__(world, cost, seconds, delivery_seconds=lambda: delivery, learning=0.0 if not delivery else 0.2)
        self.starts: list[tuple[float, str]] = []
        self.on_start = lambda session: self.starts.append((world.now, session.sid))

    def at(self, time: float, action: Callable[[float], None], session: Simulated) -> None:
        def act() -> None:
            action(time)
            self.changed(session)

        self.world.at(time, act)

    def arrive(self, session: Simulated) -> Simulated:
        self.world.at(session.asked, self.add, session)
        return session

    def run(self, until: float) -> None:
        self.world.run(until)
