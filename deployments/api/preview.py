"""What would be made of a prompt, and what to ask for next: nothing of it changes a video."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse

from deployments.api import errors
from deployments.api.events import HEADERS, event
from deployments.api.models import PreviewPrompt, PromptPreview, Suggestions
from deployments.api.problems import problems
from deployments.api.refusals import PromptUnwanted
from deployments.api.services import Services
from deployments.calls import PartDown
from deployments.ending import history
from deployments.receipts import PromptStatus, receipts
from deployments.store import NoSuchSession
from prompt_agent.expansion import Expansion, Unwanted

STREAM = "text/event-stream"


def routes(services: Services) -> APIRouter:
    """Previews and suggestions."""
    api = APIRouter(prefix="/v1", tags=["prompts"])

    @api.post(
        "/prompts/preview",
        response_model=PromptPreview,
        responses={
            200: {
                "content": {STREAM: {"schema": {"type": "string"}}},
                "description": "The prompt; or, for who accepts events, `words` while they come and then `expansion`.",
            },
            **problems(NoSuchSession, PromptUnwanted, PartDown),
        },
    )
    async def preview(
        ask: PreviewPrompt,
        accept: Annotated[str, Header(description=f"`{STREAM}`: the words while they are written.")] = "",
    ) -> Response:
        """The prompt that `expand` would make of a text, in a session or in any scene. Nothing is changed by it: send
        what it answers, edited or not, with `expand: false`."""
        scene, added = await _scene(services, ask)
        writing = services.prompts.write(scene, ask.text, added)
        if STREAM in accept:
            return StreamingResponse(_events(writing), media_type=STREAM, headers=HEADERS)
        async for each in _refusable(writing):
            if isinstance(each, Expansion):
                return Response(_preview(each).model_dump_json(), media_type="application/json")
        raise PartDown("prompt agent")

    @api.get("/sessions/{sid}/suggestions", responses=problems(NoSuchSession, PartDown))
    async def suggestions(
        sid: str, count: Annotated[int, Query(ge=1, le=20, description="How many at most.")] = 4
    ) -> Suggestions:
        """What a viewer may want to ask for next: nothing that the video shows already."""
        session = await services.timeline.session(sid)
        return Suggestions(data=await services.prompts.suggest(session.prompt, await _added(services, sid), count))

    return api


async def _scene(services: Services, ask: PreviewPrompt) -> tuple[str, tuple[str, ...]]:
    """What is to be changed, and what was before. Raises NoSuchSession."""
    if ask.session is None:
        return ask.scene or "", ()
    session = await services.timeline.session(ask.session)
    return session.prompt, await _added(services, ask.session)


async def _added(services: Services, sid: str) -> tuple[str, ...]:
    found = receipts(await history(services.timeline, sid))
    return tuple(each.added for each in found if each.added and each.status is PromptStatus.applied)


async def _refusable(writing: AsyncIterator[str | Expansion | Unwanted]) -> AsyncIterator[str | Expansion]:
    """Raises PromptUnwanted."""
    async for each in writing:
        if isinstance(each, Unwanted):
            raise PromptUnwanted(each.reason)
        yield each


async def _events(writing: AsyncIterator[str | Expansion | Unwanted]) -> AsyncIterator[str]:
    try:
        async for each in _refusable(writing):
            if isinstance(each, str):
                yield event("words", PromptPreview(prompt=each).model_dump_json(include={"prompt"}))
            else:
                yield event("expansion", _preview(each).model_dump_json())
    except (PromptUnwanted, PartDown) as error:
        yield event("problem", errors.explain(error)[0].model_dump_json(exclude_none=True))


def _preview(expansion: Expansion) -> PromptPreview:
    return PromptPreview(
        prompt=expansion.prompt,
        added=expansion.added,
        source=expansion.source,
        ms=round(expansion.latency * 1000),
        mode="cut" if expansion.cut else "recache",
        warnings=expansion.warnings,
    )
