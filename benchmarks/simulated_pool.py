"""A pool of uneven replicas under a simulated clock: sessions come, go, pause, go on elsewhere and switch prompts.

Admission and placement are the service's own, asked as the service asks them.
"""

from __future__ import annotations

import math
import random
import time
from collections import deque
from dataclasses import dataclass, field

from deployments.admission import Capacity, Demand, admits, free
from deployments.placement import NoReplicaLeft, Placement, rank
from deployments.session import CHUNK_FRAMES
from simulator import CHUNK_SECONDS, FPS, Device, Session, World

SPEEDS = (0.5, 2.0)
JITTER = (0.8, 1.2)
SWITCH = 0.6  # of a chunk's time: a prompt switch computes the window anew, without the steps of sampling
STAY_SECONDS, PLAY_SECONDS, PAUSE_SECONDS, PROMPT_SECONDS = 90.0, 60.0, 10.0, 30.0  # means, exponential
DELIVERY = (0.02, 0.06)
STATS_SECONDS, QUEUE_SECONDS, SAMPLE_SECONDS = 0.5, 0.5, 1.0

EVERYBODY = 100.0  # a promise that no load comes near


@dataclass(frozen=True)
class Scenario:
    """`load`: of the whole pool by `sessions` that play at a time, without what switches and restores take on top.

    `promise`: what admission lets a device promise, or EVERYBODY. `full`: instead of that, each device has slots, as an
    operator gives them, and with all of them taken it has this load; `load` is then what is asked for. `renders`:
    offline sessions on each device. `tenants`: every other session is of a tenant of weight 2, and none comes or goes.
    """

    load: float
    promise: float
    sessions: int
    replicas: int
    seconds: float
    warm_seconds: float = 20.0
    full: float | None = None
    renders: int = 0
    tenants: bool = False


@dataclass
class Replica:
    speed: float
    cost: float
    device: Device
    promise: float
    slots: int | None = None
    taken: list[Demand] = field(default_factory=list)
    loads: list[float] = field(default_factory=list)
    """Once a second."""

    @property
    def capacity(self) -> Capacity:
        return Capacity(self.device.steady.seconds, FPS, CHUNK_FRAMES, slots=self.slots, load=self.promise)

    @property
    def load(self) -> float:
        """By the sessions that play, as it would be measured over a long time."""
        return sum(demand.live for demand in self.taken) * self.cost / CHUNK_SECONDS


@dataclass(frozen=True)
class Ask:
    """A session that wants to play from chunk `first` on; `number` tells the order in which they were asked for."""

    number: int
    sid: str
    at: float
    first: int = 0


class Pool:
    """Runs `scenario` when made, and keeps what was seen after the first `warm_seconds`."""

    def __init__(self, scenario: Scenario, seed: int = 0) -> None:
        self.scenario = scenario
        self.random = random.Random(seed)
        self.world = World()
        self.replicas: dict[str, Replica] = {}
        self.published: dict[str, float] = {}
        self.queue: deque[Ask] = deque()
        self.played: list[tuple[str, Session]] = []
        """The replica and the session, once for each time that it began or went on."""
        self.place_ms: list[float] = []
        self.place_cpu_ms: list[float] = []
        """The same without what else the machine did meanwhile, but with the time of asking for it."""
        self.began: list[tuple[int, float]] = []
        """Number and seconds of waiting, in the order in which they began."""
        self.samples: list[tuple[int, int]] = []
        """Sessions that play, and that wait, once a second."""
        self._asked = 0
        self._build()
        self._fill()
        self.world.run(scenario.warm_seconds)
        self._forget()
        self.world.at(self.world.now, self._sample)
        self.world.run(scenario.warm_seconds + scenario.seconds)

    def _build(self) -> None:
        scenario = self.scenario
        speeds = [math.exp(self.random.uniform(*map(math.log, SPEEDS))) for _ in range(scenario.replicas)]
        for number, speed in enumerate(speeds):
            name = f"replica-{number:04}"
            even = scenario.sessions * speed / sum(speeds)  # sessions that would be its part of all
            cost, slots = CHUNK_SECONDS * scenario.load / even, None
            if scenario.full is not None:
                slots = max(2, round(even * scenario.full / scenario.load))
                cost = CHUNK_SECONDS * scenario.full / slots
            replica = self.replicas[name] = Replica(speed, cost, self._device(cost), scenario.promise)
            replica.slots = slots and slots + scenario.renders
            for render in range(scenario.renders):
                self._begin(name, Session(f"render-{number}-{render}", 0.0, live=False))
            self.published[name] = free(replica.capacity, replica.taken)
            self.world.at(self.random.uniform(0, STATS_SECONDS), self._publish, name)
        self.world.at(QUEUE_SECONDS, self._serve)

    def _device(self, cost: float) -> Device:
        draw = self.random.uniform
        return Device(
            self.world,
            cost,
            lambda: cost * draw(*JITTER),
            switch_seconds=lambda: cost * SWITCH * draw(*JITTER),
            delivery_seconds=lambda: draw(*DELIVERY),
        )

    def _fill(self) -> None:
        """As many as shall play come within two thirds of the warm-up; then others come and those that pause return."""
        scenario, draw = self.scenario, self.random.uniform
        fill = 2 / 3 * scenario.warm_seconds
        for number in range(scenario.sessions):
            self.world.at(fill * number / scenario.sessions, self._arrive)
        if not scenario.tenants:
            for _ in range(round(scenario.sessions * PAUSE_SECONDS / PLAY_SECONDS)):
                self.world.at(draw(0, fill) + self._after(PAUSE_SECONDS), self._arrive)
            self.world.at(fill / 2, self._arrive_at_random)

    def _forget(self) -> None:
        self.place_ms.clear()
        self.place_cpu_ms.clear()
        self.began.clear()
        self.played = [(name, session) for name, session in self.played if self._plays(name, session)]
        for _, session in self.played:
            session.forget()
        for replica in self.replicas.values():
            replica.device.busy_seconds = replica.device.live_seconds = 0.0

    def _sample(self) -> None:
        for replica in self.replicas.values():
            replica.loads.append(replica.load)
        playing = sum(demand.live for replica in self.replicas.values() for demand in replica.taken)
        self.samples.append((playing, len(self.queue)))
        self.world.at(self.world.now + SAMPLE_SECONDS, self._sample)

    def _after(self, mean: float) -> float:
        return self.random.expovariate(1 / mean)

    def _plays(self, name: str, session: Session) -> bool:
        return self.replicas[name].device.sessions.get(session.sid) is session

    def _arrive_at_random(self) -> None:
        self.world.at(self.world.now + self._after(STAY_SECONDS / self.scenario.sessions), self._arrive_at_random)
        self._arrive()

    def _arrive(self) -> None:
        self._want(f"session-{self._asked}", first=0)

    def _want(self, sid: str, first: int) -> None:
        """A new session, or one that goes on: nobody overtakes those that wait."""
        ask = Ask(self._asked, sid, self.world.now, first)
        self._asked += 1
        if self.queue or not self._place(ask):
            self.queue.append(ask)

    def _serve(self) -> None:
        while self.queue and self._place(self.queue[0]):
            self.queue.popleft()
        self.world.at(self.world.now + QUEUE_SECONDS, self._serve)

    def _place(self, ask: Ask) -> bool:
        """As `GeneratorPool.take` does it: the next one is asked when one refuses."""
        excluded: tuple[str, ...] = ()
        while True:
            placement = Placement(ask.sid, excluded=excluded)
            cpu, began = time.thread_time(), time.perf_counter()  # in this order: asking for CPU time takes longest
            try:
                name = rank(placement, self.published)[0]
            except NoReplicaLeft:
                return False
            finally:
                self.place_ms.append(1000 * (time.perf_counter() - began))
                self.place_cpu_ms.append(1000 * (time.thread_time() - cpu))
            replica = self.replicas[name]
            if admits(replica.capacity, replica.taken, Demand(FPS)):
                self._play(name, ask)
                return True
            excluded = (*excluded, name)

    def _play(self, name: str, ask: Ask) -> None:
        now = self.world.now
        session = Session(ask.sid, now, first=ask.first)
        if self.scenario.tenants:
            session.tenant, session.weight = ("two", 2.0) if ask.number % 2 else ("one", 1.0)
        self.began.append((ask.number, now - ask.at))
        self._begin(name, session)
        self.world.at(now + self._after(PROMPT_SECONDS), self._switch, name, session)
        if not self.scenario.tenants:
            stay, play = self._after(STAY_SECONDS), self._after(PLAY_SECONDS)
            self.world.at(now + min(stay, play), self._leave if stay < play else self._pause, name, session)

    def _begin(self, name: str, session: Session) -> None:
        self.replicas[name].taken.append(Demand(FPS, live=session.live))
        self.played.append((name, session))
        self.replicas[name].device.add(session)

    def _switch(self, name: str, session: Session) -> None:
        if self._plays(name, session):
            session.switching = True
            self.replicas[name].device.changed(session)
            self.world.at(self.world.now + self._after(PROMPT_SECONDS), self._switch, name, session)

    def _leave(self, name: str, session: Session) -> None:
        self.replicas[name].device.remove(session)
        self.replicas[name].taken.remove(Demand(FPS))

    def _pause(self, name: str, session: Session) -> None:
        self._leave(name, session)
        self.world.at(self.world.now + self._after(PAUSE_SECONDS), self._want, session.sid, session.chunk)

    def _publish(self, name: str) -> None:
        replica = self.replicas[name]
        self.published[name] = free(replica.capacity, replica.taken)
        self.world.at(self.world.now + STATS_SECONDS, self._publish, name)
