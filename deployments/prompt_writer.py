"""What the video shall show for a prompt: the owner of a session asks, and gets an answer whatever happens."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from deployments.calls import PartDown
from deployments.context import RAW, Context
from deployments.entries import PromptExpanded, PromptRequested
from prompt_agent.expansion import Expansion, Refused, Unwanted
from prompt_agent.safety import SafetyHook

AWAY = "The prompt agent does not answer. Send the prompt again, or a whole one with `expand: false`."
REWORDED = "Some words were replaced: an operator does not want them said."
log = logging.getLogger(__name__)


class PromptWriter:
    """`expand` asks the prompt agent; gives its expansion, or raises PartDown. `safety` judges what it does not."""

    def __init__(
        self, expand: Callable[[str, str, tuple[str, ...]], Awaitable[Expansion | Unwanted]], safety: SafetyHook
    ) -> None:
        """`expand` gets the scene, the request and the history."""
        self._expand = expand
        self._safety = safety

    async def word(self, asked: PromptRequested, context: Context) -> PromptExpanded | None:
        """What the video shall show; None: the text as it is. Raises Refused."""
        if not asked.expand:
            return await self._judged(asked)
        try:
            expansion = await self._expand(context.scene, asked.text, context.changes)
        except PartDown as error:  # the words alone would wipe the scene
            log.warning("prompt %s is not expanded: the prompt agent does not answer", asked.prompt_id)
            raise Refused(AWAY) from error
        if isinstance(expansion, Unwanted):
            raise Refused(expansion.reason)
        return PromptExpanded(
            prompt_id=asked.prompt_id,
            prompt=expansion.prompt,
            added=expansion.added,
            source=expansion.source,
            ms=round(expansion.latency * 1000),
            mode="cut" if expansion.cut and asked.mode == "recache" else asked.mode,
            warnings=expansion.warnings,
            cut=expansion.cut,
        )

    async def _judged(self, asked: PromptRequested) -> PromptExpanded | None:
        verdict = await self._safety.judge(asked.text)
        if verdict.reason:
            raise Refused(verdict.reason)
        if verdict.text == asked.text:
            return None
        said = {"prompt_id": asked.prompt_id, "mode": asked.mode, "warnings": (REWORDED,)}
        return PromptExpanded(**said, prompt=verdict.text, added="", source=RAW, ms=0)
