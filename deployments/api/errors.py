"""Every error of the API in one place: which exception becomes which problem+json, and what it tells people to do."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import redis.exceptions
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from ray.serve.exceptions import BackPressureError
from starlette.exceptions import HTTPException

from deployments.api.models import Problem
from deployments.calls import PartDown
from deployments.pool import PoolFull
from deployments.store import BadCursor, CursorGone, NoSuchSession, SessionError, SessionOver

log = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"


class FragmentsOver(SessionError):
    """The session is over and nothing of its video is left to hand out."""

    def __init__(self, sid: str) -> None:
        super().__init__(sid)
        self.sid = sid

    def __str__(self) -> str:
        return f"Session {self.sid!r} is over and its last fragment was handed out. Read the session for the reason."


class NoSuchFragment(SessionError):
    """The reader claims to have a fragment that was never made."""

    def __init__(self, sid: str, chunk: int) -> None:
        super().__init__(sid, chunk)
        self.sid, self.chunk = sid, chunk

    def __str__(self) -> str:
        return f"Session {self.sid!r} has made no fragment {self.chunk} yet: send the X-Fragment of your last one."


class BadReload(SessionError):
    """An HLS player asks for a playlist that cannot come."""


class NoSuchSegment(SessionError):
    """An HLS player asks for video that is not kept here: not yet, not any more, or never."""

    def __init__(self, sid: str, name: str) -> None:
        super().__init__(sid, name)
        self.sid, self.name = sid, name

    def __str__(self) -> str:
        return f"Session {self.sid!r} has no HLS segment or part {self.name} now: read its playlist again."


@dataclass(frozen=True)
class _Kind:
    """An empty `detail` means that the exception's own text is for people."""

    status: HTTPStatus
    code: str
    detail: str = ""
    retry_after_s: int | None = None


_STORE = _Kind(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "store-unavailable",
    "The session store does not answer. Try again in a moment; running videos go on.",
    retry_after_s=2,
)
_KINDS: Mapping[type[Exception], _Kind] = {
    NoSuchSession: _Kind(HTTPStatus.NOT_FOUND, "no-such-session"),
    SessionOver: _Kind(HTTPStatus.CONFLICT, "session-over"),
    FragmentsOver: _Kind(HTTPStatus.GONE, "fragments-over"),
    NoSuchFragment: _Kind(HTTPStatus.BAD_REQUEST, "bad-cursor"),
    BadReload: _Kind(HTTPStatus.BAD_REQUEST, "bad-reload"),
    NoSuchSegment: _Kind(HTTPStatus.NOT_FOUND, "no-such-segment"),
    CursorGone: _Kind(HTTPStatus.GONE, "cursor-gone"),
    BadCursor: _Kind(HTTPStatus.BAD_REQUEST, "bad-cursor"),
    PartDown: _Kind(HTTPStatus.SERVICE_UNAVAILABLE, "part-down", retry_after_s=2),
    TimeoutError: _Kind(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "timeout",
        "A part of the service did not answer in time. Try again in a moment.",
        retry_after_s=2,
    ),
    BackPressureError: _Kind(
        HTTPStatus.SERVICE_UNAVAILABLE, "busy", "The service is very busy. Try again in a moment.", retry_after_s=1
    ),
    redis.exceptions.RedisError: _STORE,
}
_HTTP_DETAILS: Mapping[int, str] = {
    404: "There is nothing at this path. The API is described at /docs.",
    405: "This path does not take this method. The API is described at /docs.",
}


def problem(
    status: HTTPStatus,
    code: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    errors: list[dict[str, Any]] | None = None,
) -> JSONResponse:
    """A problem+json response."""
    body = Problem(
        type=f"urn:longlive:problem:{code}",
        title=status.phrase,
        status=status,
        detail=detail,
        code=code,
        errors=errors,
    )
    everywhere = {"Cache-Control": "no-store"} | dict(headers or {})
    return JSONResponse(body.model_dump(exclude_none=True), status, headers=everywhere, media_type=MEDIA_TYPE)


def install(api: FastAPI) -> None:
    """Make `api` answer every exception with a problem."""
    for kind in _KINDS:
        api.add_exception_handler(kind, _known(_KINDS[kind]))
    api.add_exception_handler(PoolFull, _pool_full)
    api.add_exception_handler(RequestValidationError, _invalid)
    api.add_exception_handler(HTTPException, _http)
    api.add_exception_handler(Exception, _unknown)


def _known(kind: _Kind) -> Callable[[Request, Exception], JSONResponse]:
    headers = {} if kind.retry_after_s is None else {"Retry-After": str(kind.retry_after_s)}

    def answer(_: Request, error: Exception) -> JSONResponse:
        # An error from another process comes wrapped; its cause is the one that was raised there.
        detail = kind.detail or str(getattr(error, "cause", error))
        return problem(kind.status, kind.code, detail, headers=headers)

    return answer


def _pool_full(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, PoolFull)
    return problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "pool-full",
        f"All sessions this service can keep at full speed are taken. Try again in {error.retry_after_s} seconds.",
        headers={"Retry-After": str(error.retry_after_s)},
    )


def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    faults = error.errors()
    if any(fault["type"] == "json_invalid" for fault in faults):
        return _bad_json()
    errors = [
        {"where": ".".join(str(part) for part in fault["loc"]), "what": fault["msg"], "kind": fault["type"]}
        for fault in faults
    ]
    said = "; ".join(f"{fault['where']}: {fault['what']}" for fault in errors[:5])
    return problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "invalid-request",
        f"Correct these fields and send the request again: {said}.",
        errors=errors,
    )


def _bad_json() -> JSONResponse:
    return problem(HTTPStatus.BAD_REQUEST, "bad-json", "The body is not valid JSON. Send one JSON object.")


def _http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    if status == HTTPStatus.BAD_REQUEST:  # FastAPI's word for a body that json cannot read for other reasons
        return _bad_json()
    code = status.phrase.lower().replace(" ", "-")
    return problem(status, code, _HTTP_DETAILS.get(status, str(error.detail)), headers=error.headers)


def _unknown(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal",
        "Something broke on our side, and the log says what. Try again; if it stays, report it with the time.",
    )
