"""Pause and resume."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Response

from deployments.api import steer
from deployments.api.models import SessionView
from deployments.api.problems import problems
from deployments.api.refusals import NotLive, Pausing
from deployments.api.security import Token
from deployments.api.services import Services
from deployments.calls import PartDown
from deployments.media_store import StoreUnavailable
from deployments.pool import PoolFull
from deployments.session import SessionState
from deployments.steering import TokenMissing, TokenWrong
from deployments.store import LeaseHeld, NoSuchSession, SessionOver

_STEERING = (NoSuchSession, TokenMissing, TokenWrong, SessionOver)


def routes(services: Services) -> APIRouter:
    """The routes that stop a session's time and let it go on."""
    api = APIRouter(prefix="/v1/sessions/{sid}", tags=["sessions"])

    @api.post(
        "/pause",
        status_code=HTTPStatus.ACCEPTED,
        responses={
            200: {"model": SessionView, "description": "It is paused already."},
            **problems(*_STEERING, NotLive),
        },
    )
    async def pause(sid: str, token: Token, response: Response) -> SessionView:
        """Have the video stand still after the chunk that is being made, and free its generator. Repeatable; it is
        paused once its status says so."""
        session = await steer.pause(services, await steer.authorized(services, sid, token))
        if session.status is SessionState.paused:
            response.status_code = HTTPStatus.OK
        return SessionView.of(session)

    @api.post(
        "/resume",
        responses=problems(*_STEERING, Pausing, LeaseHeld, PoolFull, PartDown, TimeoutError, StoreUnavailable),
    )
    async def resume(sid: str, token: Token) -> SessionView:
        """Have a paused video go on with the frame where it stopped. Repeatable: one that runs goes on running.

        When the service is full: 503 with `Retry-After`. A paused session does not wait behind queued ones.
        """
        return SessionView.of(await steer.resume(services, await steer.authorized(services, sid, token)))

    return api
