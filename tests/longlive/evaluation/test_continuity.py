"""On rendered videos, where it is known what happened."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from longlive.evaluation.continuity import continuity, displacement, jump, kept
from longlive.tiny.renderer import render
from longlive.tiny.world import Clip, Scene

BORDER, FRAMES = 30, 60
MOTIONS = ("left", "right", "hops", "still")


def scene(motion: str = "right", colour: str = "red", place: str = "city", time: str = "day") -> Scene:
    return Scene("ball", colour, motion, place, time, "clear")


def cut(before: Scene, after: Scene) -> Tensor:
    """Another video from the border on: what is new and where it is has nothing to do with what was."""
    return torch.cat((render(Clip(before, 1), BORDER), render(Clip(after, 2), FRAMES - BORDER)))


@pytest.mark.parametrize("motion", MOTIONS)
def test_a_video_that_just_goes_on_is_continuous(motion: str) -> None:
    result = continuity(render(Clip(scene(motion), 1), FRAMES), BORDER, scene(motion), scene(motion))
    assert result.jump <= 1.5
    assert result.displacement is not None
    assert result.displacement < 0.5
    assert result.kept == 1


@pytest.mark.parametrize(("before", "after"), [("left", "right"), ("hops", "left"), ("still", "hops")])
def test_a_perfect_switch_displaces_nothing_and_keeps_the_rest(before: str, after: str) -> None:
    first, second = scene(before), scene(after, colour="blue")
    result = continuity(render(Clip(first, 1, second, BORDER), FRAMES), BORDER, first, second)
    assert result.displacement is not None
    assert result.displacement < 0.5
    assert result.kept == 1


def test_a_hard_cut_is_a_jump_that_a_fade_is_not() -> None:
    before, after = scene(), scene(place="meadow", colour="blue")
    fade = jump(render(Clip(before, 1, after, BORDER), FRAMES), BORDER)
    assert fade < 3
    assert jump(cut(before, after), BORDER) > 3 * fade


def test_a_cut_that_the_decoder_spreads_over_some_frames_is_still_a_jump() -> None:
    before, after = scene(), scene(place="meadow", colour="blue")
    hard = cut(before, after).float()
    for frame, share in enumerate((0.2, 0.4, 0.9)):
        hard[BORDER + frame] = torch.lerp(hard[BORDER - 1], hard[BORDER + frame], share)
    assert jump(hard.to(torch.uint8), BORDER) > 1.5 * jump(render(Clip(before, 1, after, BORDER), FRAMES), BORDER)


def test_a_jump_out_of_a_picture_that_stands_still_is_told_in_grey_levels() -> None:
    video = torch.full((FRAMES, 3, 64, 64), 100, dtype=torch.uint8)
    video[BORDER:] = 107
    assert jump(video, BORDER) == 7


@pytest.mark.parametrize("motion", MOTIONS)
@pytest.mark.parametrize("pixels", [9, -20])
def test_a_subject_that_is_put_elsewhere_is_that_far_away(motion: str, pixels: int) -> None:
    video = render(Clip(scene(motion), 1), FRAMES)
    video[BORDER:] = video[BORDER:].roll(pixels, -1)
    assert displacement(video, BORDER, motion) == pytest.approx(abs(pixels), abs=0.5)


def test_the_way_round_the_torus_is_the_short_one() -> None:
    video = render(Clip(scene(), 1), FRAMES)
    video[BORDER:] = video[BORDER:].roll(60, -1)
    assert displacement(video, BORDER, "right") == pytest.approx(4, abs=0.5)


@pytest.mark.parametrize("frames", [3, 9])
def test_a_subject_that_vanishes_and_comes_back_elsewhere_is_displaced(frames: int) -> None:
    video = render(Clip(scene(), 1), FRAMES)
    video[BORDER : BORDER + frames] = 128
    video[BORDER + frames :] = video[BORDER + frames :].roll(15, -1)
    assert displacement(video, BORDER, "right") == pytest.approx(15, abs=0.5)


def test_a_subject_that_turns_round_when_nobody_asked_is_not_where_its_motion_leads_but_one_that_was_asked_is() -> None:
    video = render(Clip(scene("left"), 1, scene("right"), BORDER), FRAMES)
    unasked, asked = displacement(video, BORDER, "left"), displacement(video, BORDER, "right")
    assert unasked is not None
    assert asked is not None
    assert unasked > 1.5
    assert asked < 0.5


def test_a_subject_that_is_gone_is_as_far_as_can_be_and_one_that_never_was_is_nowhere() -> None:
    video = render(Clip(scene(), 1), FRAMES)
    gone, never = video.clone(), video.clone()
    gone[BORDER:], never[:BORDER] = 128, 128
    assert displacement(gone, BORDER, "right") == 32
    assert displacement(never, BORDER, "right") is None


def test_an_attribute_that_turns_into_another_unasked_is_not_kept() -> None:
    before = scene()
    wrong = render(Clip(before, 1, scene(colour="blue"), BORDER), FRAMES)
    assert kept(wrong, BORDER, ["colour", "place"]) == 0.5
    assert continuity(wrong, BORDER, before, scene(place="sea")).kept == 0.8
    assert continuity(wrong, BORDER, before, scene(colour="blue")).kept == 1


def test_what_could_not_be_read_before_cannot_be_kept() -> None:
    empty = torch.full((FRAMES, 3, 64, 64), 128, dtype=torch.uint8)
    assert kept(empty, BORDER, ["colour", "kind"]) is None
