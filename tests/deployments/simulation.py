"""A device and its sessions under a simulated clock: what `decide` does over minutes, in milliseconds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from deployments.playout import PlayoutClock
from deployments.scheduler import Job, Start, decide, paced_job, unpaced_job
from deployments.session import chunk_first_frame, chunk_frames

FPS = 16
CHUNK_MEDIA = 12 / FPS


@dataclass
class Simulated:
    sid: str
    asked: float
    watched: bool = True
    paced: bool = True
    clock: PlayoutClock = field(init=False)
    chunk: int = 0
    served: float = -math.inf
    first_frame_after: float | None = None
    gaps: list[tuple[float, float]] = field(default_factory=list)
    most_lead: float = 0.0
    publications: list[float] = field(default_factory=list)
    slack_left: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = PlayoutClock(FPS, self.asked)
        if self.watched:
            self.clock.enter(self.asked)

    def job(self, now: float, cost: float) -> Job:
        if not self.paced:
            return unpaced_job(self.sid, cost=cost, served=self.served)
        return paced_job(
            self.sid, self.clock, self.chunk, now, asked=self.asked, cost=cost, delivery=0.0, served=self.served
        )

    def publish(self, now: float) -> None:
        first = chunk_first_frame(self.chunk)
        due = self.clock.due(first, now)
        if gap := self.clock.publish(first, now):
            self.gaps.append((now, gap))
        elif self.chunk and due < math.inf:
            self.slack_left.append(due - now)
        if self.chunk == 0:
            self.first_frame_after = now - self.asked
        newest = range(max(0, self.chunk - 3), self.chunk + 1)
        undue = [k for k in newest if self.clock.due(chunk_first_frame(k), now) > now]
        self.most_lead = max(self.most_lead, sum(chunk_frames(k) for k in undue) / FPS)
        self.publications.append(now)
        self.chunk += 1


@dataclass
class Device:
    """Makes one chunk at a time; `seconds` gives how long the next one takes, `cost` is what the scheduler believes."""

    cost: float
    seconds: Callable[[], float]
    now: float = 0.0
    sessions: list[Simulated] = field(default_factory=list)
    plans: list[tuple[float, Callable[[float], None]]] = field(default_factory=list)
    starts: list[tuple[float, str]] = field(default_factory=list)

    def at(self, time: float, action: Callable[[float], None]) -> None:
        self.plans.append((time, action))

    def arrive(self, session: Simulated) -> Simulated:
        self.at(session.asked, lambda _: self.sessions.append(session))
        return session

    def run(self, until: float) -> None:
        self.plans.sort(key=lambda plan: plan[0])
        while self.now < until:
            self._act()
            decision = decide([session.job(self.now, self.cost) for session in self.sessions], self.now)
            if isinstance(decision, Start):
                session = next(session for session in self.sessions if session.sid == decision.sid)
                session.served = self.now
                self.starts.append((self.now, session.sid))
                self.now += self.seconds()
                self._act()
                session.publish(self.now)
            else:
                assert decision.until > self.now
                self.now = min(decision.until, self.plans[0][0] if self.plans else math.inf, until)

    def _act(self) -> None:
        """What was planned for the time that has passed. An action learns its own time, not the device's."""
        while self.plans and self.plans[0][0] <= self.now:
            time, action = self.plans.pop(0)
            action(time)
