"""The API over parts that fail: what can be done without them is done, what cannot is said."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI
from redis.exceptions import ConnectionError as RedisConnectionError
from redis_store import Store
from starlette.types import Message, Receive, Scope, Send

from deployments.api.body import BodyGuard
from deployments.api.services import Services
from deployments.calls import PartDown
from deployments.hub import Hub
from deployments.ingress import build_api
from deployments.model_view import UnreadWords
from deployments.session import Session, SessionCreated

CREATED = SessionCreated(prompt="a ball", seed=0, model="m", width=64, height=64, fps=16)


class Parts:
    """Everything beside the store, with switches for what is down."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.dying_generators = 0
        self.deaf = False
        self.opened: list[str] = []

    async def open(self, sid: str, prompt: str, seed: int | None) -> Session:
        self.opened.append(sid)
        if len(self.opened) <= self.dying_generators:
            raise PartDown("generator")
        return await self.store.timeline.create(sid, CREATED)

    async def unread_words(self, text: str) -> UnreadWords:
        if self.deaf:
            raise PartDown("text encoder")
        return UnreadWords(unknown=("zyzzyva",), cut=("and", "so", "on"))

    async def down(self, *_: object) -> object:
        raise PartDown("video encoder")


@asynccontextmanager
async def no_lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield


@pytest.fixture
def parts(store: Store) -> Parts:
    return Parts(store)


@pytest.fixture
async def http(parts: Parts) -> AsyncIterator[httpx.AsyncClient]:
    services = Services(
        model=parts.down,
        timeline=parts.store.timeline,
        generators=parts,
        hub=Hub(parts.down, parts.down, parts.down),
        unread_words=parts.unread_words,
        init_segment=parts.down,
        ready=parts.down,
    )
    transport = httpx.ASGITransport(build_api(services, no_lifespan))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def test_words_that_change_nothing_are_named_with_the_reason(http: httpx.AsyncClient) -> None:
    told = (await http.post("/v1/sessions", json={"prompt": "a zyzzyva and so on"})).json()["warnings"]
    assert "does not know the word 'zyzzyva'" in told[0]
    assert "too long" in told[1]
    assert "'and so on'" in told[1]


async def test_a_prompt_is_taken_though_nothing_can_be_said_about_its_words(
    http: httpx.AsyncClient, parts: Parts
) -> None:
    parts.deaf = True
    answer = await http.post("/v1/sessions", json={"prompt": "a ball"})
    assert (answer.status_code, answer.json()["warnings"]) == (201, [])
    sid = answer.json()["id"]
    answer = await http.post(f"/v1/sessions/{sid}/prompts", json={"text": "it rains"})
    assert (answer.status_code, answer.json()["warnings"]) == (202, [])


async def test_a_command_is_taken_once_it_is_written_though_nobody_can_be_rung(
    http: httpx.AsyncClient, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    sid = (await http.post("/v1/sessions", json={"prompt": "a ball"})).json()["id"]

    async def away(*_: object) -> None:
        raise RedisConnectionError

    monkeypatch.setattr(parts.store.timeline, "ring", away)
    assert (await http.post(f"/v1/sessions/{sid}/prompts", json={"text": "it rains"})).status_code == 202
    assert (await http.delete(f"/v1/sessions/{sid}")).status_code == 204
    kinds = [entry.type for entry in await parts.store.timeline.read(sid)]
    assert kinds == ["session.created", "prompt.requested", "end.requested"]


async def test_a_generator_that_dies_over_a_new_session_is_not_the_last(http: httpx.AsyncClient, parts: Parts) -> None:
    parts.dying_generators = 1
    answer = await http.post("/v1/sessions", json={"prompt": "a ball"})
    assert answer.status_code == 201
    dead, alive = parts.opened
    assert dead != alive == answer.json()["id"]


async def test_a_part_that_is_down_is_named_with_a_time_to_come_back(http: httpx.AsyncClient, parts: Parts) -> None:
    parts.dying_generators = 2
    answer = await http.post("/v1/sessions", json={"prompt": "a ball"})
    assert (answer.status_code, answer.json()["code"]) == (503, "part-down")
    assert "generator" in answer.json()["detail"]
    assert answer.headers["retry-after"] == "2"
    answer = await http.get("/readyz")
    assert (answer.status_code, "video encoder" in answer.json()["detail"]) == (503, True)


async def test_a_request_whose_client_left_in_its_middle_is_not_carried_out() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        pytest.fail("half a body was taken for a whole one")

    messages: list[Message] = [
        {"type": "http.disconnect"},
        {"type": "http.request", "body": b'{"prompt": "a', "more_body": True},
    ]

    async def receive() -> Message:
        return messages.pop()

    async def send(_: Message) -> None:
        pytest.fail("nobody is there to be answered")

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", b"application/json")]}
    await BodyGuard(app)(scope, receive, send)
    assert not messages
