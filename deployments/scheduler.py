"""Who gets the device next: plain functions of the sessions' next chunks and the time.

A chunk is one job that cannot be interrupted. Earliest due first (the least slack), and as late as is safe, because
every frame made in advance is one that shows the old prompt. "Safe" looks at all sessions together: those due soon may
have to start early so that they do not all want the device in the last moment.

Weights count only where there is not enough for all. Above capacity every live session is late, equal ones equally and
with every chunk; twice the weight is half as late. Renders share the gaps so: twice the weight is half as long a wait.
Both as nearly as whole chunks can do it. A weight is a tenant's: its sessions on the device divide it, so whoever opens
ten gets no more than who opens one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from deployments.playout import PlayoutClock
from deployments.session import chunk_first_frame, chunk_frames

RESERVE = 1.5
"""Times the expected duration that is set aside for a chunk: a session alone starts that long before it is due."""

SWITCHES = 3
"""Prompt switches, of as many sessions, that may be asked for in the last moment and make nobody late."""


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
    """When the session last gave the device back; among equals the one that waited longest is first."""
    plays: float = math.inf
    """Of an eager one: seconds after it is made at which the next one of the session is due."""
    tenant: str = ""
    """Whose session it is. Nobody's: it stands for itself."""
    weight: float = 1.0
    """The tenant's, above 0; of a session that is nobody's, its own."""


@dataclass(frozen=True)
class Start:
    sid: str


@dataclass(frozen=True)
class Wait:
    """Nothing to start before `until` (may be infinite), unless a session comes, is watched or publishes."""

    until: float


def paced_job(
    sid: str,
    clock: PlayoutClock,
    chunk: int,
    now: float,
    *,
    asked: float,
    cost: float,
    delivery: float,
    served: float,
    first: int = 0,
    playing: bool = False,
    tenant: str = "",
    weight: float = 1.0,
) -> Job:
    """The job of a live session whose next chunk is `chunk`; `asked` is when the session was asked for.

    `first` is where it begins: 0, or the chunk that a paused one goes on with.

    `cost` is the time a chunk is expected to take on the device, `delivery` the time from there to the viewers' side.
    A first chunk is wanted at once, but may take as long as two chunks play, so that it delays no session that plays
    already. `playing`: this one does, another device has made the chunk before; the picture may stand still by now.
    A later one is released when the chunk before it is due: at most one chunk is ever out and not yet due.
    """
    if chunk == first:
        due, plays = asked + 2 * chunk_frames(1) / clock.fps, chunk_frames(first) / clock.fps
        if playing:
            shown = clock.due(chunk_first_frame(chunk), now)
            due = asked if shown == math.inf else max(asked, shown - delivery)
        return Job(sid, -math.inf, due, cost, eager=True, served=served, plays=plays, tenant=tenant, weight=weight)
    # The chunk before has to play first. When that one is late and not out yet, the clock does not know so.
    played = served + chunk_frames(chunk - 1) / clock.fps
    if chunk == first + 1 and clock.watched and clock.due(0, now) == math.inf:
        # The first chunk is on its way, and starts the clock. Who has room for others must know what comes then.
        return Job(sid, served + delivery, played, cost, served=served, tenant=tenant, weight=weight)
    release = clock.due(chunk_first_frame(chunk - 1), now)
    due = max(clock.due(chunk_first_frame(chunk), now), played) - delivery
    return Job(sid, release, due, cost, served=served, tenant=tenant, weight=weight)


def unpaced_job(sid: str, *, cost: float, served: float, tenant: str = "", weight: float = 1.0) -> Job:
    """The job of a session that runs as fast as the others leave room."""
    return Job(sid, -math.inf, math.inf, cost, eager=True, served=served, tenant=tenant, weight=weight)


def latest_start(jobs: Iterable[Job], reserve: float = RESERVE, spare: float = 0.0) -> float:
    """When the device must turn to `jobs`, earliest due first, to finish each in time with the reserve to spare.

    `spare`: seconds for something in between that nobody knows of yet.
    """
    latest, work = math.inf, spare
    for job in sorted(jobs, key=_rank):
        work += reserve * job.cost
        latest = min(latest, job.due - work)
    return latest


def decide(jobs: Sequence[Job], now: float, *, spare: float = 0.0) -> Start | Wait:
    """What a free device does at `now`.

    `spare`: the time of a prompt switch, for each session that may ask for one in the last moment.
    """
    spare *= min(SWITCHES, sum(job.due < math.inf for job in jobs))
    ready = [job for job in jobs if job.release <= now]
    eager = _first_eager(ready, now)
    if eager is not None and _has_room(eager, jobs, now, spare):
        return Start(eager.sid)
    latest = latest_start(jobs, spare=spare)
    due = [job for job in ready if job.due < math.inf]
    if now < latest:
        # With an eager job waiting the device does not idle: what must be made soon is made now, which makes room.
        due = [job for job in due if job is not eager] if eager is not None else []
    if due:
        return Start(_first_due(due, [job for job in jobs if job.due < math.inf], now).sid)
    return Wait(min((time for time in (latest, *(job.release for job in jobs)) if time > now), default=math.inf))


def _has_room(eager: Job, jobs: Sequence[Job], now: float, spare: float) -> bool:
    """Whether nobody is late for it. A first chunk must leave room for the next one of its session as well."""
    made = now + eager.cost
    others = [job for job in jobs if job is not eager]
    if eager.due == math.inf:
        return made <= latest_start(others, spare=spare)
    latest = latest_start(others)
    return latest == math.inf or made <= min(
        latest, latest_start([*others, replace(eager, due=made + eager.plays)], reserve=1.0)
    )


def _first_eager(ready: Sequence[Job], now: float) -> Job | None:
    """A first chunk, for which somebody waits, before a render."""
    eager = [job for job in ready if job.eager]
    if begun := [job for job in eager if job.due < math.inf]:
        return min(begun, key=_rank)
    return _longest_wait(eager, eager, now, lambda job: job.served - job.cost) if eager else None


def _first_due(due: Sequence[Job], live: Sequence[Job], now: float) -> Job:
    """Of `due`, which is a part of `live`: by time while all can be made in time, by weighted lateness when not."""
    if now <= latest_start(live, reserve=1.0):
        return min(due, key=_rank)
    usual = fmean(job.cost for job in live)  # a prompt switch takes longer; it is not more urgent for that
    return _longest_wait(due, live, now, lambda job: job.due - usual)


def _longest_wait(some: Sequence[Job], all_: Sequence[Job], now: float, since: Callable[[Job], float]) -> Job:
    """The one with the longest wait, times its share of its tenant's weight.

    Waits come in whole chunks: counted is the middle between going now and going after one more, for what is rounded
    down for everybody would be the more, the less one has to wait.
    """
    sessions = Counter(job.tenant for job in all_)
    later = now + fmean(job.cost for job in all_) / 2

    def wait(job: Job) -> tuple[float, tuple[float, float, str]]:
        waited = later - since(job)
        share = job.weight / sessions[job.tenant] if job.tenant else job.weight
        return -(waited * share if waited > 0 else waited), _rank(job)

    return min(some, key=wait)


class Estimate:
    """A running estimate of seconds that vary: of a chunk on the device, of its delivery."""

    def __init__(self, seconds: float, *, weight: float = 0.2) -> None:
        self.seconds = seconds
        self._weight = weight

    def observe(self, seconds: float) -> None:
        self.seconds += self._weight * (seconds - self.seconds)


def _rank(job: Job) -> tuple[float, float, str]:
    return job.due, job.served, job.sid
