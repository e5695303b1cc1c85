"""Sessions: create, list, read, end."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Response

from deployments.api import create, steer
from deployments.api.listing import list_sessions
from deployments.api.models import CreatedSession, CreateSession, Links, SessionPage, SessionView
from deployments.api.problems import problems
from deployments.api.refusals import PromptUnwanted, Unsuitable
from deployments.api.security import Token
from deployments.api.services import Services
from deployments.calls import PartDown
from deployments.model_view import ModelView
from deployments.pool import PoolFull
from deployments.session import SessionState
from deployments.steering import TokenMissing, TokenWrong
from deployments.store import BadCursor, NoSuchSession

MAX_LIST = 100
LABEL = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}:.{0,128}$"


def routes(services: Services) -> APIRouter:
    """The routes of sessions themselves."""
    api = APIRouter(prefix="/v1", tags=["sessions"])
    timeline = services.timeline

    @api.get("/model", responses=problems(PartDown))
    async def model() -> ModelView:
        """What this service generates with, what a session may choose, and prompts to try."""
        return await services.model()

    @api.post(
        "/sessions",
        status_code=HTTPStatus.CREATED,
        responses={
            201: {"headers": {"Location": {"description": "Path of the session.", "schema": {"type": "string"}}}},
            **problems(Unsuitable, PromptUnwanted, PoolFull, PartDown, TimeoutError),
        },
    )
    async def create_session(ask: CreateSession, response: Response) -> CreatedSession:
        """Start a video. The answer holds the `control_token` that steers it, and nobody is told it again.

        When the service is full: 503 with `Retry-After`, or with `queue` a session that waits for its turn. Nobody who
        comes later overtakes those of the same pace who wait.
        """
        created = await create.create_session(services, ask)
        response.headers["Location"] = Links.of(created.id).self
        return created

    @api.get("/sessions", responses=problems(BadCursor))
    async def list_all(
        limit: Annotated[int, Query(ge=1, le=MAX_LIST, description="Sessions of a page.")] = 20,
        after: Annotated[str, Query(description="The `next` of the page before.")] = "",
        status: Annotated[list[SessionState], Query(description="Only sessions in one of these states.")] = [],  # noqa: B006
        label: Annotated[
            list[Annotated[str, Query(pattern=LABEL)]],
            Query(max_length=16, description="Only sessions with all of these labels, each `name:value`."),
        ] = [],  # noqa: B006
    ) -> SessionPage:
        """Sessions, newest first; those that are over are kept for a day. Go on with `next` while `has_more` is true:
        a page of a filter that few sessions pass may be short, even empty, before the last."""
        labels = dict(each.split(":", 1) for each in label)
        return await list_sessions(timeline, after, limit, set(status), labels)

    @api.get("/sessions/{sid}", responses=problems(NoSuchSession))
    async def read(sid: str) -> SessionView:
        """The session as it is now."""
        return SessionView.of(await timeline.session(sid))

    @api.delete(
        "/sessions/{sid}",
        status_code=HTTPStatus.NO_CONTENT,
        responses=problems(NoSuchSession, TokenMissing, TokenWrong),
    )
    async def end(sid: str, token: Token) -> None:
        """End the video, or give up the wait for it. Repeatable; the history stays readable for a day."""
        await steer.end(services, await steer.authorized(services, sid, token))

    return api
