"""`live.mp4` without end, beside the socket: in Serve's HTTP proxy, where a write waits for its reader.

An ingress sends only answers that end, and the endless one is made of them here: the next fragment is pulled when the
last one was taken. Who reads too slowly skips; who stops reading pulls nothing and holds one fragment.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from http import HTTPStatus

from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.download import Download
from deployments.fragments import RING_SIZE
from deployments.pull import PATIENCE_SECONDS, RETRY_SECONDS, Answer, pull, until_gone
from deployments.shared import SharedAnswers

MOST_BEHIND = 2
_LIVE = re.compile(r"(?P<session>/v1/sessions/[^/]+)/live\.mp4")


def middlewares() -> list[Middleware]:
    """For RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH."""
    return [Middleware(LiveStream), Middleware(SharedAnswers), Middleware(Download)]


class LiveStream:
    """ASGI middleware. `app` answers `live.mp4` with the init segment or a problem, and `fragments` with fragments.

    The response ends with the session, with its client, or when `app` has failed for PATIENCE_SECONDS.
    """

    def __init__(self, app: ASGIApp, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        live = _LIVE.fullmatch(scope["path"]) if scope["type"] == "http" and scope["method"] == "GET" else None
        if live is None:
            await self._app(scope, receive, send)
            return
        async with until_gone(receive) as leaving:
            start = await pull(self._app, scope, leaving, scope["path"])
            await _begin(start, send)
            if start.status == HTTPStatus.OK:
                await self._follow(scope, live["session"] + "/fragments", leaving, send)
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _follow(self, scope: Scope, path: str, leaving: asyncio.Task[None], send: Send) -> None:
        last, heard, late = "", self._clock(), 0
        while not leaving.done():
            query = f"after={last}&most_behind={RING_SIZE if late else MOST_BEHIND}" if last else ""
            answer = await pull(self._app, scope, leaving, path, query)
            if answer.status == HTTPStatus.OK:
                await send({"type": "http.response.body", "body": bytes(answer.body), "more_body": True})
                last, late = answer.headers["x-fragment"], max(0, late - 1)
            elif answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                if self._clock() - heard > PATIENCE_SECONDS:
                    return
                # Who waited for another ingress is not slow: what was made meanwhile comes, one after the other.
                late = RING_SIZE
                await asyncio.wait({leaving}, timeout=RETRY_SECONDS)
                continue
            elif answer.status == HTTPStatus.BAD_REQUEST and last:
                last = ""  # the ingress and the store forgot the last fragment we had: go on from the live edge
                continue
            elif answer.status != HTTPStatus.NO_CONTENT:
                return
            heard = self._clock()


async def _begin(answer: Answer, send: Send) -> None:
    """The response's head and the first of its body; all of it unless this is the start of a video."""
    goes_on = answer.status == HTTPStatus.OK
    headers = MutableHeaders(raw=list(answer.headers.raw))
    if goes_on:
        del headers["content-length"]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers.raw})
    await send({"type": "http.response.body", "body": bytes(answer.body), "more_body": goes_on})
