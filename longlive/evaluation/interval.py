"""A mean over videos, or a ratio of two, with how sure it is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Z = 1.96  # normal approximation, 95 %


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its 95 % interval over `n` videos. Of a single video the interval has no width and says nothing."""

    mean: float
    low: float
    high: float
    n: int

    @staticmethod
    def of(values: Sequence[float]) -> Interval:
        """Of at least one value."""
        mean = sum(values) / len(values)
        return Interval._around(mean, [value - mean for value in values])

    @staticmethod
    def of_known(values: Iterable[float | None]) -> Interval | None:
        """Of the values that are there; none if none is."""
        known = [value for value in values if value is not None]
        return Interval.of(known) if known else None

    @staticmethod
    def of_ratio(pairs: Iterable[tuple[float | None, float | None]]) -> Interval | None:
        """The mean of the first of each pair over the mean of the second (delta method); none below a mean above 0.

        Pairs that lack one are left out.
        """
        known = [(above, below) for above, below in pairs if above is not None and below is not None]
        scale = sum(below for _, below in known) / len(known) if known else 0.0
        if scale <= 0:
            return None
        ratio = sum(above for above, _ in known) / len(known) / scale
        return Interval._around(ratio, [(above - ratio * below) / scale for above, below in known])

    @staticmethod
    def _around(centre: float, residuals: Sequence[float]) -> Interval:
        spread = math.sqrt(sum(residual**2 for residual in residuals) / max(1, len(residuals) - 1))
        margin = Z * spread / math.sqrt(len(residuals))
        return Interval(centre, centre - margin, centre + margin, len(residuals))
