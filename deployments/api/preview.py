"""What would be made of a prompt: nothing of it changes a video."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Header, Response
from fastapi.responses import StreamingResponse
from starlette.background import BackgroundTask

from deployments.api import errors
from deployments.api.events import HEADERS, event
from deployments.api.models import PreviewPrompt, PromptPreview
from deployments.api.problems import problems
from deployments.api.refusals import PromptUnwanted, TooManyPreviews
from deployments.api.services import Services
from deployments.calls import PartDown
from deployments.prompt_calls import PART
from deployments.store import NoSuchSession
from prompt_agent.expansion import Expansion, Unwanted

STREAM = "text/event-stream"
MOST_AT_ONCE = 8
"""Of each ingress: the language model has room for the prompts of videos beside them."""
_WAITING = "It changes what the video shows now, and nothing that prompts which still wait will change."


def routes(services: Services) -> APIRouter:
    """The previews of prompts."""
    room = asyncio.Semaphore(MOST_AT_ONCE)
    api = APIRouter(prefix="/v1", tags=["prompts"])

    @api.post(
        "/prompts/preview",
        response_model=PromptPreview,
        responses={
            200: {
                "content": {STREAM: {"schema": {"type": "string"}}},
                "description": "The prompt; or, for who accepts events, `words` while they come and then `expansion`.",
            },
            **problems(NoSuchSession, PromptUnwanted, TooManyPreviews, PartDown),
        },
    )
    async def preview(
        ask: PreviewPrompt,
        accept: Annotated[str, Header(description=f"`{STREAM}`: the words while they are written.")] = "",
    ) -> Response:
        """The prompt that `expand` would make of a text, in a session or in any scene. Nothing is changed by it: send
        what it answers, edited or not, with `expand: false`."""
        scene, changes, warnings = await _scene(services, ask)
        if room.locked():
            raise TooManyPreviews(MOST_AT_ONCE)
        words = _refusable(services.prompts.write(scene, ask.text, changes), room, warnings)
        if STREAM in accept:
            # It has its place before anybody else asks, and what is refused at once is no stream.
            begun = await anext(words, None)
            if begun is None:
                raise PartDown(PART)
            # A client that has left before the first event leaves its place too.
            leave = BackgroundTask(words.aclose)
            return StreamingResponse(_events(begun, words), media_type=STREAM, headers=HEADERS, background=leave)
        async with aclosing(words):
            async for each in words:
                if isinstance(each, Expansion):
                    return Response(_preview(each).model_dump_json(), media_type="application/json")
        raise PartDown(PART)

    return api


async def _scene(services: Services, ask: PreviewPrompt) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """What is to be changed, what was before, and warnings. Raises NoSuchSession."""
    if ask.session is None:
        return ask.scene or "", (), ()
    session = await services.timeline.session(ask.session)
    return session.prompt, session.changes, (_WAITING,) if session.waiting_prompts else ()


async def _refusable(
    writing: AsyncGenerator[str | Expansion | Unwanted, None], room: asyncio.Semaphore, warnings: tuple[str, ...]
) -> AsyncGenerator[str | Expansion, None]:
    """With further warnings. Takes a place of the `room` while it is read. Raises PromptUnwanted."""
    async with room, aclosing(writing):
        async for each in writing:
            if isinstance(each, Unwanted):
                raise PromptUnwanted(each.reason)
            yield replace(each, warnings=warnings + each.warnings) if isinstance(each, Expansion) else each


async def _events(begun: str | Expansion, words: AsyncGenerator[str | Expansion, None]) -> AsyncIterator[str]:
    async with aclosing(words):
        yield _event(begun)
        try:
            async for each in words:
                yield _event(each)
        except (PromptUnwanted, PartDown) as error:
            yield event("problem", errors.explain(error)[0].model_dump_json(exclude_none=True))


def _event(said: str | Expansion) -> str:
    if isinstance(said, Expansion):
        return event("expansion", _preview(said).model_dump_json())
    return event("words", PromptPreview(prompt=said).model_dump_json(include={"prompt"}))


def _preview(expansion: Expansion) -> PromptPreview:
    return PromptPreview(
        prompt=expansion.prompt,
        added=expansion.added,
        source=expansion.source,
        ms=round(expansion.latency * 1000),
        mode="cut" if expansion.cut else "recache",
        warnings=expansion.warnings,
    )
