"""One connection for commands, events and fragments: over a real server, with a client that everybody uses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from api_parts import Parts, served
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from deployments.api import websocket
from deployments.api.messages import SERVER_MESSAGE

SECONDS = 10.0


class Socket:
    """A client that keeps what came, and checks that each text is one of the models."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.came: list[dict[str, Any]] = []
        self._binary_follows = ""

    async def say(self, kind: str, **fields: Any) -> None:
        await self.connection.send(json.dumps({"type": kind, **fields}))

    async def next(self) -> dict[str, Any]:
        """What comes next; a binary message is joined to the text that told of it."""
        text = await self.connection.recv()
        assert isinstance(text, str)
        SERVER_MESSAGE.validate_json(text)
        message = json.loads(text)
        if message["type"] in ("init", "fragment"):
            message["data"] = await self.connection.recv()
            assert isinstance(message["data"], bytes)
        self.came.append(message)
        return message

    async def until(self, kind: str, **having: Any) -> dict[str, Any]:
        async with asyncio.timeout(SECONDS):
            while True:
                message = await self.next()
                if message["type"] == kind and having.items() <= message.items():
                    return message

    async def closed(self) -> tuple[int, str]:
        """Read to the end; how the connection was closed."""
        try:
            async with asyncio.timeout(SECONDS):
                while True:
                    await self.next()
        except ConnectionClosed as error:
            closed = error.rcvd
        assert closed is not None
        return closed.code, closed.reason

    def kinds(self) -> list[str]:
        return [message["type"] for message in self.came]

    def entries(self) -> list[str]:
        return [message["entry"]["type"] for message in self.came if message["type"] == "entry"]


class Server:
    """The API with one session."""

    def __init__(self, host: str, created: dict[str, Any]) -> None:
        self.sid, self.token = created["id"], created["control_token"]
        self._host = host

    @asynccontextmanager
    async def connect(self, sid: str | None = None) -> AsyncIterator[Socket]:
        async with connect(f"ws://{self._host}/v1/sessions/{sid or self.sid}/ws") as connection:
            yield Socket(connection)

    @asynccontextmanager
    async def greeted(self, **hello: Any) -> AsyncIterator[Socket]:
        """A connection that steers."""
        async with self.connect() as socket:
            await socket.say("hello", token=self.token, **hello)
            await socket.until("welcome")
            yield socket


@pytest.fixture
async def server(parts: Parts) -> AsyncIterator[Server]:
    async with served(parts) as host, httpx.AsyncClient(base_url=f"http://{host}") as http:
        created = (await http.post("/v1/sessions", json={"prompt": "a ball", "max_seconds": 60})).json()
        yield Server(host, created)


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(SECONDS):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_everything_comes_over_one_connection(server: Server, parts: Parts) -> None:
    async with server.greeted() as socket:
        assert socket.came[0]["session"]["id"] == server.sid
        assert socket.came[0]["steers"]
        await parts.make(server.sid, 1)
        assert (await socket.until("fragment"))["data"] == b"fragment 0"
        await socket.say("got", chunk=0)
        await socket.say("prompt", text="it rains", at={"frame": 100}, ref="mine")
        answer = await socket.until("answer", ref="mine")
        assert (answer["prompt"]["status"], answer["prompt"]["at_frame"]) == ("accepted", 100)
        await socket.say("cancel", prompt_id=answer["prompt"]["prompt_id"])
        await socket.until("answer")
        await parts.make(server.sid, 1)
        assert (await socket.until("fragment"))["chunk"] == 1
        assert (await socket.until("stats"))["session"]["chunks"] >= 1
        await socket.say("end")
        await socket.until("answer")
        await parts.end(server.sid)
        assert await socket.closed() == (1000, "The session is over.")
    assert socket.came[-1]["type"] == "over"
    assert socket.came[-1]["session"]["status"] == "ended"
    assert [message["data"] for message in socket.came if message["type"] == "init"] == [b"init"]
    assert socket.kinds().index("init") < socket.kinds().index("fragment")
    assert socket.entries() == [
        "session.created",
        "session.starting",
        "session.live",
        "prompt.requested",
        "prompt.cancel_requested",
        "end.requested",
        "session.ended",
    ]


async def test_who_comes_back_goes_on_where_it_was(server: Server, parts: Parts) -> None:
    await parts.make(server.sid, 3)
    async with server.greeted() as socket:
        live = await socket.until("entry")
        while live["entry"]["type"] != "session.live":
            live = await socket.until("entry")
    async with server.greeted(after_event=live["entry"]["id"], after_fragment=1) as socket:
        assert (await socket.until("fragment"))["chunk"] == 2
        await parts.end(server.sid)
        await socket.closed()
    assert socket.entries() == ["session.ended"]


async def test_who_only_watches_sees_everything_and_changes_nothing(server: Server, parts: Parts) -> None:
    before = await parts.kinds(server.sid)
    async with server.connect() as socket:
        await socket.say("hello")
        assert not (await socket.until("welcome"))["steers"]
        for command in (
            ("prompt", {"text": "x"}),
            ("cancel", {"prompt_id": "1"}),
            ("pause", {}),
            ("resume", {}),
            ("end", {}),
        ):
            await socket.say(command[0], **command[1], ref=command[0])
            problem = (await socket.until("problem", ref=command[0]))["problem"]
            assert (problem["status"], problem["code"]) == (401, "not-authorized")
        assert await parts.kinds(server.sid) == before
        await parts.make(server.sid, 1)
        assert (await socket.until("fragment"))["chunk"] == 0


async def test_a_connection_without_video_holds_no_viewer(server: Server, parts: Parts) -> None:
    await parts.make(server.sid, 2)
    async with server.greeted(fragments=False) as socket:
        await parts.end(server.sid)
        await socket.closed()
    assert not {"init", "fragment"} & set(socket.kinds())


async def test_pause_and_resume_and_their_refusals_have_the_ref(server: Server, parts: Parts) -> None:
    async with server.greeted() as socket:
        await socket.say("pause", ref="early")
        assert (await socket.until("problem", ref="early"))["problem"]["code"] == "not-live"
        await parts.make(server.sid, 1)
        await socket.say("pause", ref="p")
        assert (await socket.until("answer", ref="p"))["session"]["status"] == "live"
        await parts.pause(server.sid)
        await socket.say("resume", ref="r")
        assert (await socket.until("answer", ref="r"))["session"]["status"] == "live"


@pytest.mark.parametrize(
    ("text", "code", "ref"),
    [
        ("{", "bad-json", None),
        ("[1]", "invalid-request", None),
        ('"hello"', "invalid-request", None),
        ('{"type": "fly", "ref": "a"}', "invalid-request", "a"),
        ('{"type": "prompt", "ref": "b"}', "invalid-request", "b"),
        ('{"type": "prompt", "text": "x", "sede": 1, "ref": 7}', "invalid-request", None),
        ('{"type": "prompt", "text": "x", "at": {"seconds": "1"}, "ref": "c"}', "invalid-request", "c"),
        ('{"type": "got", "chunk": -1}', "invalid-request", None),
        ('{"type": "cancel", "prompt_id": "unknown", "ref": "d"}', "no-such-prompt", "d"),
        ('{"type": "prompt", "text": "x", "at": {"seconds": 90}, "ref": "e"}', "after-the-end", "e"),
        ('{"type": "prompt", "text": "\\ud800", "ref": "f"}', "bad-json", "f"),
        ('{"type": "prompt", "text": 1, "ref": "\\ud800"}', "bad-json", None),
        ("[" * 60_000, "bad-json", None),
        ('{"type": "hello"}', "hello-again", None),
        (b"{}", "bad-json", None),
    ],
)
async def test_rubbish_is_answered_and_the_connection_stays(
    server: Server, text: str | bytes, code: str, ref: str | None
) -> None:
    async with server.greeted() as socket:
        await socket.connection.send(text)
        problem = await socket.until("problem")
        assert (problem["problem"]["code"], problem["ref"]) == (code, ref)
        assert len(problem["problem"]["detail"].split()) >= 6
        await socket.say("prompt", text="it rains", ref="after")
        await socket.until("answer", ref="after")


@pytest.mark.parametrize(
    ("hello", "code"),
    [
        ({"token": "wrong"}, 4403),
        ({"token": ""}, 4401),
        ({"after_event": "rubbish"}, 4400),
        ({"after_event": "1-0"}, 4410),
        ({"after_fragment": 7}, 4400),
    ],
)
async def test_a_wrong_hello_is_a_close_with_a_reason(server: Server, hello: dict[str, Any], code: int) -> None:
    async with server.connect() as socket:
        await socket.say("hello", **hello)
        closed, reason = await socket.closed()
    assert closed == code
    assert reason
    assert socket.kinds() == ["problem"]
    assert socket.came[0]["problem"]["detail"].startswith(reason[:40])


async def test_a_session_that_is_unknown_is_a_close_with_a_reason(server: Server) -> None:
    async with server.connect("unknown") as socket:
        code, reason = await socket.closed()
    assert code == 4404
    assert "no session 'unknown'" in reason


async def test_a_session_that_is_over_tells_its_history_and_closes(server: Server, parts: Parts) -> None:
    await parts.make(server.sid, 1)
    await parts.end(server.sid)
    async with server.greeted() as socket:
        assert (await socket.closed())[0] == 1000
    assert socket.entries()[-1] == "session.ended"
    assert socket.kinds()[-1] == "over"


async def test_hello_comes_first(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async with server.connect() as socket:
        await socket.say("end", ref="x")
        assert (await socket.until("problem", ref="x"))["problem"]["code"] == "hello-first"
    monkeypatch.setattr(websocket, "HELLO_SECONDS", 0.05)
    async with server.connect() as socket:
        assert (await socket.closed())[0] == 4408


async def test_a_text_without_end_is_a_close(server: Server) -> None:
    async with server.greeted() as socket:
        await socket.connection.send(" " * 70_000)
        assert (await socket.closed())[0] == 1009


async def test_a_slow_client_is_sent_two_ahead_and_then_the_newest(server: Server, parts: Parts) -> None:
    async with server.greeted() as socket:
        await parts.make(server.sid, 1)
        assert (await socket.until("fragment"))["chunk"] == 0
        for _ in range(7):
            await parts.make(server.sid, 1)
        assert (await socket.until("fragment"))["chunk"] >= 1
        while (await socket.until("stats"))["session"]["chunks"] < 8:
            pass
        sent = [message["chunk"] for message in socket.came if message["type"] == "fragment"]
        assert len(sent) == 2, "no third without a got"
        await socket.say("got", chunk=sent[-1])
        assert (await socket.until("fragment"))["chunk"] == 7


async def test_who_never_says_got_is_closed(server: Server, parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "SILENT_SECONDS", 0.1)
    await parts.make(server.sid, 1)
    async with server.greeted() as socket:
        await socket.until("fragment")
        await parts.make(server.sid, 2)
        code, reason = await socket.closed()
    assert code == 4408
    assert "got" in reason


async def test_who_leaves_one_fragment_without_a_got_is_closed(
    server: Server, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "SILENT_SECONDS", 0.1)
    await parts.make(server.sid, 1)
    async with server.greeted() as socket:
        assert (await socket.closed())[0] == 4408


async def test_a_client_that_answers_no_ping_is_cut_off(parts: Parts) -> None:
    async with served(parts, ping_seconds=0.2) as host, httpx.AsyncClient(base_url=f"http://{host}") as http:
        created = (await http.post("/v1/sessions", json={"prompt": "a ball"})).json()
        name, port = host.split(":")
        reader, writer = await asyncio.open_connection(name, int(port))
        writer.write(
            f"GET {created['links']['ws']} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        hello = b'{"type": "hello", "fragments": false}'
        writer.write(bytes([0x81, 0x80 | len(hello), 0, 0, 0, 0]) + hello)  # a text, masked with zeros
        async with asyncio.timeout(SECONDS):
            came = await reader.read()
        writer.close()
    assert came.endswith(b"keepalive ping timeout")


async def test_a_last_word_is_heard_though_its_client_left(server: Server, parts: Parts) -> None:
    async with server.greeted() as socket:
        await socket.say("prompt", text="it rains")
        await socket.say("end")
    async with asyncio.timeout(SECONDS):
        while (kinds := await parts.kinds(server.sid))[-1] != "end.requested":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert "prompt.requested" in kinds


async def test_a_client_that_vanishes_leaves_nothing_behind(server: Server, parts: Parts) -> None:
    tasks = len(asyncio.all_tasks())
    for _ in range(5):
        async with server.greeted() as socket:
            socket.connection.transport.abort()
    await until(lambda: len(asyncio.all_tasks()) <= tasks + 1)  # the session's one upstream stays a moment


async def test_what_is_no_websocket_is_told(server: Server, http: httpx.AsyncClient) -> None:
    answer = await http.get(f"/v1/sessions/{server.sid}/ws")
    assert (answer.status_code, answer.json()["code"]) == (426, "websocket-only")


async def test_who_is_told_to_go_knows_where_to_go_on_and_is_served_until_then(server: Server, parts: Parts) -> None:
    await parts.make(server.sid, 2)
    async with server.greeted() as socket:
        await socket.until("fragment")
        last = await socket.until("fragment")
        await socket.say("got", chunk=last["chunk"])
        async with asyncio.timeout(SECONDS):
            while "session.live" not in socket.entries():
                await socket.next()
        parts.farewell.say(3.0)
        told = await socket.until("goAway")
        assert (told["seconds"], told["resume"]["after"]) == (3.0, 1)
        entries = [message["entry"]["id"] for message in socket.came if message["type"] == "entry"]
        assert told["resume"]["event"] == entries[-1]
        await parts.make(server.sid, 1)
        assert (await socket.until("fragment"))["chunk"] == 2
        assert (await socket.closed())[0] == 1012


async def test_events_say_go_away_and_end_and_go_on_behind_their_last(
    server: Server, parts: Parts, http: httpx.AsyncClient
) -> None:
    await parts.make(server.sid, 1)
    parts.farewell.say()
    answer = await http.get(f"/v1/sessions/{server.sid}/events")
    blocks = [block.split("\n") for block in answer.text.strip().split("\n\n")]
    ids = [line.removeprefix("id: ") for block in blocks for line in block if line.startswith("id: ")]
    assert blocks[-1][0] == "event: goAway"
    resume = json.loads(blocks[-1][1].removeprefix("data: "))["resume"]
    assert resume["event"] == ids[-1]
    await parts.end(server.sid)
    rest = await http.get(f"/v1/sessions/{server.sid}/events", headers={"Last-Event-ID": ids[-1]})
    assert "session.live" not in rest.text
    assert "session.ended" in rest.text
