"""What a file of prompt sequences is made from: scenes and a recipe, read and drawn before anything is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deployments.sequence_file import fingerprint
from deployments.settings import Settings
from deployments.tiny_prompts import describes_the_world, draw_captions, part_of_the_world
from longlive.errors import InputError
from longlive.prompt_files import read_prompt_file
from prompt_agent.profile import Profile
from prompt_agent.sequences import TRIES, Holds, Recipe

_EVERY = 1000  # requests: nine of ten scenes that they lead to are of the other part of the world


@dataclass(frozen=True)
class SequencePlan:
    """Scenes to write sequences of, how, and which prompts may be in them. `drawn`: how the scenes were chosen."""

    scenes: tuple[str, ...]
    recipe: Recipe
    holds: Holds = lambda prompt: True
    drawn: str = "given"

    def fingerprint(self, profile: Profile, settings: Settings) -> str:
        """Of all that decides the lines: the plan, how prompts are written, who writes them, what may be said."""
        recipe = (self.recipe.prompts, self.recipe.seed, self.recipe.requests, self.recipe.tries)
        writer = (profile.model_dump(mode="json"), settings.llm_model, str(settings.safety_words))
        return fingerprint(self.scenes, self.drawn, recipe, writer)


def plan_of_file(scenes: Path, requests: Path | None, prompts: int, seed: int) -> SequencePlan:
    """A sequence for each line of a file. InputError, OSError."""
    return SequencePlan(_lines(scenes, "scene"), Recipe(prompts, seed, _requests(requests)))


def plan_of_tiny_world(
    count: int, held_out: bool, profile: Profile, requests: Path | None, prompts: int, seed: int
) -> SequencePlan:
    """So many scenes of one part of the tiny world, whose sequences stay in it. InputError, OSError."""
    if not describes_the_world(profile):
        raise InputError(f"the profile {profile.name} has no words for the tiny world; use tiny, or leave it out")
    recipe = Recipe(prompts, seed, _requests(requests), _EVERY if held_out else TRIES)
    scenes = tuple(draw_captions(count, seed, held_out))
    return SequencePlan(scenes, recipe, part_of_the_world(profile, held_out), "held-out" if held_out else "training")


def _requests(path: Path | None) -> tuple[str, ...]:
    return () if path is None else _lines(path, "request")


def _lines(path: Path, what: str) -> tuple[str, ...]:
    read = read_prompt_file(path)
    if read.segments > 1:
        raise InputError(f"{path}: it has {read.segments} prompts on a line; give a .txt file with a {what} on each")
    return tuple(line.prompts[0] for line in read.lines)
