"""What a viewer may want to ask for next."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from deployments.api.models import Suggestions
from deployments.api.problems import problems
from deployments.api.services import Services
from deployments.calls import PartDown
from deployments.store import NoSuchSession


def routes(services: Services) -> APIRouter:
    """Suggestions of prompts."""
    api = APIRouter(prefix="/v1/sessions/{sid}", tags=["prompts"])

    @api.get("/suggestions", responses=problems(NoSuchSession, PartDown))
    async def suggestions(
        sid: str, count: Annotated[int, Query(ge=1, le=20, description="How many at most.")] = 4
    ) -> Suggestions:
        """What a viewer may want to ask for next: nothing that the video shows already."""
        session = await services.timeline.session(sid)
        return Suggestions(data=await services.prompts.suggest(session.prompt, session.changes, count))

    return api
