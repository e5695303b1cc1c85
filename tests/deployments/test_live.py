"""`live.mp4` beside the socket: in order for who reads, skipping for who is slow, nothing for who stops."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs

import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from deployments.live import MOST_BEHIND, LiveStream

PATH = "/v1/sessions/s/live.mp4"
MIB = 1024 * 1024


class FakeIngress:
    """An app with a session whose newest fragment a test moves. A fragment's body is its number in brackets."""

    def __init__(self, size: int = 0) -> None:
        self.newest = 0
        self.over = False
        self.failures = 0
        self.forgets = False
        self.asked: list[str] = []
        self.disconnected = asyncio.Event()
        self.news = asyncio.Event()
        self._size = size

    def move(self, newest: int) -> None:
        self.newest = newest
        self.news.set()
        self.news = asyncio.Event()

    def end(self) -> None:
        self.over = True
        self.move(self.newest)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.append(scope["path"])
        await (await self._answer(Request(scope, receive), receive))(scope, receive, send)

    async def _answer(self, request: Request, receive: Receive) -> Response:
        if request.url.path == PATH:
            return Response(b"init", media_type="video/mp4")
        if request.url.path != "/v1/sessions/s/fragments":
            return Response(b"no such session", 404)
        if self.failures:
            self.failures -= 1
            return Response(status_code=503)
        query = {name: int(values[0]) for name, values in parse_qs(request.url.query).items()}
        if self.forgets and "after" in query:
            self.forgets, self.newest = False, 1
            return Response(status_code=400)
        after = query.get("after", self.newest - 1)
        while self.newest <= after and not self.over:
            assert (await receive())["type"] == "http.request"
            waiting = [asyncio.ensure_future(receive()), asyncio.ensure_future(self.news.wait())]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in waiting:
                task.cancel()
            if not waiting[0].cancelled() and waiting[0].done():
                self.disconnected.set()
                return Response(status_code=499)
        if self.newest <= after:
            return Response(b"over", 410)
        chunk = after + 1 if self.newest - after <= query.get("most_behind", 1) else self.newest
        return Response(b"<%d>" % chunk + bytes(self._size), headers={"X-Fragment": str(chunk)})


class FakeClient:
    """The socket's side: takes parts while it reads."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.ended = False
        self.reading = asyncio.Event()
        self.reading.set()
        self.left = asyncio.Event()
        self.more = asyncio.Event()
        self._requested = False

    async def receive(self) -> Message:
        if not self._requested:
            self._requested = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        await self.reading.wait()
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
            return
        self.parts.append(message["body"])
        self.more.set()
        self.more = asyncio.Event()
        self.ended = not message.get("more_body")

    async def has(self, count: int) -> None:
        while len(self.parts) < count:
            await self.more.wait()


@asynccontextmanager
async def reading(ingress: FakeIngress, path: str = PATH) -> AsyncIterator[tuple[FakeClient, asyncio.Task[None]]]:
    client = FakeClient()
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
    }
    response = asyncio.create_task(LiveStream(ingress)(scope, client.receive, client.send))
    try:
        yield client, response
    finally:
        client.left.set()
        client.reading.set()
        await response


async def test_a_reader_gets_the_start_then_every_fragment_until_the_session_ends() -> None:
    ingress = FakeIngress()
    async with reading(ingress) as (client, response):
        for chunk in range(1, 5):
            await client.has(1 + chunk)
            ingress.move(chunk)
        await client.has(6)
        ingress.end()
        await response
    assert (client.status, client.parts) == (200, [b"init", b"<0>", b"<1>", b"<2>", b"<3>", b"<4>", b""])
    assert client.ended
    assert b"content-length" not in client.headers


async def test_a_reader_that_stops_pulls_nothing_and_then_skips_to_the_newest() -> None:
    ingress = FakeIngress()
    async with reading(ingress) as (client, _):
        await client.has(2)
        client.reading.clear()
        for chunk in range(1, 100):
            ingress.move(chunk)
            for _ in range(20):
                await asyncio.sleep(0)
        pulls = ingress.asked.count("/v1/sessions/s/fragments")
        assert pulls <= 3, "a stopped reader's fragments were pulled all the same"
        client.reading.set()
        await client.has(4)
    assert client.parts[:2] == [b"init", b"<0>"]
    assert client.parts[3] == b"<99>"


async def test_a_reader_a_little_behind_misses_nothing() -> None:
    ingress = FakeIngress()
    async with reading(ingress) as (client, _):
        await client.has(2)
        ingress.newest = MOST_BEHIND
        ingress.move(MOST_BEHIND)
        await client.has(2 + MOST_BEHIND)
    assert client.parts[:4] == [b"init", b"<0>", b"<1>", b"<2>"]


async def test_a_service_that_forgot_the_last_fragment_goes_on_from_the_live_edge() -> None:
    ingress = FakeIngress()
    ingress.newest = 5
    async with reading(ingress) as (client, _):
        await client.has(2)
        ingress.forgets = True
        ingress.move(6)
        await client.has(4)
    assert client.parts[:4] == [b"init", b"<5>", b"<6>", b"<1>"]


async def test_a_refusal_is_passed_on_as_it_is() -> None:
    ingress = FakeIngress()
    async with reading(ingress, "/v1/sessions/unknown/live.mp4") as (client, response):
        await response
    assert (client.status, client.parts, client.ended) == (404, [b"no such session"], True)


async def test_a_failing_ingress_is_asked_again() -> None:
    ingress = FakeIngress()
    ingress.failures = 1
    async with reading(ingress) as (client, _):
        await client.has(2)
    assert client.parts[1] == b"<0>"


async def test_a_client_that_leaves_ends_its_pull() -> None:
    ingress = FakeIngress()
    async with reading(ingress) as (client, response):
        await client.has(2)
        await asyncio.sleep(0)
        client.left.set()
        await response
    assert ingress.disconnected.is_set()


async def test_other_paths_are_left_alone() -> None:
    ingress = FakeIngress()
    async with reading(ingress, "/v1/sessions/s/init.mp4") as (_, response):
        await response
    assert ingress.asked == ["/v1/sessions/s/init.mp4"]


async def test_a_socket_that_nobody_reads_holds_little_of_a_large_video() -> None:
    """With a real server and fragments of 1 MiB: what was pulled is what the kernel's buffers took, and one more."""

    class Endless(FakeIngress):
        async def _answer(self, request: Request, receive: Receive) -> Response:
            self.move(self.newest + 1)
            if len(self.asked) > 64:
                self.disconnected.set()
            return await super()._answer(request, receive)

    ingress = Endless(size=MIB)
    server = uvicorn.Server(uvicorn.Config(LiveStream(ingress), port=0, lifespan="off", log_level="error"))
    listener = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve([listener]))
    with socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(reader, listener.getsockname())
        await loop.sock_sendall(reader, f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await loop.sock_recv(reader, 256)
        too_much = asyncio.create_task(ingress.disconnected.wait())
        await asyncio.wait({too_much}, timeout=1.0)
        assert not too_much.done(), "64 MiB were pulled for a reader that reads nothing"
        too_much.cancel()
    server.should_exit = True
    await serving


async def test_a_reader_that_waited_for_another_ingress_misses_nothing_that_is_kept() -> None:
    ingress = FakeIngress()
    async with reading(ingress) as (client, _):
        await client.has(2)
        ingress.failures = 1
        ingress.move(1)  # the answer to who waits already
        await client.has(3)
        ingress.move(7)
        await client.has(9)
        client.reading.clear()
        ingress.move(8)
    assert client.parts[1:9] == [b"<%d>" % chunk for chunk in range(8)]
