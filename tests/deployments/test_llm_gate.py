"""The gate before vLLM's routes: who brings the key passes, and nobody else, by whatever route or protocol."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from deployments.llm_gate.longlive_key_gate import KeyGate

KEY = {"Authorization": "Bearer secret"}


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> TestClient:
    async def say(request: Any) -> PlainTextResponse:
        return PlainTextResponse("words")

    async def speak(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text("words")

    monkeypatch.setenv("VLLM_API_KEY", "secret")
    routes = [Route("/{path:path}", say, methods=["GET", "POST", "OPTIONS"]), WebSocketRoute("/v1/realtime", speak)]
    return TestClient(KeyGate(Starlette(routes=routes)))


@pytest.mark.parametrize("path", ["/invocations", "/health", "/v1/models", "/", "/metrics"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_every_route_wants_the_key(client: TestClient, method: str, path: str) -> None:
    assert client.request(method, path, headers=KEY).text == "words"
    for headers in ({}, {"Authorization": "Bearer other"}, {"Authorization": "secret"}, {"Authorization": "Bearer "}):
        answer = client.request(method, path, headers=headers)
        assert (answer.status_code, answer.text) == (401, "")


def test_a_websocket_wants_it_too(client: TestClient) -> None:
    with client.websocket_connect("/v1/realtime", headers=KEY) as socket:
        assert socket.receive_text() == "words"
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/v1/realtime"):
        pass


def test_the_start_of_the_server_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    passed: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        passed.append(scope["type"])

    monkeypatch.setenv("VLLM_API_KEY", "secret")
    asyncio.run(KeyGate(app)({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert passed == ["lifespan"]
