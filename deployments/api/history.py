"""What was asked of a session, what became of it, and what each of its chunks cost."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from deployments.api.models import ChunkPage, TimelinePage
from deployments.api.problems import problems
from deployments.api.services import Services
from deployments.store import BadCursor, CursorGone, NoSuchSession

MAX_PAGE = 1000
After = Annotated[str, Query(description="An entry's id: the page starts after it.")]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="Entries of a page.")]


def routes(services: Services) -> APIRouter:
    """The routes of a session's history."""
    api = APIRouter(
        prefix="/v1/sessions/{sid}", tags=["history"], responses=problems(NoSuchSession, BadCursor, CursorGone)
    )
    timeline = services.timeline

    @api.get("/timeline")
    async def history(sid: str, after: After = "", limit: Limit = 100) -> TimelinePage:
        """What was asked of the session and what became of it, oldest first."""
        entries = await timeline.read(sid, after, limit + 1)
        page = entries[:limit]
        return TimelinePage(data=page, has_more=len(entries) > limit, next=page[-1].id if page else after or None)

    @api.get("/chunks")
    async def chunks(sid: str, after: After = "", limit: Limit = 100) -> ChunkPage:
        """What each chunk of the video cost and how early its fragment was, oldest first; the last thousand or so."""
        found = await timeline.chunks(sid, after, limit + 1)
        page = found[:limit]
        return ChunkPage(data=page, has_more=len(found) > limit, next=page[-1].id if page else after or None)

    return api
