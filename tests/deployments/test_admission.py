"""Slots follow from the measured chunk time and from memory; a refusal says when to come back."""

from __future__ import annotations

import itertools
import math

import pytest

from deployments.admission import LOAD, MEMORY, measure_chunk_seconds, memory_slots, retry_after_seconds, slots


@pytest.mark.parametrize(
    ("chunk_seconds", "expected"), [(0.1, 6), (0.2, 3), (0.3, 2), (0.31, 1), (0.75, 1), (5.0, 1), (0.001, 600)]
)
def test_slots_are_what_the_chunk_time_allows_and_at_least_one(chunk_seconds: float, expected: int) -> None:
    assert slots(0.75, chunk_seconds) == expected


def test_more_than_one_session_never_takes_more_than_the_promised_share() -> None:
    for thousandths in range(1, 800):
        cost = thousandths / 1000
        count = slots(0.75, cost)
        assert count == 1 or count * cost <= LOAD * 0.75 + 1e-9
        assert (count + 1) * cost > LOAD * 0.75


@pytest.mark.parametrize(("free", "expected"), [(0, 1), (1099, 1), (1112, 2), (10_000, 10), (100_000, 91)])
def test_memory_has_room_for_the_session_that_was_measured_and_for_more_in_what_was_free(
    free: int, expected: int
) -> None:
    assert memory_slots(free, session_bytes=1000) == expected
    assert (expected - 1) * 1000 <= MEMORY * free < expected * 1000


def test_the_chunk_time_is_the_median_after_the_window_is_full() -> None:
    # A clock read twice for each measured chunk: 1, 9 and 2 seconds long.
    clock = iter([0.0, 1.0, 1.0, 10.0, 10.0, 12.0])
    made = itertools.count()
    assert measure_chunk_seconds(lambda: next(made), lambda: next(clock), fill=4, count=3) == 2.0
    assert next(made) == 7


def test_a_refused_client_comes_back_when_the_next_unwatched_session_would_end() -> None:
    assert retry_after_seconds([math.inf, math.inf]) == 10
    assert retry_after_seconds([math.inf, 2.6, 48.0]) == 3
    assert retry_after_seconds([55.0]) == 10
    assert retry_after_seconds([-1.0]) == 1
    assert retry_after_seconds([]) == 10
