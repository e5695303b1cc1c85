"""Prompts that follow one another, for training and evaluation: a scene, and what the agent makes of it step by step.

The switch prompts of the paper (appendix E) are sequences of two, those of its interactive videos sequences of six.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from prompt_agent.agent import STOCK, PromptAgent
from prompt_agent.expansion import Expansion, Refused

TRIES = 5
_MOST_SUGGESTED = 1000
Holds = Callable[[str], bool]
"""Whether a prompt may be part of a sequence."""


class Trouble(StrEnum):
    """Why a request gives no prompt to go on with."""

    none_left = "no request is left"
    refused = "refused"
    not_understood = "nothing is made of it"
    unchanged = "nothing changes"
    excluded = "the next prompt is excluded"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How sequences are drawn. `prompts`: of each, its scene included, at least 2. `seed`: draws the requests, as a
    function of itself, a scene's number and a prompt's place. `requests`: to draw from; none: what the agent suggests.
    `tries`: requests for each prompt."""

    prompts: int = 2
    seed: int = 0
    requests: tuple[str, ...] = ()
    tries: int = TRIES


@dataclass(frozen=True, slots=True)
class PromptSequence:
    """What became of a scene. `number`: of the scene, from 0. `prompts`: the scene and those that follow, as many as
    the recipe says; fewer where it is to be left out, and then `trouble` and `detail` say why, for people.

    `sources`: who wrote each prompt behind the scene. `dropped`: requests that gave none. `warnings`: of those taken.
    """

    number: int
    prompts: tuple[str, ...]
    sources: tuple[str, ...] = ()
    dropped: int = 0
    warnings: tuple[str, ...] = ()
    trouble: Trouble | None = None
    detail: str = ""


class _Dropped(Exception):
    """A request gives no prompt to go on with."""

    def __init__(self, trouble: Trouble, detail: str = "") -> None:
        super().__init__(detail)
        self.trouble, self.detail = trouble, detail


async def write_sequence(
    agent: PromptAgent, recipe: Recipe, number: int, scene: str, holds: Holds = lambda prompt: True
) -> PromptSequence:
    """Each prompt is of the one before, with one request drawn and no request twice; it changes the picture, somebody
    wrote it for that request, and it `holds`. By rules the same each time."""
    prompts, history = [scene], tuple[str, ...]()
    sources: list[str] = []
    warnings: list[str] = []
    made_of: set[str] = set()
    dropped = 0
    while len(prompts) < recipe.prompts:
        failure = _Dropped(Trouble.none_left)
        for request in _drawn(agent, recipe, number, prompts, history, made_of):
            try:
                made = await _next(agent, prompts[-1], request, history, holds)
            except _Dropped as drop:
                failure, dropped = drop, dropped + 1
                continue
            break
        else:
            return PromptSequence(
                number, tuple(prompts), tuple(sources), dropped, tuple(warnings), failure.trouble, failure.detail
            )
        prompts.append(made.prompt)
        sources.append(made.source)
        warnings += made.warnings
        made_of.add(request)
        history = (*(() if made.cut else history), *((made.added,) if made.added else ()))
    return PromptSequence(number, tuple(prompts), tuple(sources), dropped, tuple(warnings))


async def write_sequences(
    agent: PromptAgent,
    recipe: Recipe,
    scenes: Iterable[tuple[int, str]],
    most_at_once: int,
    holds: Holds = lambda prompt: True,
) -> AsyncGenerator[PromptSequence, None]:
    """Of each scene and its number, as `write_sequence`; in the order in which they are done. Close it to stop."""
    left = iter(scenes)
    running: set[asyncio.Task[PromptSequence]] = set()
    try:
        while True:
            for number, scene in islice(left, most_at_once - len(running)):
                running.add(asyncio.create_task(write_sequence(agent, recipe, number, scene, holds)))
            if not running:
                return
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                yield task.result()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _drawn(
    agent: PromptAgent,
    recipe: Recipe,
    number: int,
    prompts: list[str],
    history: tuple[str, ...],
    made_of: set[str],
) -> list[str]:
    """Requests to try, in this order."""
    every = recipe.requests or agent.suggest(prompts[-1], history, _MOST_SUGGESTED)
    left = [request for request in dict.fromkeys(every) if request not in made_of]
    dice = random.Random(f"{recipe.seed} {number} {len(prompts)}")
    return dice.sample(left, min(recipe.tries, len(left)))


async def _next(agent: PromptAgent, scene: str, request: str, history: tuple[str, ...], holds: Holds) -> Expansion:
    """Raises _Dropped."""
    try:
        made = await agent.expand(scene, request, history)
    except Refused as refusal:
        raise _Dropped(Trouble.refused, str(refusal)) from None
    if made.source == STOCK:
        raise _Dropped(Trouble.not_understood, made.warnings[-1])
    if agent.same(scene, made.prompt):
        raise _Dropped(Trouble.unchanged, f"{request!r} is so already.")
    if not holds(made.prompt):
        raise _Dropped(Trouble.excluded)
    return made
