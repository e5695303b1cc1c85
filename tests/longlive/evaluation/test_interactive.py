from __future__ import annotations

import pytest

from longlive.errors import InputError
from longlive.evaluation.interactive import Followed, interactive, judge, summary
from longlive.evaluation.trial import Script
from longlive.model import Model
from longlive.tiny.renderer import render
from longlive.tiny.world import Clip


@pytest.mark.parametrize("seed", range(3))
def test_a_switch_is_followed_by_4_seconds_after_or_not(seed: int) -> None:
    before, after = Script.draw(seed, 2).scenes
    soon, late = (render(Clip(before, seed, after, switch), 64) for switch in (30, 60))
    assert judge(soon, 0, before, after) == Followed(1, 1)
    assert judge(late, 0, before, after).changed < 1


def test_the_last_switch_is_held_against_the_first_of_the_same_video() -> None:
    videos = [
        [Followed(1.0, 1.0), Followed(0.5, 0.9), Followed(0.5, 0.5)],
        [Followed(0.5, 0.8), Followed(0.5, 0.9), Followed(0.25, 0.4)],
    ]
    table = summary(videos)
    ratio = table.last_over_first
    assert (table.n, table.prompts, [row.switch for row in table.rows]) == (2, 4, [1, 2, 3])
    assert table.rows[1].overall.mean == pytest.approx(0.9)
    for interval in (ratio.changed, ratio.overall):
        assert interval is not None
        assert (interval.low, interval.high) == pytest.approx((0.5, 0.5))


def test_two_prompts_have_no_first_and_last_switch(untrained: Model) -> None:
    with pytest.raises(InputError, match="at least 3 prompts, not 2"):
        interactive(untrained, range(1), 2)
