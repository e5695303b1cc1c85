"""Many viewers who ask the same at the same moment: one question to the ingress, on behalf of them all."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from starlette.types import Message, Receive, Scope, Send

from deployments.shared import SharedAnswers

FRAGMENTS = "/v1/sessions/s/fragments"


class FakeIngress:
    """Answers when the test says so, with what was asked."""

    def __init__(self) -> None:
        self.asked: list[Scope] = []
        self.statuses = [200]
        self.go = asyncio.Event()
        self.left = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.append(scope)
        number = len(self.asked)
        assert (await receive())["type"] == "http.request"
        leaving, going = asyncio.ensure_future(receive()), asyncio.ensure_future(self.go.wait())
        await asyncio.wait({leaving, going}, return_when=asyncio.FIRST_COMPLETED)
        going.cancel()
        if leaving.done():
            self.left.set()
            return
        leaving.cancel()
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        await send({"type": "http.response.start", "status": status, "headers": [(b"x-answer", b"%d" % number)]})
        await send({"type": "http.response.body", "body": b"<%d>" % number})


class Client:
    def __init__(self) -> None:
        self.status = 0
        self.body = b""
        self.left = asyncio.Event()
        self._requested = False

    async def receive(self) -> Message:
        if not self._requested:
            self._requested = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.status = message.get("status", self.status)
        self.body += message.get("body", b"")


def asks(
    app: SharedAnswers,
    query: str = "after=1",
    path: str = FRAGMENTS,
    method: str = "GET",
    agent: bytes = b"any",
    headers: Sequence[tuple[bytes, bytes]] = (),
) -> tuple[Client, asyncio.Task[None]]:
    client = Client()
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(b"host", b"here"), (b"user-agent", agent), (b"x-request-timeout-seconds", b"1"), *headers],
    }
    return client, asyncio.create_task(app(scope, client.receive, client.send))


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_all_who_ask_the_same_get_the_one_answer() -> None:
    ingress = FakeIngress()
    app = SharedAnswers(ingress)
    viewers = [asks(app, agent=b"%d" % number) for number in range(200)]
    other, other_asking = asks(app, query="after=2")
    await settle()
    assert len(ingress.asked) == 2
    ingress.go.set()
    await asyncio.gather(*(asking for _, asking in viewers), other_asking)
    assert {(viewer.status, viewer.body) for viewer, _ in viewers} == {(200, b"<1>")}
    assert other.body == b"<2>"
    assert [name for name, _ in ingress.asked[0]["headers"]] == [b"host"], "it is nobody's own request"


async def test_who_comes_shortly_after_gets_it_too_and_later_it_is_asked_again() -> None:
    ingress = FakeIngress()
    ingress.go.set()
    for keep_s, bodies in ((60.0, (b"<1>", b"<1>")), (0.0, (b"<2>", b"<3>"))):
        app = SharedAnswers(ingress, keep_s)
        for body in bodies:
            client, asking = asks(app)
            await asking
            await settle()
            assert client.body == body


async def test_one_who_leaves_disturbs_nobody_and_the_last_one_ends_the_question() -> None:
    ingress = FakeIngress()
    app = SharedAnswers(ingress)
    (one, one_asking), (two, two_asking) = asks(app), asks(app)
    await settle()
    one.left.set()
    await one_asking
    assert not ingress.left.is_set()
    two.left.set()
    await two_asking
    await ingress.left.wait()
    assert not app._questions
    assert (one.status, two.status) == (0, 0)


async def test_who_joins_a_question_without_content_asks_once_more() -> None:
    ingress = FakeIngress()
    ingress.statuses = [204, 200]
    app = SharedAnswers(ingress)
    (first, first_asking), (second, second_asking) = asks(app), asks(app)
    await settle()
    ingress.go.set()
    await asyncio.gather(first_asking, second_asking)
    assert (first.status, second.status) == (204, 200)


@pytest.mark.parametrize("status", [204, 400, 410, 503])
async def test_what_is_no_good_answer_is_not_kept(status: int) -> None:
    ingress = FakeIngress()
    ingress.statuses = [status]
    ingress.go.set()
    app = SharedAnswers(ingress)
    for _ in range(2):
        client, asking = asks(app)
        await asking
        assert client.status == status
        await settle()
    assert len(ingress.asked) == 2


async def test_a_broken_ingress_breaks_every_request_and_none_after_it() -> None:
    class Broken(FakeIngress):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if not self.asked:
                self.asked.append(scope)
                raise ConnectionError("gone")
            await super().__call__(scope, receive, send)

    ingress = Broken()
    ingress.go.set()
    app = SharedAnswers(ingress)
    answers = await asyncio.gather(*(asks(app)[1] for _ in range(3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [ConnectionError] * 3
    await settle()
    client, asking = asks(app)
    await asking
    assert client.status == 200


@pytest.mark.parametrize("path", ["", "/fragments", "/thumbnails", "/thumbnails/000000004.webp", "/poster.jpg"])
async def test_many_who_look_at_one_session_ask_once(path: str) -> None:
    ingress = FakeIngress()
    app = SharedAnswers(ingress, 60.0)
    viewers = [asks(app, path=f"/v1/sessions/s{path}") for _ in range(200)]
    others = [asks(app, path=f"/v1/sessions/s2{path}"), asks(app, path=f"/v1/sessions/s{path}", query="after=2")]
    await settle()
    ingress.go.set()
    await asyncio.gather(*(asking for _, asking in [*viewers, *others]))
    assert {viewer.body for viewer, _ in viewers} == {b"<1>"}
    assert len({viewer.body for viewer, _ in others} | {b"<1>"}) == 3
    assert len(ingress.asked) == 3


@pytest.mark.parametrize("path", ["/v1/sessions/s", FRAGMENTS])
async def test_who_says_who_they_are_shares_with_nobody(path: str) -> None:
    ingress = FakeIngress()
    ingress.go.set()
    app = SharedAnswers(ingress, 60.0)
    for number, token in enumerate((b"", b"Bearer a", b"Bearer a", b"Bearer b")):
        client, asking = asks(app, path=path, headers=[(b"authorization", token)] if token else [])
        await asking
        assert client.body == b"<%d>" % (number + 1)
    client, asking = asks(app, path=path)
    await asking
    assert client.body == b"<1>"


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/v1/sessions/s/timeline", "GET"),
        ("/v1/sessions/s/exports", "GET"),
        ("/v1/sessions", "GET"),
        ("/v1/sessions/s", "DELETE"),
        (FRAGMENTS, "HEAD"),
        ("/v1/sessions", "POST"),
    ],
)
async def test_everything_else_is_left_alone(path: str, method: str) -> None:
    ingress = FakeIngress()
    ingress.go.set()
    app = SharedAnswers(ingress)
    for number in range(2):
        client, asking = asks(app, path=path, method=method)
        await asking
        assert client.body == b"<%d>" % (number + 1)
        assert (b"user-agent", b"any") in ingress.asked[-1]["headers"]
