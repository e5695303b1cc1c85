"""On rendered videos, whose background is known to stand still."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from longlive.evaluation.sight import background, drift, look
from longlive.tiny.renderer import render
from longlive.tiny.world import MOTIONS, WEATHERS, Clip, Scene


def video(motion: str = "right", time: str = "day", weather: str = "clear", seed: int = 1) -> Tensor:
    return render(Clip(Scene("ball", "red", motion, "city", time, weather), seed), 140)


@pytest.mark.parametrize("motion", MOTIONS)
@pytest.mark.parametrize("weather", WEATHERS)
def test_neither_the_subject_nor_the_weather_is_drift(motion: str, weather: str) -> None:
    frames = video(motion, weather=weather)
    moved = drift(background(frames[:24]), background(frames[-24:]))
    assert moved is not None
    assert moved < 0.5


def test_a_background_that_moves_or_changes_its_colours_drifts() -> None:
    frames, first = video(), background(video()[:24])
    moved, night = drift(first, background(frames[-24:].roll(6, -1))), drift(first, background(video(time="night")))
    brighter = drift(first, background(frames[-24:] - 10))
    assert moved is not None
    assert night is not None
    assert moved > 5
    assert night > 50
    assert brighter == pytest.approx(10, abs=0.5)


def test_there_is_no_drift_where_nothing_is_seen_twice() -> None:
    hidden = torch.zeros(24, 3, 64, 64, dtype=torch.uint8)
    hidden[:, 0] = 255  # all of it is subject
    assert drift(background(hidden), background(video()[:24])) is None


def test_a_picture_s_figures_are_those_of_its_pixels() -> None:
    frames, scene = video()[:24], Scene("ball", "red", "right", "city", "day", "clear")
    usual = look(frames, scene, frames)
    assert (usual.adherence, usual.drift) == (1, 0)
    assert usual.subject_pixels == pytest.approx(452, abs=60)  # a disc of radius 12, less its eyes
    pale = look((frames.float() / 2 + 100).to(torch.uint8), scene, frames)
    assert pale.contrast == pytest.approx(usual.contrast / 2, rel=0.05)
    assert pale.brightness == pytest.approx(usual.brightness / 2 + 100, abs=1)
    assert pale.adherence < 1
