"""Captions of the tiny world's two parts: what training may see, and what is held out."""

from __future__ import annotations

import random

import pytest

from deployments.tiny_prompts import describes_the_world, draw_captions, part_of_the_world
from longlive.tiny.captions import full_caption
from longlive.tiny.world import draw_scene
from prompt_agent.profile import CaptionProfile, load_profile


@pytest.fixture(scope="module")
def profile() -> CaptionProfile:
    loaded = load_profile("tiny")
    assert isinstance(loaded, CaptionProfile)
    return loaded


def test_fewer_captions_are_the_beginning_of_more_and_each_seed_has_its_own() -> None:
    assert draw_captions(20, 3, held_out=False)[:5] == draw_captions(5, 3, held_out=False)
    assert draw_captions(5, 3, held_out=False) != draw_captions(5, 4, held_out=False)
    assert len(set(draw_captions(20, 3, held_out=False))) > 10


@pytest.mark.parametrize("held_out", [False, True])
def test_a_caption_is_in_the_part_of_its_scene(profile: CaptionProfile, held_out: bool) -> None:
    one, other = part_of_the_world(profile, held_out), part_of_the_world(profile, not held_out)
    for seed in range(100):
        dice = random.Random(seed)
        caption = full_caption(dice, draw_scene(dice, held_out))
        assert one(caption), caption
        assert not other(caption), caption


def test_only_a_profile_with_the_world_s_values_describes_it(profile: CaptionProfile) -> None:
    assert describes_the_world(profile)
    assert not describes_the_world(load_profile("full"))
    colour = profile.attributes["colour"]
    purple = colour.model_copy(update={"captions": {**colour.captions, "purple": "purple"}})
    other = profile.model_copy(update={"attributes": {**profile.attributes, "colour": purple}})
    assert not describes_the_world(other)


@pytest.mark.parametrize("caption", ["a red ball hops", "a red and blue ball hops in the sea by day in the rain", ""])
@pytest.mark.parametrize("held_out", [False, True])
def test_what_names_no_whole_scene_is_in_neither(profile: CaptionProfile, held_out: bool, caption: str) -> None:
    assert not part_of_the_world(profile, held_out)(caption)
