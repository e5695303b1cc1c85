"""The texts of one WebSocket, each way: read as messages, written as messages, refused or closed in words."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress
from http import HTTPStatus

from fastapi import WebSocket, WebSocketDisconnect
from pydantic import ValidationError

from deployments.api import errors
from deployments.api.messages import (
    CLIENT_MESSAGE,
    AnyClientMessage,
    AnyServerMessage,
    Got,
    Hello,
    ProblemMessage,
)
from deployments.api.models import Problem

MAX_TEXT = 64 * 1024
MAX_REASON_BYTES = 120  # a close frame holds 125 bytes, two of them the code
OVER = 1000
RESTART = 1012
TOO_LARGE = 1009
log = logging.getLogger(__name__)


class Closed(Exception):
    """The connection is to be closed, with a code and a reason for people."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code, self.reason = code, reason


class Wire:
    """One client's end, accepted."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._writing = asyncio.Lock()

    async def next(self) -> AnyClientMessage | None:
        """The client's next message; None: it was none, and the client is told. Raises WebSocketDisconnect, Closed."""
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", OVER))
        text = message.get("text")
        if text is None:
            await self.refuse("bad-json", "Send texts that are JSON: a binary message means nothing here.", None)
            return None
        if len(text) > MAX_TEXT:
            raise Closed(TOO_LARGE, f"A text of more than {MAX_TEXT // 1024} KiB: send less.")
        try:
            return CLIENT_MESSAGE.validate_json(text)
        except ValidationError as error:
            await self.say(ProblemMessage(ref=_ref_in(text), problem=explained(error)))
            return None

    async def say(self, message: AnyServerMessage, data: bytes | None = None) -> None:
        """A text, with the binary message that belongs to it right behind. Nothing, once the client has left: what it
        said before is still to be read, and its leaving comes behind that."""
        async with self._writing:
            with suppress(WebSocketDisconnect, RuntimeError):
                await self._socket.send_text(message.model_dump_json())
                if data is not None:
                    await self._socket.send_bytes(data)

    async def refuse(self, code: str, detail: str, ref: str | None) -> None:
        said = errors.make_problem(HTTPStatus.CONFLICT, code, detail)
        await self.say(ProblemMessage(ref=ref, problem=said))

    async def close(self, code: int, reason: str) -> None:
        with suppress(WebSocketDisconnect, RuntimeError):  # the client may have been first
            cut = reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
            await self._socket.close(code, cut)


def explained(error: Exception) -> Problem:
    """What an exception means for the client; one that should not be is logged."""
    said, _ = errors.explain(error)
    if said.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("a message failed", exc_info=error)
    return said


def ref_of(message: AnyClientMessage) -> str | None:
    return None if isinstance(message, Hello | Got) else message.ref


def _ref_in(text: str) -> str | None:
    """That of a message that is otherwise wrong."""
    try:
        ref = json.loads(text)["ref"]
        ref.encode()
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return ref
