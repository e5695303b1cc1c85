from __future__ import annotations

import pytest

from longlive.errors import InputError
from longlive.evaluation.long_run import long_run, marks, summary
from longlive.evaluation.sight import Sight
from longlive.model import Model


def test_a_video_is_looked_at_more_often_at_its_start_and_at_its_end() -> None:
    assert marks(10) == (5, 10)
    assert marks(90) == (5, 10, 30, 60, 90)
    assert marks(240) == (5, 10, 30, 60, 120, 180, 240)
    with pytest.raises(InputError, match="at least 10 seconds"):
        marks(9)


def test_the_end_is_held_against_the_start_of_the_same_videos() -> None:
    runs = [
        [Sight(1.0, 0.0, 100, 40, 400), Sight(0.5, 3.0, 110, 40, 200)],
        [Sight(0.5, None, 200, 20, 200), Sight(0.5, None, 220, 20, 100)],
    ]
    run = summary((5, 10), runs)
    ratio = run.end_over_first
    assert ratio.adherence is not None
    assert ratio.brightness is not None
    assert ratio.subject_pixels is not None
    assert ratio.adherence.mean == pytest.approx(2 / 3)
    assert (ratio.brightness.low, ratio.brightness.high) == pytest.approx((1.1, 1.1))
    assert ratio.subject_pixels.mean == 0.5
    drift = run.rows[1].drift
    assert drift is not None
    assert (drift.mean, drift.n) == (3, 1)


def test_every_mark_of_every_video_is_in_the_rows(untrained: Model) -> None:
    made: list[None] = []
    run = long_run(untrained, range(2), 10, lambda: made.append(None))
    assert (run.n, [row.seconds for row in run.rows], len(made)) == (2, [5, 10], 4)
    assert run.rows[0].adherence.n == 2
    start = run.rows[0].drift
    assert start is None or start.mean == 0
