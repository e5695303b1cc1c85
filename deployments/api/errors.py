"""Every error of the API in one place: which exception becomes which problem+json, and what it tells people to do."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import redis.exceptions
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from ray.serve.exceptions import BackPressureError
from starlette.exceptions import HTTPException

from deployments.api.export_refusals import (
    ExporterBusy,
    ExportFailed,
    ExportNotReady,
    NoPicture,
    NoSuchThumbnail,
    NothingRecorded,
    NotRecorded,
    TooLong,
    TooManyExports,
)
from deployments.api.models import Problem
from deployments.api.refusals import (
    AfterTheEnd,
    Forgotten,
    InTheFuture,
    InThePast,
    NoSuchPrompt,
    NothingMade,
    NotLive,
    NotRewindable,
    OtherModel,
    Pausing,
    PromptDone,
    PromptUnwanted,
    TooManyPreviews,
    TooManyPrompts,
    Unsuitable,
    WebSocketOnly,
)
from deployments.byte_range import Unsatisfiable
from deployments.calls import PartDown
from deployments.exports import NoSuchExport
from deployments.idempotency import KeyInUse, KeyReused
from deployments.media_store import NoSuchMedia, StoreFull, StoreUnavailable
from deployments.operator_token import OperatorTokenMissing, OperatorTokenWrong
from deployments.pool import PoolFull
from deployments.replicas import NoSuchReplica
from deployments.snapshot_shelves import SnapshotsAway
from deployments.steering import TokenMissing, TokenWrong
from deployments.store import BadCursor, CursorGone, LeaseHeld, NoSuchSession, SessionError, SessionOver

log = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"


class FragmentsOver(SessionError):
    """The session is over and nothing of its video is left to hand out."""

    def __init__(self, sid: str) -> None:
        super().__init__(sid)
        self.sid = sid

    def __str__(self) -> str:
        return f"Session {self.sid!r} is over and its last fragment was handed out. Read the session for the reason."


class ServiceStops(SessionError):
    """The last process that hands out fragments stops."""

    def __init__(self, sid: str) -> None:
        super().__init__(sid)
        self.sid = sid

    def __str__(self) -> str:
        return f"The service stops, and session {self.sid!r} is paused. Resume it when the service runs again."


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
    headers: Mapping[str, str] = field(default_factory=dict)


_STORE = _Kind(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "store-unavailable",
    "The session store does not answer. Try again in a moment; running videos go on.",
    retry_after_s=2,
)
_KINDS: Mapping[type[Exception], _Kind] = {
    NoSuchSession: _Kind(HTTPStatus.NOT_FOUND, "no-such-session"),
    SessionOver: _Kind(HTTPStatus.CONFLICT, "session-over"),
    TokenMissing: _Kind(HTTPStatus.UNAUTHORIZED, "not-authorized", headers={"WWW-Authenticate": "Bearer"}),
    TokenWrong: _Kind(HTTPStatus.FORBIDDEN, "not-yours"),
    OperatorTokenMissing: _Kind(HTTPStatus.UNAUTHORIZED, "not-authorized", headers={"WWW-Authenticate": "Bearer"}),
    OperatorTokenWrong: _Kind(HTTPStatus.FORBIDDEN, "not-operator"),
    NoSuchReplica: _Kind(HTTPStatus.NOT_FOUND, "no-such-replica"),
    PromptUnwanted: _Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "prompt-unwanted"),
    InThePast: _Kind(HTTPStatus.CONFLICT, "in-the-past"),
    AfterTheEnd: _Kind(HTTPStatus.CONFLICT, "after-the-end"),
    InTheFuture: _Kind(HTTPStatus.CONFLICT, "in-the-future"),
    Forgotten: _Kind(HTTPStatus.CONFLICT, "forgotten"),
    NothingMade: _Kind(HTTPStatus.CONFLICT, "nothing-made", retry_after_s=1),
    OtherModel: _Kind(HTTPStatus.CONFLICT, "other-model"),
    NotRewindable: _Kind(HTTPStatus.CONFLICT, "not-rewindable"),
    NoSuchPrompt: _Kind(HTTPStatus.NOT_FOUND, "no-such-prompt"),
    PromptDone: _Kind(HTTPStatus.CONFLICT, "prompt-done"),
    TooManyPrompts: _Kind(HTTPStatus.CONFLICT, "too-many-prompts"),
    TooManyPreviews: _Kind(HTTPStatus.TOO_MANY_REQUESTS, "too-many-previews", retry_after_s=1),
    NotLive: _Kind(HTTPStatus.CONFLICT, "not-live", retry_after_s=1),
    Pausing: _Kind(HTTPStatus.CONFLICT, "pausing", retry_after_s=1),
    LeaseHeld: _Kind(
        HTTPStatus.CONFLICT,
        "being-taken",
        "A generator is taking this session at this very moment. Read it in a moment to see how that went.",
        retry_after_s=1,
    ),
    WebSocketOnly: _Kind(HTTPStatus.UPGRADE_REQUIRED, "websocket-only", headers={"Upgrade": "websocket"}),
    KeyReused: _Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "idempotency-key-reused"),
    KeyInUse: _Kind(HTTPStatus.CONFLICT, "in-progress", retry_after_s=1),
    FragmentsOver: _Kind(HTTPStatus.GONE, "fragments-over"),
    ServiceStops: _Kind(HTTPStatus.GONE, "service-stops", retry_after_s=2),
    NoSuchFragment: _Kind(HTTPStatus.BAD_REQUEST, "bad-cursor"),
    BadReload: _Kind(HTTPStatus.BAD_REQUEST, "bad-reload"),
    NoSuchSegment: _Kind(HTTPStatus.NOT_FOUND, "no-such-segment"),
    CursorGone: _Kind(HTTPStatus.GONE, "cursor-gone"),
    BadCursor: _Kind(HTTPStatus.BAD_REQUEST, "bad-cursor"),
    NotRecorded: _Kind(HTTPStatus.CONFLICT, "not-recorded"),
    NothingRecorded: _Kind(HTTPStatus.CONFLICT, "nothing-recorded", retry_after_s=5),
    NoPicture: _Kind(HTTPStatus.CONFLICT, "no-picture", retry_after_s=2),
    NoSuchThumbnail: _Kind(HTTPStatus.NOT_FOUND, "no-such-thumbnail"),
    NoSuchExport: _Kind(HTTPStatus.NOT_FOUND, "no-such-export"),
    TooLong: _Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "too-long"),
    TooManyExports: _Kind(HTTPStatus.CONFLICT, "too-many-exports"),
    ExportNotReady: _Kind(HTTPStatus.CONFLICT, "export-not-ready", retry_after_s=1),
    ExportFailed: _Kind(HTTPStatus.CONFLICT, "export-failed"),
    ExporterBusy: _Kind(HTTPStatus.SERVICE_UNAVAILABLE, "exporter-busy", retry_after_s=30),
    NoSuchMedia: _Kind(HTTPStatus.NOT_FOUND, "no-such-media"),
    StoreFull: _Kind(HTTPStatus.INSUFFICIENT_STORAGE, "media-store-full"),
    StoreUnavailable: _Kind(HTTPStatus.SERVICE_UNAVAILABLE, "media-store-unavailable", retry_after_s=5),
    SnapshotsAway: _Kind(HTTPStatus.SERVICE_UNAVAILABLE, "snapshots-away", retry_after_s=2),
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


_INVALID = HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request"
BAD_JSON = HTTPStatus.BAD_REQUEST, "bad-json", "The body is not valid JSON. Send one JSON object."


def problem(status: HTTPStatus, code: str, detail: str, *, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """A problem+json response."""
    return _response(make_problem(status, code, detail), headers or {})


def install(api: FastAPI) -> None:
    """Make `api` answer every exception with a problem."""
    for kind in (*_KINDS, PoolFull, Unsuitable, Unsatisfiable, RequestValidationError, HTTPException):
        api.add_exception_handler(kind, _answer)
    api.add_exception_handler(Exception, _unknown)


def answer(error: Exception) -> JSONResponse:
    """The response that says an exception."""
    return _response(*explain(error))


def explain(error: Exception) -> tuple[Problem, Mapping[str, str]]:
    """What an exception means for who asked, and the headers that go with it."""
    match error:
        case PoolFull(retry_after_s=seconds):
            full = f"All sessions this service can keep at full speed are taken. Try again in {seconds} seconds."
            about = make_problem(HTTPStatus.SERVICE_UNAVAILABLE, "pool-full", full)
            return about, {"Retry-After": str(seconds)}
        case Unsuitable(faults=faults):
            errors = [{"where": where, "what": what, "kind": "not_offered"} for where, what in faults]
            return make_problem(*_INVALID, str(error), errors), {}
        case Unsatisfiable(size=size):
            status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
            return make_problem(status, "bad-range", str(error)), {"Content-Range": f"bytes */{size}"}
        case RequestValidationError() | ValidationError():
            return _invalid(error), {}
        case HTTPException():
            return _http(error), error.headers or {}
    kind = next((_KINDS[base] for base in type(error).__mro__ if base in _KINDS), None)
    if kind is None:
        return make_problem(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "internal",
            "Something broke on our side, and the log says what. Try again; if it stays, report it with the time.",
        ), {}
    # An error from another process comes wrapped; its cause is the one that was raised there.
    detail = kind.detail or str(getattr(error, "cause", error))
    again = {} if kind.retry_after_s is None else {"Retry-After": str(kind.retry_after_s)}
    return make_problem(kind.status, kind.code, detail), {**again, **kind.headers}


def make_problem(status: HTTPStatus, code: str, detail: str, errors: list[dict[str, Any]] | None = None) -> Problem:
    return Problem(
        type=f"urn:longlive:problem:{code}",
        title=status.phrase,
        status=status,
        detail=detail,
        code=code,
        errors=errors,
    )


def _response(said: Problem, headers: Mapping[str, str]) -> JSONResponse:
    everywhere = {"Cache-Control": "no-store", **headers}
    return JSONResponse(said.model_dump(exclude_none=True), said.status, headers=everywhere, media_type=MEDIA_TYPE)


def _answer(_: Request, error: Exception) -> JSONResponse:
    return answer(error)


def _unknown(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return answer(error)


def _invalid(error: RequestValidationError | ValidationError) -> Problem:
    faults = error.errors()
    if any(fault["type"] == "json_invalid" for fault in faults):
        return make_problem(*BAD_JSON)
    errors = [
        {"where": ".".join(str(part) for part in fault["loc"]), "what": fault["msg"], "kind": fault["type"]}
        for fault in faults
    ]
    said = "; ".join(f"{fault['where']}: {fault['what']}" for fault in errors[:5])
    return make_problem(*_INVALID, f"Correct these fields and send the request again: {said}.", errors)


def _http(error: HTTPException) -> Problem:
    status = HTTPStatus(error.status_code)
    if status == HTTPStatus.BAD_REQUEST:  # FastAPI's word for a body that json cannot read for other reasons
        return make_problem(*BAD_JSON)
    code = status.phrase.lower().replace(" ", "-")
    return make_problem(status, code, _HTTP_DETAILS.get(status, str(error.detail)))
