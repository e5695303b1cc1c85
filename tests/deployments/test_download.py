"""Downloads beside the socket: one response to the client, small ones from the application, nothing piled up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

import httpx
import pytest
from fastapi import FastAPI, Header, Response
from starlette.types import Message, Receive, Scope, Send

from deployments import download
from deployments.byte_range import Unsatisfiable, content_range, wanted
from deployments.download import Download

URL = "/v1/sessions/s1/exports/e1/content"
FILE = bytes(range(256)) * 4
ETAG = '"e1"'
PIECE = 100


class Ingress:
    """Answers as the API does, ranges of at most PIECE bytes; `faults` answers before the next one are 503."""

    def __init__(self) -> None:
        self.asked: list[str | None] = []
        self.faults = 0
        self.api = FastAPI()

        @self.api.get(URL)
        async def content(asked: Annotated[str | None, Header(alias="range")] = None) -> Response:
            self.asked.append(asked)
            if self.faults and asked != "bytes=0-0":
                self.faults -= 1
                return Response(status_code=503)
            try:
                part = wanted(asked, None, ETAG, len(FILE))
            except Unsatisfiable:
                return Response(b"too far", 416)
            assert part is not None, "the whole file at once would pile up in the proxy"
            part = part[:PIECE]
            headers = {"ETag": ETAG, "Content-Range": content_range(part, len(FILE))}
            return Response(FILE[part.start : part.stop], 206, headers)

        @self.api.get("/v1/sessions/s1/exports/e2/content")
        async def unfinished() -> Response:
            return Response(b"not yet", 409)


@pytest.fixture
def ingress(monkeypatch: pytest.MonkeyPatch) -> Ingress:
    monkeypatch.setattr(download, "PIECE_BYTES", PIECE)
    monkeypatch.setattr(download, "RETRY_SECONDS", 0.0)
    return Ingress()


@pytest.fixture
async def http(ingress: Ingress) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(Download(ingress.api))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def test_a_file_arrives_whole_in_pieces(ingress: Ingress, http: httpx.AsyncClient) -> None:
    answer = await http.get(URL)
    assert (answer.status_code, answer.content) == (200, FILE)
    assert (answer.headers["content-length"], answer.headers["etag"]) == ("1024", ETAG)
    assert "content-range" not in answer.headers
    assert ingress.asked[:3] == ["bytes=0-0", "bytes=0-99", "bytes=100-199"]
    assert len(ingress.asked) == 1 + 11


async def test_a_range_larger_than_a_piece_arrives_whole(http: httpx.AsyncClient) -> None:
    for asked, start, stop in (("bytes=50-349", 50, 350), ("bytes=900-", 900, 1024), ("bytes=-300", 724, 1024)):
        answer = await http.get(URL, headers={"Range": asked, "If-Range": ETAG})
        assert (answer.status_code, answer.content) == (206, FILE[start:stop])
        assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/1024"
        assert answer.headers["content-length"] == str(stop - start)


async def test_a_range_of_another_version_is_answered_with_the_whole_file(http: httpx.AsyncClient) -> None:
    answer = await http.get(URL, headers={"Range": "bytes=50-", "If-Range": '"old"'})
    assert (answer.status_code, answer.content) == (200, FILE)


async def test_what_is_no_file_is_passed_on(http: httpx.AsyncClient) -> None:
    answer = await http.get(URL.replace("e1", "e2"))
    assert (answer.status_code, answer.content) == (409, b"not yet")
    answer = await http.get(URL, headers={"Range": "bytes=1024-"})
    assert (answer.status_code, answer.content) == (416, b"too far")


async def test_an_ingress_that_fails_for_a_moment_is_asked_again(ingress: Ingress, http: httpx.AsyncClient) -> None:
    ingress.faults = 3
    assert (await http.get(URL)).content == FILE


class Client:
    """A reader that takes `reads` messages and then none, until it leaves."""

    def __init__(self, reads: int) -> None:
        self.got: list[Message] = []
        self.left = asyncio.Event()
        self._reads = reads

    async def receive(self) -> Message:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if len(self.got) >= self._reads:
            await self.left.wait()
        self.got.append(message)


def request() -> Scope:
    return {"type": "http", "method": "GET", "path": URL, "raw_path": URL.encode(), "query_string": b"", "headers": []}


async def test_who_stops_reading_holds_one_piece(ingress: Ingress) -> None:
    client = Client(reads=3)
    running = asyncio.create_task(Download(ingress.api)(request(), client.receive, client.send))
    for _ in range(500):
        await asyncio.sleep(0)
    assert ingress.asked == ["bytes=0-0", "bytes=0-99", "bytes=100-199", "bytes=200-299"]
    client.left.set()
    await running


async def test_a_response_breaks_off_when_the_file_is_gone_for_good() -> None:
    """It must not look complete."""
    tries = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal tries
        tries += 1
        if tries <= 2:
            headers = [(b"content-range", b"bytes 0-0/1000"), (b"etag", b'"e"')]
            await send({"type": "http.response.start", "status": 206, "headers": headers})
            await send({"type": "http.response.body", "body": b"x"})
        else:
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    client = Client(reads=99)
    await Download(app)(request(), client.receive, client.send)
    assert [message.get("more_body") for message in client.got] == [None, True]
