"""A session's timeline as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse

from deployments.api.messages import GoAway, Position
from deployments.api.problems import problems
from deployments.api.services import Services
from deployments.entries import AnyEntry
from deployments.logs import about
from deployments.stopping import stop
from deployments.store import BadCursor, CursorGone, NoSuchSession

STATS_SECONDS = 1.0
LAST_WORDS_SECONDS = 1.0  # for what is written already, when this process goes
PING_SECONDS = 15.0
STREAM_SECONDS = 300.0  # then the client comes back by itself: what one that stopped reading leaves behind is bounded
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def event(name: str, data: str, event_id: str = "") -> str:
    """One event as text. An event without an id leaves the reader's cursor where it is."""
    return (f"id: {event_id}\n" if event_id else "") + f"event: {name}\ndata: {data}\n\n"


def routes(services: Services) -> APIRouter:
    """The events of a session."""
    api = APIRouter(prefix="/v1/sessions/{sid}", tags=["events"])
    timeline = services.timeline

    @api.get(
        "/events",
        response_class=StreamingResponse,
        responses={
            200: {
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
                "description": "Events as they happen.",
            },
            204: {"description": "The session is over, and everything of it was read."},
            **problems(NoSuchSession, BadCursor, CursorGone),
        },
    )
    async def events(
        sid: str,
        last_event_id: Annotated[str, Header(description="Resume after this entry.")] = "",
        after: Annotated[str, Query(description="As `Last-Event-ID`, for clients that cannot set headers.")] = "",
    ) -> Response:
        """Timeline entries as they happen, with their ids; `stats` events between them hold the session.

        A stream ends after some minutes, and behind a `goAway` event when the process at its other end stops: come back
        with `Last-Event-ID`.
        """
        cursor = last_event_id or after
        with about(sid):
            behind = await timeline.read(sid, cursor, 1)  # a wrong cursor is answered before the stream begins
            if not behind and (await timeline.session(sid)).status.over:
                return Response(status_code=HTTPStatus.NO_CONTENT)  # tells EventSource to stop coming back
        return StreamingResponse(_stream(services, sid, cursor), media_type="text/event-stream", headers=HEADERS)

    return api


async def _stream(services: Services, sid: str, cursor: str) -> AsyncIterator[str]:
    yield "retry: 1000\n\n"
    entries = services.timeline.tail(sid, cursor)
    step = asyncio.ensure_future(_next(entries))
    farewell = asyncio.ensure_future(services.farewell.heard())
    said = ""
    silent = 0.0
    clock = asyncio.get_running_loop().time
    end = clock() + STREAM_SECONDS
    try:
        while clock() < end:
            going = farewell.done()
            await asyncio.wait(
                {step} if going else {step, farewell},
                timeout=LAST_WORDS_SECONDS if going else STATS_SECONDS,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if step.done():
                if (entry := step.result()) is None:
                    return
                yield event(entry.type, entry.model_dump_json(), entry.id)
                cursor = entry.id
                step = asyncio.ensure_future(_next(entries))
                continue
            if going:
                go_away = GoAway(seconds=0.0, resume=Position(after=-1, event=cursor))
                yield event(go_away.type, go_away.model_dump_json())
                return
            if farewell.done():
                continue
            stats = (await services.timeline.session(sid)).model_dump_json()
            silent += STATS_SECONDS
            if stats != said:
                yield event("stats", stats)
                said, silent = stats, 0.0
            elif silent >= PING_SECONDS:
                yield ": still here\n\n"
                silent = 0.0
    finally:
        await stop([step, farewell])


async def _next(entries: AsyncIterator[AnyEntry]) -> AnyEntry | None:
    return await anext(entries, None)
