"""Who failed again and again is left alone, and one call after another finds out whether it answers."""

from __future__ import annotations

import pytest

from prompt_agent.breaker import Breaker, LeftAlone


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def breaker_of_two() -> tuple[Breaker, Clock]:
    clock = Clock()
    return Breaker(2, 10.0, clock), clock


def fail(breaker: Breaker, why: str = "It is gone.") -> None:
    with breaker.call() as outcome:
        outcome.failure = why


def succeed(breaker: Breaker) -> None:
    with breaker.call() as outcome:
        outcome.answered = True


def is_open(breaker: Breaker) -> bool:
    try:
        with breaker.call():
            return False
    except LeftAlone:
        return True


def test_it_opens_after_as_many_failures_in_a_row_with_the_last_ones_cause() -> None:
    breaker, _ = breaker_of_two()
    fail(breaker, "It is slow.")
    assert not is_open(breaker)
    fail(breaker, "It is gone.")
    with pytest.raises(LeftAlone, match=r"^It is gone\.$"), breaker.call():
        pass


def test_an_answer_between_failures_keeps_it_closed() -> None:
    breaker, _ = breaker_of_two()
    fail(breaker)
    succeed(breaker)
    fail(breaker)
    assert not is_open(breaker)


def test_a_call_that_ends_without_an_outcome_is_neither_an_answer_nor_a_failure() -> None:
    breaker, _ = breaker_of_two()
    fail(breaker)
    with pytest.raises(KeyboardInterrupt), breaker.call():
        raise KeyboardInterrupt
    assert not is_open(breaker)
    fail(breaker)
    assert is_open(breaker)


def test_after_its_time_one_call_is_let_through_and_no_other_meanwhile() -> None:
    breaker, clock = breaker_of_two()
    fail(breaker)
    fail(breaker)
    clock.seconds = 9.9
    assert is_open(breaker)
    clock.seconds = 10.0
    with breaker.call() as outcome:
        assert is_open(breaker)
        outcome.answered = True
    assert not is_open(breaker)


def test_a_failed_trial_opens_it_for_as_long_again() -> None:
    breaker, clock = breaker_of_two()
    fail(breaker)
    fail(breaker)
    clock.seconds = 10.0
    fail(breaker, "It is slow.")
    clock.seconds = 19.9
    with pytest.raises(LeftAlone, match="slow"), breaker.call():
        pass
    clock.seconds = 20.0
    succeed(breaker)
    assert not is_open(breaker)


def test_a_trial_without_an_outcome_leaves_the_next_call_to_try() -> None:
    breaker, clock = breaker_of_two()
    fail(breaker)
    fail(breaker)
    clock.seconds = 10.0
    with breaker.call():
        pass
    with breaker.call() as outcome:
        assert is_open(breaker)
        outcome.failure = "It is gone."
    assert is_open(breaker)


def test_a_failure_of_a_call_from_before_it_opened_does_not_hold_it_open_longer() -> None:
    breaker, clock = breaker_of_two()
    with breaker.call() as early:
        fail(breaker)
        fail(breaker)
        clock.seconds = 5.0
        early.failure = "It is slow."
    clock.seconds = 10.0
    assert not is_open(breaker)
