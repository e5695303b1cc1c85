"""A circuit breaker: who failed again and again is left alone for a while, and then tried by one call at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class LeftAlone(Exception):
    """The breaker is open; the message is that of the failure that opened it."""


class Outcome:
    """What became of a call. Untold, as of one that was cancelled, it says nothing of whom it was made to."""

    answered = False
    failure = ""
    """Why there was no answer; empty where there was one, or nothing is known."""


class Breaker:
    """Closed until `threshold` calls in a row have failed; then open for `seconds`; then one call decides."""

    def __init__(self, threshold: int, seconds: float, clock: Callable[[], float]) -> None:
        self._threshold, self._seconds, self._clock = threshold, seconds, clock
        self._failures = 0
        self._cause = ""
        self._opened: float | None = None
        self._trying = False

    @contextmanager
    def call(self) -> Iterator[Outcome]:
        """Makes a call; whoever makes it tells the outcome. Raises LeftAlone while nobody is to make one."""
        if self._opened is not None and (self._trying or self._clock() < self._opened + self._seconds):
            raise LeftAlone(self._cause)
        trial, outcome = self._opened is not None, Outcome()
        self._trying = trial or self._trying
        try:
            yield outcome
        finally:
            if trial:
                self._trying = False
            if outcome.answered:
                self._failures, self._opened = 0, None
            elif outcome.failure and (trial or self._opened is None):
                self._failures, self._cause = self._failures + 1, outcome.failure
                if self._failures >= self._threshold:
                    self._opened = self._clock()
