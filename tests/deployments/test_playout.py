"""The playout clock: starts with the first fragment, runs while watched, moves for a late fragment, never rushes."""

from __future__ import annotations

import math

import pytest

from deployments.playout import PlayoutClock

FPS = 16


@pytest.fixture
def clock() -> PlayoutClock:
    """Made at time 100, watched from 101 on, first fragment out at 102."""
    clock = PlayoutClock(FPS, 100.0)
    clock.enter(101.0)
    assert clock.publish(0, 102.0) == 0.0
    return clock


def test_nothing_is_due_before_the_first_fragment() -> None:
    clock = PlayoutClock(FPS, 100.0)
    clock.enter(101.0)
    assert clock.due(0, 150.0) == math.inf
    assert clock.position(150.0) == 0.0


def test_frames_are_due_at_the_frame_rate_from_the_first_fragment_on(clock: PlayoutClock) -> None:
    assert [clock.due(frame, 102.0) for frame in (0, 9, 21)] == [102.0, 102.5625, 103.3125]
    assert clock.due(9, 110.0) == 102.5625


def test_a_clock_goes_on_as_one_on_another_device_did() -> None:
    clock = PlayoutClock(FPS, 200.0)
    clock.go_on(9, 199.75)
    assert [clock.due(frame, 200.0) for frame in (9, 21)] == [199.75, 200.5]
    clock.enter(200.25)
    assert clock.due(21, 200.25) == 200.5
    assert clock.publish(21, 200.75) == 0.25
    assert clock.due(33, 200.75) == 201.5


def test_a_clock_that_goes_on_waits_for_viewers_behind_the_first_fragment() -> None:
    clock = PlayoutClock(FPS, 200.0)
    clock.go_on(9, 199.75)
    assert clock.publish(21, 203.0) == 0.0  # nobody has missed it
    assert clock.due(33, 203.0) == math.inf
    clock.enter(210.0)
    assert clock.due(33, 210.0) == 210.75


def test_a_fragment_in_time_changes_nothing(clock: PlayoutClock) -> None:
    before = clock.due(21, 102.1)
    assert clock.publish(9, 102.5) == 0.0
    assert clock.due(21, 102.6) == before


def test_a_late_fragment_moves_every_later_frame_by_its_gap_and_nothing_is_made_good(clock: PlayoutClock) -> None:
    assert clock.publish(9, 102.5625 + 0.25) == 0.25
    assert clock.due(21, 103.0) == 103.3125 + 0.25
    assert clock.publish(21, 103.1) == 0.0
    assert clock.due(33, 103.2) == 104.0625 + 0.25


def test_the_clock_holds_while_nobody_watches(clock: PlayoutClock) -> None:
    clock.enter(102.1)
    clock.leave(102.2)
    assert clock.due(9, 102.2) == 102.5625
    clock.leave(102.25)
    assert clock.due(9, 102.3) == math.inf
    assert clock.position(500.0) == 0.25
    clock.enter(600.0)
    assert clock.due(9, 600.0) == 600.3125


def test_a_session_that_nobody_ever_watched_stays_at_its_first_frame() -> None:
    clock = PlayoutClock(FPS, 100.0)
    clock.publish(0, 101.0)
    assert clock.due(0, 101.0) == 101.0
    assert clock.due(9, 200.0) == math.inf
    clock.enter(200.0)
    assert clock.due(9, 200.0) == 200.5625


def test_a_fragment_that_comes_while_the_clock_holds_is_not_late(clock: PlayoutClock) -> None:
    clock.leave(102.5)
    assert clock.publish(9, 300.0) == 0.0
    assert clock.position(300.0) == 0.5


def test_unwatched_time_counts_from_the_beginning_or_from_the_last_one_that_left(clock: PlayoutClock) -> None:
    assert PlayoutClock(FPS, 100.0).unwatched_for(103.0) == 3.0
    assert clock.unwatched_for(110.0) == 0.0
    clock.leave(110.0)
    assert clock.unwatched_for(112.5) == 2.5
    with pytest.raises(ValueError, match="nobody"):
        clock.leave(113.0)
