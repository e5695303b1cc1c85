"""Who gets the device next: plain functions of the sessions' next chunks and the time.

A chunk is one job that cannot be interrupted. Earliest due first (the least slack), and as late as is safe, because
every frame made in advance is one that shows the old prompt. "Safe" looks at all sessions together: those due soon may
have to start early so that they do not all want the device in the last moment.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from deployments.playout import PlayoutClock
from deployments.session import chunk_first_frame, chunk_frames

RESERVE = 1.5
"""Times the expected duration that is set aside for a chunk: a session alone starts that long before it is due."""


@dataclass(frozen=True)
class Job:
    """The next chunk of a session. Times in seconds of the clock that `decide` is called with."""

    sid: str
    release: float
    """Not before: the session would have more than one chunk of lead."""
    due: float
    """The picture stands still from then on. Infinite: nobody waits for it."""
    cost: float
    """Expected seconds on the device."""
    eager: bool = False
    """Start it early if that makes nobody late: a first chunk, an unpaced session."""
    served: float = -math.inf
    """When the session last had the device; among equals the one that waited longest is first."""


@dataclass(frozen=True)
class Start:
    sid: str


@dataclass(frozen=True)
class Wait:
    """Nothing to start before `until` (may be infinite), unless a session comes, is watched or publishes."""

    until: float


def paced_job(
    sid: str, clock: PlayoutClock, chunk: int, now: float, *, asked: float, cost: float, delivery: float, served: float
) -> Job:
    """The job of a live session whose next chunk is `chunk`; `asked` is when the session was asked for.

    `cost` is the time a chunk is expected to take on the device, `delivery` the time from there to the viewers' side.
    A first chunk is wanted at once, but may take as long as two chunks play, so that it delays no session that plays
    already. A later one is released when the chunk before it is due: at most one chunk is ever out and not yet due.
    """
    if chunk == 0:
        patience = 2 * chunk_frames(1) / clock.fps
        return Job(sid, release=-math.inf, due=asked + patience, cost=cost, eager=True, served=served)
    release = clock.due(chunk_first_frame(chunk - 1), now)
    due = clock.due(chunk_first_frame(chunk), now) - delivery
    return Job(sid, release=release, due=due, cost=cost, served=served)


def unpaced_job(sid: str, *, cost: float, served: float) -> Job:
    """The job of a session that runs as fast as the others leave room."""
    return Job(sid, release=-math.inf, due=math.inf, cost=cost, eager=True, served=served)


def latest_start(jobs: Iterable[Job]) -> float:
    """When the device must turn to `jobs`, earliest due first, to finish each in time with the reserve to spare."""
    latest, work = math.inf, 0.0
    for job in sorted(jobs, key=_rank):
        work += RESERVE * job.cost
        latest = min(latest, job.due - work)
    return latest


def decide(jobs: Sequence[Job], now: float) -> Start | Wait:
    """What a free device does at `now`."""
    ready = [job for job in jobs if job.release <= now]
    eager = min((job for job in ready if job.eager), key=_rank, default=None)
    if eager is not None and now + eager.cost <= latest_start(job for job in jobs if job is not eager):
        return Start(eager.sid)
    first = min((job for job in ready if job.due < math.inf), key=_rank, default=None)
    latest = latest_start(jobs)
    # With an eager job waiting the device does not idle: what must be made soon is made now, which makes room for it.
    if first is not None and (eager is not None or now >= latest):
        return Start(first.sid)
    return Wait(min((time for time in (latest, *(job.release for job in jobs)) if time > now), default=math.inf))


class Estimate:
    """A running estimate of seconds that vary: of a chunk on the device, of its delivery."""

    def __init__(self, seconds: float, *, weight: float = 0.2) -> None:
        self.seconds = seconds
        self._weight = weight

    def observe(self, seconds: float) -> None:
        self.seconds += self._weight * (seconds - self.seconds)


def _rank(job: Job) -> tuple[float, float, str]:
    return job.due, job.served, job.sid
