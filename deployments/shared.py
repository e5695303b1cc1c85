"""One answer for all who ask the same: many viewers of a session cost the ingress one request per fragment.

It is a middleware of Serve's HTTP proxy. A request that passes Serve takes some 3 ms of the proxy and an ingress
together, and the viewers of a session all want the same bytes at the same moment.
"""

from __future__ import annotations

import asyncio
import re
from contextvars import Context
from dataclasses import dataclass, field
from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.pull import Answer, pull, until_gone

_SHARED = (
    (re.compile(r"/v1/sessions/[^/]+/(fragments|init\.mp4|hls/[^/]+)"), 0.5),
    (re.compile(r"/v1/sessions/[^/]+"), 0.25),
    (re.compile(r"/v1/sessions/[^/]+/(thumbnails(/[^/]+)?|poster\.jpg)"), 2.0),
)
"""What is shared, and for so many seconds an answer serves those who come after it.

Most chunks last longer: hardly anybody is held back by one. A session is told as it was a moment ago at most.
"""


@dataclass
class _Question:
    """A request on its way, on behalf of all who ask the same. It ends when the last of them leaves."""

    answering: asyncio.Task[Answer] | None = None
    askers: int = 0
    abandoned: asyncio.Event = field(default_factory=asyncio.Event)


class SharedAnswers:
    """ASGI middleware: of a client only path and query reach `app` where viewers ask the same, the rest as it is.

    Good answers are kept for `keep_s` (None: as _SHARED says). Who joins a question that ends without content asks once
    more, to wait for as long as it meant to. Nothing is shared with who says who they are.
    """

    def __init__(self, app: ASGIApp, keep_s: float | None = None) -> None:
        self._app = app
        self._keep_s = keep_s
        self._questions: dict[tuple[str, bytes], _Question] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kept = _kept_seconds(scope)
        if kept is None:
            await self._app(scope, receive, send)
            return
        keep_s = kept if self._keep_s is None else self._keep_s
        joins = (scope["path"], scope["query_string"]) in self._questions
        async with until_gone(receive) as leaving:
            answer = await self._answer(scope, keep_s, leaving)
            if joins and answer and answer.status == HTTPStatus.NO_CONTENT:
                answer = await self._answer(scope, keep_s, leaving)
        if answer:
            await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers.raw})
            await send({"type": "http.response.body", "body": bytes(answer.body)})

    async def _answer(self, scope: Scope, keep_s: float, leaving: asyncio.Task[None]) -> Answer | None:
        """None: the client has left."""
        key = (scope["path"], scope["query_string"])
        question = self._questions.get(key)
        if question is None:
            question = self._questions[key] = _Question()
            # A context of its own: it is nobody's request.
            question.answering = asyncio.create_task(self._ask(scope, question, keep_s), context=Context())
        assert question.answering is not None
        question.askers += 1
        try:
            await asyncio.wait({question.answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            return question.answering.result() if question.answering.done() else None
        finally:
            question.askers -= 1
            if not question.askers and not question.answering.done():
                question.abandoned.set()
                self._forget(key, question)

    async def _ask(self, scope: Scope, question: _Question, good_s: float) -> Answer:
        key = (scope["path"], scope["query_string"])
        host = [(name, value) for name, value in scope["headers"] if name == b"host"]
        abandoned = asyncio.create_task(_happened(question.abandoned))
        keep_s = 0.0
        try:
            answer = await pull(self._app, {**scope, "headers": host}, abandoned, key[0], key[1].decode())
            if answer.status == HTTPStatus.OK:
                keep_s = good_s
            return answer
        finally:
            abandoned.cancel()
            asyncio.get_running_loop().call_later(keep_s, self._forget, key, question)

    def _forget(self, key: tuple[str, bytes], question: _Question) -> None:
        if self._questions.get(key) is question:
            del self._questions[key]


def _kept_seconds(scope: Scope) -> float | None:
    """None: it is not shared."""
    if scope["type"] != "http" or scope["method"] != "GET":
        return None
    if any(name == b"authorization" for name, _ in scope["headers"]):
        return None
    return next((seconds for path, seconds in _SHARED if path.fullmatch(scope["path"])), None)


async def _happened(event: asyncio.Event) -> None:
    await event.wait()
