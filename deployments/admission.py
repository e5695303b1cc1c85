"""How many sessions a replica takes: as many as it can keep at their frame rate, and in its memory."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable

LOAD = 0.8
"""Share of the device's time that may be promised; the rest is for what varies and for prompt switches."""

MEMORY = 0.9
"""Share of the free memory that may be promised; the rest is for gaps between blocks and for what nobody measured."""


def slots(chunk_media_seconds: float, chunk_seconds: float) -> int:
    """Sessions that fit on a device that makes `chunk_media_seconds` of video in `chunk_seconds`. At least 1."""
    return max(1, math.floor(LOAD * chunk_media_seconds / chunk_seconds))


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
