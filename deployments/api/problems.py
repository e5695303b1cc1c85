"""The errors of a route, for its description: each with the answer that it really is."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from redis.exceptions import RedisError

from deployments.api.errors import (
    MEDIA_TYPE,
    BadReload,
    FragmentsOver,
    NoSuchFragment,
    NoSuchSegment,
    ServiceStops,
    explain,
)
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
)
from deployments.byte_range import Unsatisfiable
from deployments.calls import PartDown
from deployments.exports import NoSuchExport
from deployments.idempotency import KeyInUse, KeyReused
from deployments.media_store import StoreUnavailable
from deployments.operator_token import OperatorTokenMissing, OperatorTokenWrong
from deployments.pool import PoolFull
from deployments.receipts import PromptStatus, Receipt
from deployments.replicas import NoSuchReplica
from deployments.snapshot_shelves import SnapshotsAway
from deployments.steering import TokenMissing, TokenWrong
from deployments.store import BadCursor, CursorGone, LeaseHeld, NoSuchSession, SessionOver

SID = "5f2b8c1e9d3a4f607182"
PID = "9c1d2e3f4a5b"
_DONE = Receipt(prompt_id=PID, text="it starts to rain", status=PromptStatus.applied, requested_at=1700000000000)
_EXAMPLES: tuple[Exception, ...] = (
    NoSuchSession(SID),
    SessionOver(SID, "ended"),
    LeaseHeld(SID, "generator"),
    TokenMissing(SID),
    TokenWrong(SID),
    OperatorTokenMissing(),
    OperatorTokenWrong(),
    NoSuchReplica("x7k2p9qd"),
    Unsuitable((("body.fps", "the model offers 1 to 16 frames a second"),)),
    PromptUnwanted("Extreme violence is refused."),
    InThePast(57, 3.5625),
    AfterTheEnd(60.0),
    InTheFuture(57, 3.5625),
    Forgotten(12.5625),
    NothingMade(SID),
    OtherModel("longlive-1.3b", "tiny"),
    NotRewindable(SID),
    SnapshotsAway("no answer in 0.25 seconds"),
    NoSuchPrompt(SID, PID),
    PromptDone(_DONE),
    TooManyPrompts(SID, 100),
    TooManyPreviews(8),
    NotLive(SID, "queued"),
    Pausing(SID),
    BadCursor("yesterday"),
    CursorGone("1700000000000-0", "1700000009000-0"),
    FragmentsOver(SID),
    ServiceStops(SID),
    NoSuchFragment(SID, 7),
    BadReload("Segment 900 is too far ahead: read the playlist without `_HLS_msn`."),
    NoSuchSegment(SID, "12.3"),
    NotRecorded(SID),
    NothingRecorded(SID),
    NoPicture(SID),
    NoSuchThumbnail(SID, 3),
    NoSuchExport(SID, PID),
    TooLong("gif", 75.0),
    TooManyExports(SID),
    ExportNotReady(PID, 0.25),
    ExportFailed(PID, "The media store is full (No space left on device)."),
    ExporterBusy(),
    Unsatisfiable(1048576),
    StoreUnavailable("connection refused"),
    PoolFull(4),
    PartDown("generator"),
    TimeoutError(),
    KeyReused(),
    KeyInUse(),
    RedisError(),
)


def problems(*kinds: type[Exception]) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses`: the problems that these exceptions become, by status."""
    return documented(*(example for kind in kinds for example in _EXAMPLES if type(example) is kind))


def documented(*examples: Exception) -> dict[int | str, dict[str, Any]]:
    found: dict[int | str, dict[str, Any]] = {}
    for example in examples:
        said, headers = explain(example)
        response = found.setdefault(said.status, response_of(said.status))
        value = said.model_dump(exclude_none=True)
        response["content"][MEDIA_TYPE]["examples"][said.code] = {"summary": said.code, "value": value}
        for name in headers:
            response.setdefault("headers", {})[name] = {"schema": {"type": "string"}}
    return found


def response_of(status: int) -> dict[str, Any]:
    """A response that holds a problem, still without examples."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}}
    return {"description": HTTPStatus(status).phrase, "content": content}
