"""Prompts of the tiny world, of the part that training sees or of the part that is held out."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeGuard

from longlive.tiny.captions import full_caption
from longlive.tiny.world import ATTRIBUTES, Scene, draw_scene
from prompt_agent.captions.lexicon import Lexicon
from prompt_agent.captions.reading import described
from prompt_agent.profile import CaptionProfile, Profile


def draw_captions(count: int, seed: int, held_out: bool) -> list[str]:
    """Captions of whole scenes; each a function of the seed and its index, so that fewer are the beginning of more."""
    captions = []
    for index in range(count):
        dice = random.Random(f"{seed} {index}")
        captions.append(full_caption(dice, draw_scene(dice, held_out)))
    return captions


def describes_the_world(profile: Profile) -> TypeGuard[CaptionProfile]:
    """Whether its captions say the world's attributes, each with the world's values."""
    if not isinstance(profile, CaptionProfile) or profile.attributes.keys() != ATTRIBUTES.keys():
        return False
    return all(profile.attributes[name].captions.keys() == set(values) for name, values in ATTRIBUTES.items())


def part_of_the_world(profile: CaptionProfile, held_out: bool) -> Callable[[str], bool]:
    """Whether a caption names one whole scene of that part; in the words of a profile that `describes_the_world`."""
    lexicon = Lexicon(profile)

    def belongs(caption: str) -> bool:
        said = described(lexicon, caption)
        if any(len(said.get(name, ())) != 1 for name in ATTRIBUTES):
            return False
        return Scene(**{name: next(iter(said[name])) for name in ATTRIBUTES}).held_out() == held_out

    return belongs
