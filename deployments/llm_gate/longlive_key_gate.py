"""Every route of vLLM wants its key: by itself it asks for one under some paths, and generates under others too."""

from __future__ import annotations

import os
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class KeyGate:
    """An ASGI middleware: 401, or a websocket that is refused, for whoever does not bring `VLLM_API_KEY`."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._pass = f"Bearer {os.environ['VLLM_API_KEY']}".encode()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or self._knows(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            headers = [(b"content-length", b"0"), (b"www-authenticate", b"Bearer")]
            await send({"type": "http.response.start", "status": 401, "headers": headers})
            await send({"type": "http.response.body", "body": b""})

    def _knows(self, scope: Message) -> bool:
        brought = dict(scope["headers"]).get(b"authorization", b"")
        return secrets.compare_digest(brought, self._pass)
