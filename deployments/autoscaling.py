"""How many generators there shall be: one place is kept free for who comes next, and what is empty goes slowly.

`Autoscaling` runs in Serve's controller. What it reads is what the replicas tell of themselves and of the queues.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SPARE = 1
"""Sessions there is always room for, while there are any: who comes next does not wait for a generator to start."""

MARGIN = 0.1
"""Share of the smaller pool that stays free, beside, where a generator is stopped: what varies shall not start it."""

UP_SECONDS = 0.0
DOWN_SECONDS = 60.0
"""So long there must have been one generator too many, for each that is stopped: moves cost, an idle minute less."""

EMPTY_SECONDS = 120.0  # the last one of a pool that may be empty: starting it anew takes the longest
METRICS_SECONDS = 0.5
LOOK_BACK_SECONDS = 3.0


@dataclass(frozen=True)
class Room:
    """Of one replica: the sessions it has, how many `more` it would take, and whether it takes any at all."""

    sessions: int
    more: int
    accepting: bool = True

    @property
    def whole(self) -> int:
        return max(1, self.sessions + self.more)


@dataclass(frozen=True)
class Pool:
    """`waiting`: sessions without a generator that want one, in the queues or refused a moment ago."""

    rooms: Sequence[Room]
    waiting: int = 0


def replicas_for(pool: Pool, current: int) -> int:
    """How many generators are wanted, where there are `current`, one that is starting included.

    At once as many as are needed; and one fewer when what is there fits in the rest with a margin. Replicas that do not
    accept are no room, but what they have must fit elsewhere.
    """
    accepting = [room for room in pool.rooms if room.accepting]
    sessions = sum(room.sessions for room in pool.rooms) + pool.waiting
    if not sessions:
        return max(0, current - 1)
    if not accepting:  # or nothing is known: the first one that starts tells what one can carry
        return max(current, len(pool.rooms) + 1)
    of_one = max(1, math.floor(sum(room.whole for room in accepting) / len(accepting)))
    drained = len(pool.rooms) - len(accepting)
    needed = math.ceil((sessions + SPARE) / of_one) + drained
    if needed >= current:
        return needed
    smaller = (current - 1 - drained) * of_one
    fits = sessions + max(SPARE, math.ceil(MARGIN * smaller)) <= smaller
    return current - 1 if fits else current


class Autoscaling:
    """Serve's policy. It adds bounds and delays itself."""

    def __call__(self, context: Any) -> tuple[int, dict[str, Any]]:
        return replicas_for(pool_in(context.raw_metrics or {}), context.target_num_replicas), {}


def pool_in(metrics: Mapping[str, Mapping[Any, Sequence[Any]]]) -> Pool:
    """The newest that each replica told with `stats`."""

    def newest(name: str) -> dict[Any, float]:
        return {replica: series[-1].value for replica, series in metrics.get(name, {}).items() if series}

    sessions, more, accepting = newest("sessions"), newest("more"), newest("accepting")
    rooms = [
        Room(round(count), round(more.get(replica, 0)), bool(accepting.get(replica, 1)))
        for replica, count in sessions.items()
    ]
    waiting = round(max(newest("waiting").values(), default=0))
    return Pool(rooms, max(waiting, int(_refused_by_all(newest("refused"), sessions, accepting))))


def _refused_by_all(refused: Mapping[Any, float], replicas: Iterable[Any], accepting: Mapping[Any, float]) -> bool:
    """Whether somebody has no place. Where none accepts, one refusal tells: those that are stopped are not asked."""
    of_accepting = [refused.get(replica, 0) for replica in replicas if accepting.get(replica, 1)]
    return min(of_accepting) > 0 if of_accepting else any(refused.values())


def stats(room: Room, waiting: int, *, refused: bool) -> dict[str, float]:
    """What a replica tells Serve. `waiting`: in the queues. `refused`: it has refused a session a moment ago."""
    return {
        "sessions": room.sessions,
        "more": room.more,
        "accepting": float(room.accepting),
        "waiting": waiting,
        "refused": float(refused),
    }
