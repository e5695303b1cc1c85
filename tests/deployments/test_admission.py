"""Room follows from the measured chunk time and from memory; a refusal says when to come back."""

from __future__ import annotations

import itertools
import math

import pytest

from deployments.admission import (
    LOAD,
    MEMORY,
    OFFLINE_SLOTS,
    Capacity,
    Demand,
    admits,
    free,
    measure_chunk_seconds,
    memory_slots,
    more,
    retry_after_seconds,
)

OFFLINE = Demand(16, live=False)


def capacity(chunk_seconds: float, **bounds: int) -> Capacity:
    return Capacity(chunk_seconds, fps=16, frames=12, **bounds)


def admitted(device: Capacity, ask: Demand, taken: tuple[Demand, ...] = ()) -> int:
    """How many like `ask` the device takes, one after another."""
    sessions = list(taken)
    while len(sessions) < 2000 and admits(device, sessions, ask):
        sessions.append(ask)
    return len(sessions) - len(taken)


@pytest.mark.parametrize(
    ("chunk_seconds", "expected"), [(0.1, 6), (0.2, 3), (0.3, 2), (0.31, 1), (0.75, 1), (5.0, 1), (0.001, 600)]
)
def test_a_device_takes_what_its_chunk_time_allows_and_at_least_one(chunk_seconds: float, expected: int) -> None:
    assert admitted(capacity(chunk_seconds), Demand(16)) == expected


def test_more_than_one_session_never_takes_more_than_the_promised_share() -> None:
    for thousandths in range(10, 800, 3):
        cost = thousandths / 1000
        count = admitted(capacity(cost), Demand(16))
        assert count == 1 or count * cost <= LOAD * 0.75 + 1e-8
        assert (count + 1) * cost > LOAD * 0.75


def test_a_session_of_fewer_frames_a_second_takes_less() -> None:
    assert admitted(capacity(0.1), Demand(8)) == 12
    assert admitted(capacity(0.1), Demand(8), taken=(Demand(16),) * 3) == 6


def test_the_fastest_session_can_wait_for_a_chunk_of_another() -> None:
    # Two of its chunks take longer than one plays, so a slow session beside it would make it late: 0.6 + 0.1 of a load.
    device = Capacity(0.3, fps=24, frames=12)
    assert not admits(device, [Demand(24)], Demand(4))
    assert not admits(device, [Demand(4)], Demand(24))
    assert admits(device, [Demand(16)], Demand(4))


def test_the_number_that_an_operator_gave_takes_the_place_of_the_load_but_not_of_the_memory() -> None:
    assert admitted(capacity(0.3, slots=5), Demand(16)) == 5
    assert admitted(capacity(0.3, slots=5, memory_slots=3), Demand(16)) == 3
    assert admitted(capacity(0.1, memory_slots=3), Demand(16)) == 3


def test_an_offline_session_takes_memory_and_no_live_load() -> None:
    full = (Demand(16),) * 6
    device = capacity(0.1, memory_slots=8)
    assert not admits(device, full, Demand(16))
    assert admitted(device, OFFLINE, taken=full) == 2
    assert admitted(capacity(0.1, memory_slots=8), Demand(16), taken=(OFFLINE,) * 2) == 6
    assert admitted(capacity(0.1, memory_slots=8), Demand(16), taken=(OFFLINE,) * 4) == 4


def test_offline_sessions_have_a_bound_of_their_own_that_no_live_session_feels() -> None:
    assert admitted(capacity(0.1), OFFLINE) == OFFLINE_SLOTS
    assert admitted(capacity(0.1), Demand(16), taken=(OFFLINE,) * OFFLINE_SLOTS) == 6


def test_a_device_that_became_slower_takes_nothing_more_and_something_again_when_it_recovers() -> None:
    taken = [Demand(16)] * 5
    assert admits(capacity(0.1), taken, Demand(16))
    assert not admits(capacity(0.14), taken, Demand(1))
    assert admits(capacity(0.1), taken, Demand(16))


def test_what_is_free_tells_who_would_refuse_the_next_session_and_grows_with_the_room() -> None:
    for chunk_seconds in (0.04, 0.1, 0.2, 0.31, 2.0):
        device = capacity(chunk_seconds)
        taken: list[Demand] = []
        while admits(device, taken, Demand(16)):
            assert free(device, taken) >= 0
            before = free(device, taken)
            taken.append(Demand(16))
            assert free(device, taken) < before
        assert free(device, taken) < 0
    assert free(capacity(0.1), [Demand(16)]) > free(capacity(0.1), [Demand(16)] * 2) > free(capacity(0.2), [Demand(16)])
    assert free(capacity(0.1, memory_slots=2), [Demand(16)]) == 0
    assert free(capacity(0.1, slots=2), [Demand(16)] * 2) < 0


@pytest.mark.parametrize(("free_bytes", "expected"), [(0, 1), (1099, 1), (1112, 2), (10_000, 10), (100_000, 91)])
def test_memory_has_room_for_the_session_that_was_measured_and_for_more_in_what_was_free(
    free_bytes: int, expected: int
) -> None:
    assert memory_slots(free_bytes, session_bytes=1000) == expected
    assert (expected - 1) * 1000 <= MEMORY * free_bytes < expected * 1000


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


def test_how_many_more_fit_is_what_would_be_admitted_one_after_the_other() -> None:
    device = Capacity(0.1, fps=16, frames=12, memory_slots=9)
    taken: list[Demand] = []
    told = more(device, taken)
    while admits(device, taken, Demand(16)):
        assert more(device, taken) == told - len(taken)
        taken.append(Demand(16))
    assert told == len(taken) > 1
    assert more(Capacity(0.1, fps=16, frames=12, slots=3), [Demand(2)] * 3) == 0
