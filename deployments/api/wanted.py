"""What somebody wants a video to show, as entries of its timeline: a text of several changes is several prompts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from deployments.api.models import AddPrompt
from deployments.api.prompt_times import new_prompt_id, requested
from deployments.api.refusals import PromptUnwanted
from deployments.api.services import Services
from deployments.api.warn import warnings_of
from deployments.calls import PartDown
from deployments.entries import PromptRequested
from prompt_agent.request import Changes, changes_in

_WORDS_OF_A_PROMPT = 12  # of fewer it is a change, as far as anybody can say without knowing the model's prompts
log = logging.getLogger(__name__)


async def prompts_of(services: Services, asks: Sequence[AddPrompt], fps: int) -> list[list[PromptRequested]]:
    """For each ask its prompts, at least one, in the order in which they are to take hold."""
    wanted = await asyncio.gather(*(_changes(services, ask) for ask in asks))
    both = list(zip(asks, wanted, strict=True))
    told = await warnings_of(services, [ask.text for ask, changes in both if not changes.each])
    return [
        _one_by_one(ask, changes, fps) if changes.each else [requested(ask, new_prompt_id(), fps, told[ask.text])]
        for ask, changes in both
    ]


async def allowed(services: Services, text: str) -> str:
    """The text as a video may begin with it. Raises PromptUnwanted."""
    verdict = await services.safety.judge(text)
    if verdict.reason:
        raise PromptUnwanted(verdict.reason)
    return verdict.text


async def _changes(services: Services, ask: AddPrompt) -> Changes:
    if ask.expand is False:
        return Changes(())
    try:
        return await services.prompts.changes(ask.text, expand=ask.expand)
    except PartDown:
        log.warning("the prompt agent does not answer: nobody says what %r is", ask.text)
        is_change = ask.expand is True or len(ask.text.split()) < _WORDS_OF_A_PROMPT
        return changes_in(ask.text) if is_change else Changes(())  # its owner asks again


def _one_by_one(ask: AddPrompt, changes: Changes, fps: int) -> list[PromptRequested]:
    texts = [change.typed for change in changes.each]
    named = ", ".join(map(repr, texts))
    several = () if len(texts) == 1 else (f"These are {len(texts)} changes, made one after the other: {named}.",)
    # What comes after a cut belongs to the new scene: with a cut of its own it would end that one within a chunk.
    then = ask.model_copy(update={"mode": "recache"}) if ask.mode == "cut" else ask
    return [
        requested(ask, new_prompt_id(), fps, several + changes.warnings, change=texts[0]),
        *(requested(then, new_prompt_id(), fps, (), change=text) for text in texts[1:]),
    ]
