"""`Idempotency-Key` on every POST: a request that is sent twice is carried out once and answered twice."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from contextvars import Context
from dataclasses import dataclass, field
from http import HTTPStatus

from redis.exceptions import RedisError
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.api.errors import answer, problem
from deployments.idempotency import Claim, IdempotencyKeys, KeptAnswer, KeyInUse, KeyReused

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
BAD_KEY = (
    HTTPStatus.BAD_REQUEST,
    "bad-idempotency-key",
    f"Send an {HEADER} of 1 to 255 visible ASCII characters, such as a random UUID.",
)
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
log = logging.getLogger(__name__)


class Idempotent:
    """ASGI middleware, inside what bounds bodies. Only successes are kept: what failed may be tried again.

    A request with a key is carried out to its end though its client leaves: it can ask again for the answer.
    """

    def __init__(self, app: ASGIApp, keys: IdempotencyKeys) -> None:
        self._app = app
        self._keys = keys
        self._running: set[asyncio.Task[list[Message]]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = Headers(scope=scope).get(HEADER) if scope["type"] == "http" and scope["method"] == "POST" else None
        if key is None:
            await self._app(scope, receive, send)
            return
        if not _KEY.fullmatch(key):
            await problem(*BAD_KEY)(scope, receive, send)
            return
        body = await _body(receive)
        if body is None:
            return
        try:
            claim = await self._keys.claim(key, _fingerprint(scope, body))
        except (KeyInUse, KeyReused, RedisError) as error:
            await answer(error)(scope, receive, send)
            return
        if isinstance(claim, KeptAnswer):
            await _replay(claim)(scope, receive, send)
            return
        # A context of its own: Serve cancels the calls made in that of a client when this one leaves.
        task = asyncio.create_task(self._carry_out(scope, body, claim), context=Context())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        for message in await asyncio.shield(task):
            await send(message)

    async def _carry_out(self, scope: Scope, body: bytes, claim: Claim) -> list[Message]:
        rest: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
        said = _Said()

        async def receive() -> Message:
            return rest.pop() if rest else await asyncio.Future()

        try:
            async with claim.held():
                await self._app(scope, receive, said.take)
        except BaseException:
            await _settled(claim, None)
            raise
        await _settled(claim, said.kept())
        return said.messages


@dataclass
class _Said:
    messages: list[Message] = field(default_factory=list)

    async def take(self, message: Message) -> None:
        self.messages.append(message)

    def kept(self) -> KeptAnswer | None:
        """What a later request with the key is answered; None: it was no success."""
        start, *parts = self.messages
        if start["status"] >= HTTPStatus.MULTIPLE_CHOICES:
            return None
        headers = Headers(raw=start["headers"])
        body = b"".join(part.get("body", b"") for part in parts)
        return KeptAnswer(
            media_type=headers.get("content-type", ""), location=headers.get("location", ""), body=body.decode()
        )


async def _settled(claim: Claim, kept: KeptAnswer | None) -> None:
    try:
        await (claim.release() if kept is None else claim.keep(kept))
    except RedisError as error:
        log.warning("the answer to a key was not kept: %s", error)  # its lock runs out, and the request was answered


def _replay(kept: KeptAnswer) -> Response:
    headers = {"Cache-Control": "no-store", REPLAYED: "true"} | ({"Location": kept.location} if kept.location else {})
    return Response(kept.body, HTTPStatus.OK, headers=headers, media_type=kept.media_type)


def _fingerprint(scope: Scope, body: bytes) -> str:
    """Tells requests apart, and who may send them: a key alone is no right to another's answer."""
    asked = hashlib.sha256()
    authorization = Headers(scope=scope).get("authorization", "")
    for part in (scope["path"].encode(), scope["query_string"], authorization.encode(), body):
        asked.update(len(part).to_bytes(8, "big") + part)
    return asked.hexdigest()


async def _body(receive: Receive) -> bytes | None:
    """None: the client has left."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)
