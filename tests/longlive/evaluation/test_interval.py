from __future__ import annotations

import pytest

from longlive.evaluation.interval import Interval


def test_an_interval_narrows_with_the_number_of_videos() -> None:
    wide, narrow = Interval.of([0.0, 1.0] * 8), Interval.of([0.0, 1.0] * 200)
    assert wide.mean == narrow.mean == 0.5
    assert narrow.high - narrow.low < wide.high - wide.low
    assert (wide.n, narrow.n) == (16, 400)


def test_what_is_not_known_is_left_out_and_counted_out() -> None:
    assert Interval.of_known([1.0, None, 3.0]) == Interval.of([1.0, 3.0])
    assert Interval.of_known([None, None]) is None


def test_a_ratio_that_every_video_has_is_sure_however_much_the_videos_differ() -> None:
    ratio = Interval.of_ratio([(0.5, 1.0), (2.0, 4.0), (1.0, 2.0), (None, 3.0)])
    assert ratio is not None
    assert (ratio.low, ratio.mean, ratio.high, ratio.n) == pytest.approx((0.5, 0.5, 0.5, 3))


def test_a_ratio_of_means_has_the_interval_of_the_delta_method() -> None:
    ratio = Interval.of_ratio([(1.0, 1.0), (0.0, 1.0), (1.0, 1.0), (0.0, 1.0)])
    assert ratio is not None
    assert ratio.mean == 0.5
    assert ratio.high - 0.5 == pytest.approx(1.96 * (1 / 3) ** 0.5 / 2)


def test_there_is_no_ratio_to_nothing() -> None:
    assert Interval.of_ratio([(1.0, 0.0)]) is None
    assert Interval.of_ratio([(1.0, None)]) is None
