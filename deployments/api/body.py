"""What may come in as a request body: JSON, small, in reasonable time. All else is refused before parsing."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.api.errors import problem

MAX_BODY_BYTES = 64 * 1024
BODY_SECONDS = 10.0
BODY_TOO_LARGE = (
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "body-too-large",
    f"The body is larger than {MAX_BODY_BYTES // 1024} KiB. Send a shorter prompt.",
)
NOT_JSON = (
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "not-json",
    "Send the body as JSON, with the header `Content-Type: application/json`.",
)
SLOW_BODY = HTTPStatus.REQUEST_TIMEOUT, "slow-body", "The body did not arrive in time. Send the request again."


class BodyGuard:
    """ASGI middleware: 413, 415 and 408 with a problem that says what to send instead."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in ("POST", "PUT", "PATCH"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        declared = headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > MAX_BODY_BYTES:
            await problem(*BODY_TOO_LARGE)(scope, receive, send)
            return
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        nothing = not kind and declared == "0" and "transfer-encoding" not in headers
        if kind != "application/json" and not nothing:
            await problem(*NOT_JSON)(scope, receive, send)
            return
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _read(receive)
        except ClientDisconnect:
            return
        except TimeoutError:
            await problem(*SLOW_BODY)(scope, receive, send)
            return
        if body is None:
            await problem(*BODY_TOO_LARGE)(scope, receive, send)
            return
        rest: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return rest.pop() if rest else await receive()

        await self._app(scope, replay, send)


async def _read(receive: Receive) -> bytes | None:
    """The whole body, or None as soon as it is too large. Raises ClientDisconnect."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            return None
        if not message.get("more_body", False):
            return bytes(body)
