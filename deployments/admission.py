"""Which sessions a replica takes: those it can keep at their frame rate, and in its memory."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile

LOAD = 0.8
"""Share of the device's time that may be promised; the rest is for what varies and for prompt switches."""

OFFLINE_SLOTS = 4
"""Offline sessions of a replica: enough to fill every gap. More would only wait for each other in memory."""

MEMORY = 0.9
"""Share of the free memory that may be promised; the rest is for gaps between blocks and for what nobody measured."""

MOST_MORE = 64
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Demand:
    """What a session asks of a device: `fps` frames of each second while it is live; offline only what is left."""

    fps: int
    live: bool = True


@dataclass(frozen=True)
class Capacity:
    """What a replica can promise. Build it anew for each question: `chunk_seconds` is measured all the while.

    It should be an estimate that moves slowly: who waits asks again and again, and a moment's low would let it in.
    `fps` is the model's, `frames` those of a chunk. `slots`, if an operator gave it, bounds all sessions in place of
    `load`; `memory_slots` bounds them in any case.

        capacity = Capacity(times.usual.seconds, fps=model_fps, frames=chunk_frames(1), memory_slots=...)
        taken = [owned.demand for owned in ...]  # and those that are being opened
        if not admits(capacity, taken, Demand(session.fps, live=session.pace == "live")): refuse
        routing stats: {"sessions": len(taken), "free": free(capacity, taken)}
    """

    chunk_seconds: float
    fps: int
    frames: int
    slots: int | None = None
    memory_slots: int | None = None
    offline_slots: int = OFFLINE_SLOTS
    load: float = LOAD

    def share(self, fps: int) -> float:
        """Of the device's time that a live session of `fps` frames a second takes."""
        return self.chunk_seconds * fps / self.frames


def admits(capacity: Capacity, taken: Sequence[Demand], ask: Demand) -> bool:
    """Whether the device can keep every session of `taken` at its frame rate, and `ask` too.

    A device without a live session takes one however slow it is: a picture that stalls is better than none.
    """
    return _left(capacity, [*taken, ask]) >= 0


def free(capacity: Capacity, taken: Sequence[Demand]) -> float:
    """Share that is left once one more live session of the model's frame rate has come; it is refused below 0.

    Replicas publish it. Counted so, a slow device with room for half a session does not look better than a fast one
    with room for two.
    """
    return _left(capacity, [*taken, Demand(capacity.fps)])


def more(capacity: Capacity, taken: Sequence[Demand]) -> int:
    """How many further live sessions of the model's frame rate would be admitted, at most MOST_MORE."""
    ask = Demand(capacity.fps)
    coming = takewhile(lambda count: admits(capacity, [*taken, *[ask] * (count - 1)], ask), range(1, MOST_MORE + 1))
    return max(coming, default=0)


def _left(capacity: Capacity, sessions: Sequence[Demand]) -> float:
    """The least of the shares that `sessions` leave of what is bounded."""
    live = [session.fps for session in sessions if session.live]
    left = [math.inf]
    if capacity.slots is not None:
        left.append(1 - len(sessions) / capacity.slots)
    elif len(live) == 1:
        left.append(max(0.0, capacity.load - capacity.share(live[0])))
    elif live:
        # A chunk is not interrupted: the fastest session waits for one of another, and then its own must be in time.
        taken = max(sum(map(capacity.share, live)), 2 * capacity.share(max(live)))
        left.append(capacity.load - taken + _ROUNDING)
    if capacity.memory_slots is not None:
        left.append(1 - len(sessions) / capacity.memory_slots)
    if len(sessions) - len(live) > capacity.offline_slots:
        left.append(-1.0)
    return min(left)


def memory_slots(free_bytes: int, session_bytes: int) -> int:
    """Sessions that fit in memory of which `free_bytes` were left while one was open and working. At least 1."""
    return 1 + math.floor(MEMORY * free_bytes / session_bytes)


def measure_chunk_seconds(
    make_chunk: Callable[[], object], clock: Callable[[], float], *, fill: int, count: int
) -> float:
    """Median seconds of `count` chunks, after `fill` that warm the device up and fill the window of attention."""
    for _ in range(fill):
        make_chunk()
    times = []
    for _ in range(count):
        start = clock()
        make_chunk()
        times.append(clock() - start)
    return statistics.median(times)


def retry_after_seconds(seconds_left: Iterable[float], *, most: int = 10) -> int:
    """Whole seconds, 1 to `most`, after which a slot may be free: when the next session that nobody watches would end.

    `seconds_left` has one entry for each session of the replica: infinite for those that are watched.
    """
    return max(1, math.ceil(min((most, *seconds_left))))
