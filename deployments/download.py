"""Large files beside the socket, in Serve's HTTP proxy: pulled from an ingress in pieces as fast as they are read."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.byte_range import Unsatisfiable, content_range, wanted
from deployments.pull import PATIENCE_SECONDS, RETRY_SECONDS, Answer, pull, until_gone

PIECE_BYTES = 4 * 1024 * 1024
"""The most that an ingress answers to one request for a range."""
_CONTENT = re.compile(r"/v1/sessions/[^/]+/exports/[^/]+/content")


class Download:
    """ASGI middleware. `app` answers requests for ranges of at most PIECE_BYTES; the client sees one response.

    The response breaks off if `app` fails for PATIENCE_SECONDS: it is shorter than it said, and can be resumed.
    """

    def __init__(self, app: ASGIApp, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or not _CONTENT.fullmatch(scope["path"]):
            await self._app(scope, receive, send)
            return
        async with until_gone(receive) as leaving:
            probe = await self._pull(scope, leaving, "bytes=0-0")
            if probe.status != HTTPStatus.PARTIAL_CONTENT:
                await _relay(probe, send)
                return
            size = int(probe.headers["content-range"].rpartition("/")[2])
            asked = Headers(raw=scope["headers"])
            try:
                part = wanted(asked.get("range"), asked.get("if-range"), probe.headers["etag"], size)
            except Unsatisfiable:
                await _relay(await self._pull(scope, leaving, asked["range"]), send)
                return
            await _begin(probe, part, size, send)
            await self._send(scope, leaving, part or range(size), send)

    async def _send(self, scope: Scope, leaving: asyncio.Task[None], part: range, send: Send) -> None:
        at, heard = part.start, self._clock()
        while at < part.stop and not leaving.done():
            piece = await self._pull(scope, leaving, f"bytes={at}-{min(part.stop, at + PIECE_BYTES) - 1}")
            if piece.status == HTTPStatus.PARTIAL_CONTENT:
                at, heard = at + len(piece.body), self._clock()
                body = {"type": "http.response.body", "body": bytes(piece.body), "more_body": at < part.stop}
                await send(body)
            elif piece.status < HTTPStatus.INTERNAL_SERVER_ERROR or self._clock() - heard > PATIENCE_SECONDS:
                return
            else:
                await asyncio.wait({leaving}, timeout=RETRY_SECONDS)

    async def _pull(self, scope: Scope, leaving: asyncio.Task[None], part: str) -> Answer:
        return await pull(self._app, scope, leaving, scope["path"], headers={"range": part, "if-range": None})


async def _begin(probe: Answer, part: range | None, size: int, send: Send) -> None:
    headers = MutableHeaders(raw=list(probe.headers.raw))
    headers["content-length"] = str(size if part is None else len(part))
    del headers["content-range"]
    if part is not None:
        headers["content-range"] = content_range(part, size)
    status = HTTPStatus.OK if part is None else HTTPStatus.PARTIAL_CONTENT
    await send({"type": "http.response.start", "status": status, "headers": headers.raw})


async def _relay(answer: Answer, send: Send) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers.raw})
    await send({"type": "http.response.body", "body": bytes(answer.body)})
