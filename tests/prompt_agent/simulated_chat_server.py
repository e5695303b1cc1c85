"""A simulated language model behind real HTTP: speaks the OpenAI chat API, and says what a test tells it to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

GOOD = json.dumps({"added": "rain", "prompt": "A wet dog on a hill."})


@dataclass
class Behaviour:
    """What the next answers are. Of those without end: `silent`, no answer at all; `endless`, never another word;
    `flood`, always another one. Of those that stop: `cut_off`, the stream just ends; `broken_off`, the connection does.
    """

    text: str = GOOD
    finish: str = "stop"
    status: int = 200
    endless: bool = False
    silent: bool = False
    flood: bool = False
    cut_off: bool = False
    broken_off: bool = False
    raw: str | None = None
    """A body in place of a stream."""


@dataclass
class SimulatedChatServer:
    url: str = ""
    behaviour: Behaviour = field(default_factory=Behaviour)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """A caller went away while its answer was being written."""

    async def chat(self, request: Request) -> Response:
        self.bodies.append(await request.json())
        self.keys.append(request.headers["authorization"])
        behaviour = self.behaviour
        if behaviour.silent:
            await asyncio.Event().wait()
        if behaviour.status != 200:
            return JSONResponse({"error": {"message": "As told.", "type": "told"}}, behaviour.status)
        if behaviour.raw is not None:
            return Response(behaviour.raw, media_type="text/html")
        return StreamingResponse(self._stream(behaviour), media_type="text/event-stream")

    async def _stream(self, behaviour: Behaviour) -> AsyncIterator[str]:
        try:
            for start in range(0, len(behaviour.text), 7):
                yield _event({"content": behaviour.text[start : start + 7]})
                await asyncio.sleep(0.002)  # one by one, as a model writes them
            if behaviour.endless:
                await asyncio.Event().wait()
            while behaviour.flood:
                yield _event({"content": "more and more " * 20})
                await asyncio.sleep(0)  # to notice that the caller goes away
            if behaviour.broken_off:
                raise ConnectionResetError
            if not behaviour.cut_off:
                yield _event({}, behaviour.finish)
                yield "data: [DONE]\n\n"
        except asyncio.CancelledError:
            self.left.set()
            raise


def _event(delta: dict[str, str], finish: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    event = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}
    return f"data: {json.dumps(event)}\n\n"


@asynccontextmanager
async def simulated_chat_server() -> AsyncIterator[SimulatedChatServer]:
    """One that runs, on a port of its own."""
    simulated = SimulatedChatServer()
    app = Starlette(routes=[Route("/v1/chat/completions", simulated.chat, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", lifespan="off"))
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  (uvicorn tells of its start in no other way)
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    simulated.url = f"http://127.0.0.1:{port}/v1"
    try:
        yield simulated
    finally:
        server.should_exit = server.force_exit = True
        await task
