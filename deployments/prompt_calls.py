"""Calls to the prompt agent's deployment, for owners and for the API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from ray.exceptions import RayActorError
from ray.serve.exceptions import DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle

from deployments.calls import PartDown, ask
from deployments.entries import Expand
from prompt_agent.expansion import Expansion, Unwanted
from prompt_agent.request import Changes

PART = "prompt agent"
RESTART_SECONDS = 45.0  # in which Serve has a new replica, on a busy machine too
SLACK_SECONDS = 1.5  # of a call, on a busy machine, over what the agent itself may take


class PromptCalls:
    """Any replica answers. Every call raises PartDown where none does."""

    def __init__(self, handle: DeploymentHandle, deadline: float) -> None:
        """`deadline`: seconds that an expansion may take."""
        self._handle = handle
        self._seconds = deadline + SLACK_SECONDS

    async def expand(self, scene: str, request: str, history: tuple[str, ...]) -> Expansion | Unwanted:
        """What came of it; waits for a new replica where there is none."""
        call = self._handle.expand.remote
        return await ask(PART, lambda: call(scene, request, history), self._seconds, RESTART_SECONDS)

    async def write(
        self, scene: str, request: str, history: tuple[str, ...]
    ) -> AsyncGenerator[str | Expansion | Unwanted, None]:
        """The prompt as far as it is written, again and again, and then what came of it."""
        # Serve types what it gives by an argument of `options` that it cannot know here.
        answers: Any = self._handle.options(stream=True).write.remote(scene, request, history)
        try:
            while True:
                # Around each answer alone: who reads may take its time, and may be another task each time.
                async with asyncio.timeout(self._seconds):
                    each = await anext(answers, None)
                if each is None:
                    return
                yield each
        except (RayActorError, DeploymentUnavailableError, TimeoutError) as error:
            raise PartDown(PART) from error
        finally:
            answers.cancel()  # nothing where it is done; nobody writes for who has left

    async def changes(self, text: str, expand: Expand) -> Changes:
        """The changes to expand, one by one; none where the text is to be taken as it is."""
        return await ask(PART, lambda: self._handle.changes.remote(text, expand), SLACK_SECONDS)

    async def suggest(self, scene: str, history: tuple[str, ...], count: int) -> list[str]:
        return await ask(PART, lambda: self._handle.suggest.remote(scene, history, count), SLACK_SECONDS)
