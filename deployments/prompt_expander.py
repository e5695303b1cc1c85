"""The deployment of the prompt agent: a few words and a scene in, a prompt out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from deployments import logs
from deployments.chat_backend import backend_at_url
from deployments.entries import Expand
from deployments.llm_calls import LlmFinder
from deployments.prompt_metrics import PromptMetrics
from deployments.settings import Settings
from longlive.model_folder import find_model
from prompt_agent.agent import PromptAgent
from prompt_agent.backends import Backend, Heard
from prompt_agent.backends.chat import ChatBackend
from prompt_agent.expansion import Expansion, Refused, Unwanted
from prompt_agent.form import Form
from prompt_agent.forms import open_form, profile_for
from prompt_agent.language import is_english
from prompt_agent.profile import load_profile
from prompt_agent.request import Changes, changes_in
from prompt_agent.safety import WordList


class PromptExpander:
    """Stateless: any replica expands any prompt."""

    def __init__(self, settings: Settings) -> None:
        logs.configure(settings.log_level)
        self._form = form = form_of(settings)
        is_english("make it rain")  # what this reads the first time takes a second
        self._metrics = PromptMetrics()
        self._agent = PromptAgent(
            form,
            _backends(settings, form),
            safety=WordList(settings.safety_words),
            deadline=settings.llm_seconds,
            observe=self._metrics.tried,
        )

    async def expand(self, scene: str, request: str, history: tuple[str, ...]) -> Expansion | Unwanted:
        """The prompt that shows the scene with the change that is asked for."""
        return await self._expand(scene, request, history, lambda text: None)

    async def write(
        self, scene: str, request: str, history: tuple[str, ...]
    ) -> AsyncGenerator[str | Expansion | Unwanted, None]:
        """The prompt as far as it is written, each time there is more, and then what came of it."""
        heard: asyncio.Queue[str | None] = asyncio.Queue()
        expanding = asyncio.create_task(self._expand(scene, request, history, heard.put_nowait))
        expanding.add_done_callback(lambda _: heard.put_nowait(None))
        try:
            while (text := await heard.get()) is not None:
                if heard.empty():  # who reads slowly wants the newest
                    yield text
            yield await expanding
        finally:
            expanding.cancel()

    async def changes(self, text: str, expand: Expand) -> Changes:
        """The changes to expand, one by one; none where the text is a prompt by itself."""
        if expand == "auto" and self._form.whole(text):
            return Changes(())
        return changes_in(text)

    async def suggest(self, scene: str, history: tuple[str, ...], count: int) -> list[str]:
        """What a viewer may want next."""
        return self._agent.suggest(scene, history, count)

    async def _expand(self, scene: str, request: str, history: tuple[str, ...], heard: Heard) -> Expansion | Unwanted:
        try:
            expansion = await self._agent.expand(scene, request, history, heard)
        except Refused as refusal:
            self._metrics.expanded("refused")
            return Unwanted(str(refusal))
        self._metrics.expanded(expansion.source)
        return expansion


def form_of(settings: Settings) -> Form:
    """How prompts for the service's model are written. Raises CheckpointError, ProfileError."""
    if settings.prompt_profile is not None:
        return open_form(load_profile(settings.prompt_profile))
    return open_form(profile_for(find_model(settings.model, settings.weights).config.name))


def _backends(settings: Settings, form: Form) -> list[Backend]:
    if settings.llm is not None:
        return [ChatBackend(form, LlmFinder().find)]
    backend = backend_at_url(settings, form)
    return [] if backend is None else [backend]
