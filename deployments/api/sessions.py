"""Sessions: create, read, steer, end; and their history."""

from __future__ import annotations

import logging
import secrets
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Response
from redis.exceptions import RedisError

from deployments.api.models import (
    AddPrompt,
    CreatedSession,
    CreateSession,
    Links,
    PromptAccepted,
    SessionView,
    TimelinePage,
)
from deployments.api.services import Services
from deployments.calls import PartDown
from deployments.entries import EndRequested, PromptRequested, SessionCreated
from deployments.logs import about
from deployments.model_view import ModelView
from deployments.pool import PoolFull
from deployments.receipts import receipts
from deployments.session import Session, chunk_first_frame
from deployments.store import SessionOver
from deployments.timeline import parse_cursor

MAX_PAGE = 1000
log = logging.getLogger(__name__)


def routes(services: Services) -> APIRouter:
    """The routes of sessions and their timelines."""
    api = APIRouter(prefix="/v1", tags=["sessions"])
    timeline = services.timeline

    async def warnings(text: str) -> tuple[str, ...]:
        try:
            unread = await services.unread_words(text)
        except PartDown as error:
            log.warning("no warnings: %s", error)  # a prompt is worth more than what can be said about it
            return ()
        told = [f"The model does not know the word {word!r} and pays it no attention." for word in unread.unknown]
        if unread.cut:
            told.append(f"The prompt is too long for the model, which does not read its end: {' '.join(unread.cut)!r}.")
        return tuple(told)

    async def start(ask: CreateSession) -> Session:
        sid = secrets.token_hex(10)
        view = await services.model()
        created = SessionCreated(
            prompt=ask.prompt,
            seed=secrets.randbelow(2**31) if ask.seed is None else ask.seed,
            model=view.name,
            width=view.width,
            height=view.height,
            fps=view.fps,
        )
        with about(sid):
            await timeline.create(sid, created)
            try:
                return await services.generators.take(sid)
            except PoolFull:
                await timeline.forget(sid)
                raise

    async def ring(session: Session) -> None:
        try:
            await timeline.ring(session.owner or "", session.id)
        except RedisError as error:
            log.warning("not rung: %s", error)  # it is written, and owners look by themselves every few seconds

    @api.get("/model")
    async def model() -> ModelView:
        """What this service generates with, and prompts to try."""
        return await services.model()

    @api.post("/sessions", status_code=HTTPStatus.CREATED)
    async def create(ask: CreateSession, response: Response) -> CreatedSession:
        """Start a video. 503 with `Retry-After` when the service is full."""
        told = await warnings(ask.prompt)
        try:
            session = await start(ask)
        except PartDown:  # died over it: there may be another generator, and the dead one's session is not ours
            session = await start(ask)
        response.headers["Location"] = Links.of(session.id).self
        return CreatedSession(**SessionView.of(session).model_dump(), control_token="", warnings=told)

    @api.get("/sessions/{sid}")
    async def read(sid: str) -> SessionView:
        """The session as it is now."""
        return SessionView.of(await timeline.session(sid))

    @api.post("/sessions/{sid}/prompts", status_code=HTTPStatus.ACCEPTED)
    async def add_prompt(sid: str, ask: AddPrompt) -> PromptAccepted:
        """Change what the video shows. The timeline says at which frame it took effect (`prompt.applied`)."""
        with about(sid):
            session = await timeline.session(sid)
            if session.status.over:
                raise SessionOver(sid, session.status)
            told = await warnings(ask.text)
            prompt_id = secrets.token_hex(6)
            # Read before the prompt is written: it cannot take effect earlier, and what is written must be answered.
            earliest = chunk_first_frame((await timeline.session(sid)).chunks)
            prompt = PromptRequested(prompt_id=prompt_id, text=ask.text, mode=ask.mode, warnings=told)
            entry_id = await timeline.append_command(sid, prompt)
            await ring(session)
        receipt = receipts([prompt.model_copy(update={"id": entry_id, "at": parse_cursor(entry_id)[0]})])[0]
        return PromptAccepted(**receipt.model_dump(), earliest_frame=earliest)

    @api.delete("/sessions/{sid}", status_code=HTTPStatus.NO_CONTENT)
    async def end(sid: str) -> None:
        """End the video. Repeatable; the history stays readable for a day."""
        with about(sid):
            session = await timeline.session(sid)
            if not session.status.over:
                await timeline.append_command(sid, EndRequested())
                await ring(session)

    @api.get("/sessions/{sid}/timeline")
    async def history(
        sid: str,
        after: Annotated[str, Query(description="An entry's id: the page starts after it.")] = "",
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
    ) -> TimelinePage:
        """What was asked of the session and what became of it, oldest first."""
        entries = await timeline.read(sid, after, limit + 1)
        page = entries[:limit]
        return TimelinePage(data=page, has_more=len(entries) > limit, next=page[-1].id if page else after or None)

    return api
