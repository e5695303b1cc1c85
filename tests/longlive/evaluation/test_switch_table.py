from __future__ import annotations

import pytest

from longlive.evaluation.continuity import Continuity
from longlive.evaluation.switch_table import MODES, WORLD, SwitchTrial, judge, summary
from longlive.evaluation.trial import Script
from longlive.tiny.renderer import render
from longlive.tiny.world import Clip

BORDER, FRAMES = 20, 84


@pytest.mark.parametrize("seed", range(6))
def test_a_perfect_switch_has_every_attribute_from_the_first_second_on(seed: int) -> None:
    before, after = Script.draw(seed, 2).scenes
    trial = judge(render(Clip(before, seed, after, BORDER), FRAMES), BORDER, before, after)
    assert trial.changed == trial.overall == (1, 1, 1)
    assert trial.continuity.kept == 1


@pytest.mark.parametrize("seed", range(3))
def test_a_switch_that_nobody_follows_has_nothing_changed_and_all_else(seed: int) -> None:
    before, after = Script.draw(seed, 2).scenes
    trial = judge(render(Clip(before, seed), FRAMES), BORDER, before, after)
    assert trial.changed == (0, 0, 0)
    assert trial.overall == pytest.approx((4 / 6, 4 / 6, 4 / 6))
    assert trial.continuity.kept == 1


def test_a_switch_that_is_followed_late_is_seen_late() -> None:
    before, after = Script.draw(0, 2).scenes
    trial = judge(render(Clip(before, 0, after, BORDER + 30), FRAMES), BORDER, before, after)
    assert trial.changed[0] == 0
    assert trial.changed[2] == 1


def trial(changed: float, jump: float, displacement: float | None) -> SwitchTrial:
    return SwitchTrial((changed,) * 3, (changed,) * 3, Continuity(jump, displacement, 1.0))


def test_differences_are_paired_video_by_video() -> None:
    trials = {
        WORLD: [trial(1, 1, 0)] * 2,
        "clear": [trial(0.9, 8, 20), trial(0.4, 5, None)],
        "keep": [trial(0.7, 1, 2), trial(0.2, 1, 3)],
        "recache": [trial(0.8, 2, 2), trial(0.3, 2, 1)],
    }
    table = summary(trials)
    assert [row.name for row in table.rows] == [WORLD, *MODES]
    keep, clear = table.differences
    assert (keep.name, clear.name) == ("recache less keep", "recache less clear")
    changed = keep.after_switch[0].changed
    assert (changed.low, changed.mean, changed.high) == pytest.approx((0.1, 0.1, 0.1))  # in each pair alike
    assert clear.jump is not None
    assert clear.jump.mean == -4.5
    assert clear.displacement_pixels is not None
    assert (clear.displacement_pixels.mean, clear.displacement_pixels.n) == (-18, 1)
