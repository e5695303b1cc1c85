"""One small answer of the application at a time, asked for by a middleware in Serve's proxy on behalf of a client.

Serve's proxy takes a response from an ingress as fast as that sends it and keeps what the client has not read, without
a bound. So what is large or endless is pulled there piece by piece, beside the socket, where a write waits for its
reader: who stops reading pulls nothing and holds one piece.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope

PATIENCE_SECONDS = 60.0
RETRY_SECONDS = 0.5


@dataclass
class Answer:
    """A whole response."""

    status: int = HTTPStatus.SERVICE_UNAVAILABLE
    headers: Headers = field(default_factory=Headers)
    body: bytearray = field(default_factory=bytearray)

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = Headers(raw=message["headers"])
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")


@asynccontextmanager
async def until_gone(receive: Receive) -> AsyncIterator[asyncio.Task[None]]:
    """A task that is done when the client has left."""
    leaving = asyncio.create_task(_disconnected(receive))
    try:
        yield leaving
    finally:
        leaving.cancel()
        with suppress(asyncio.CancelledError):
            await leaving


async def pull(
    app: ASGIApp,
    scope: Scope,
    leaving: asyncio.Task[None],
    path: str,
    query: str = "",
    headers: Mapping[str, str | None] | None = None,
) -> Answer:
    """One GET of `app` on behalf of a client: it ends when the client leaves. A header that is None is left out."""
    first: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if first:
            return first.pop()
        await asyncio.wait({leaving})
        return {"type": "http.disconnect"}

    sent = MutableHeaders(raw=list(scope["headers"]))
    for name, value in (headers or {}).items():
        if value is None:
            del sent[name]
        else:
            sent[name] = value
    answer = Answer()
    asked = {
        **scope,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": sent.raw,
    }
    await app(asked, receive, answer.take)
    return answer


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
