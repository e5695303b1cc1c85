"""Back in the time of a session: rewind it, fork another one from it, render it once more."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Response

from deployments.api import copies, steer
from deployments.api.models import CreatedSession, ForkSession, Links, RenderSession, RewindSession, SessionView
from deployments.api.problems import problems
from deployments.api.refusals import Forgotten, InTheFuture, NothingMade, NotLive, NotRewindable, OtherModel
from deployments.api.security import Token
from deployments.api.services import Services
from deployments.calls import PartDown
from deployments.media_store import StoreUnavailable
from deployments.pool import PoolFull
from deployments.snapshot_shelves import SnapshotsAway
from deployments.steering import TokenMissing, TokenWrong
from deployments.store import NoSuchSession, SessionOver

_CREATED: dict[int | str, dict[str, Any]] = {
    201: {"headers": {"Location": {"description": "Path of the new session.", "schema": {"type": "string"}}}}
}
_STARTING = (NoSuchSession, OtherModel, PoolFull, PartDown, TimeoutError)


def routes(services: Services) -> APIRouter:
    """The routes that go back in a session's time."""
    api = APIRouter(prefix="/v1/sessions/{sid}", tags=["time machine"])

    @api.post(
        "/rewind",
        status_code=HTTPStatus.ACCEPTED,
        responses=problems(
            *(NoSuchSession, TokenMissing, TokenWrong, SessionOver),
            *(NotLive, NotRewindable, InTheFuture, Forgotten, SnapshotsAway),
        ),
    )
    async def rewind(sid: str, ask: RewindSession, token: Token) -> SessionView:
        """Have a live video go on as it was at an earlier time, with the prompt of that time; who watches sees a cut.

        The time of the video goes on all the while, and prompts that wait for their time still do. The timeline tells
        when it is done (`session.rewound`), or why not (`rewind.refused`). How far back it can go depends on the
        memory that the service has for it.
        """
        return SessionView.of(await steer.rewind(services, await steer.authorized(services, sid, token), ask))

    @api.post(
        "/fork",
        status_code=HTTPStatus.CREATED,
        responses={**_CREATED, **problems(*_STARTING, InTheFuture, Forgotten, SnapshotsAway, StoreUnavailable)},
    )
    async def fork(sid: str, ask: ForkSession, response: Response) -> CreatedSession:
        """Start another video, which goes on from what this one was at some time; this one stays as it is.

        Its numbers of chunks and frames go on, too: what it has of its own begins at `parent.frame`. It keeps the seed
        unless it is given another. A session can be forked while it runs, is paused, or is over, as far back as its
        past is kept.
        """
        return _created(await copies.fork(services, sid, ask), response)

    @api.post(
        "/render",
        status_code=HTTPStatus.CREATED,
        responses={**_CREATED, **problems(*_STARTING, NothingMade)},
    )
    async def render(sid: str, ask: RenderSession, response: Response) -> CreatedSession:
        """Make this video once more, offline and recorded: the same prompts at the same frames, and rebuilt wherever
        this one was rebuilt because it was paused, moved, rewound or forked.

        With the same build, device and number of threads, the picture is the same to the bit. Of a fork, it begins
        with the very first frame of what it was forked from.
        """
        return _created(await copies.render(services, sid, ask), response)

    return api


def _created(created: CreatedSession, response: Response) -> CreatedSession:
    response.headers["Location"] = Links.of(created.id).self
    return created
