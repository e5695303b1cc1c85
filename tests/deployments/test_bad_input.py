"""What the API does with rubbish: a status, a stable code, a sentence that says what to do; and nothing leaks."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import httpx
import pytest
from service_client import PROMPT, Client

JSON = {"Content-Type": "application/json"}
SESSIONS = "/v1/sessions"


def check(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """A problem as RFC 9457 has it, and with something to read in it."""
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["status"] == status
    assert problem["type"].endswith(code)
    assert problem["title"]
    assert len(problem["detail"].split()) >= 6
    return problem


@pytest.mark.parametrize(
    ("body", "status", "code", "where"),
    [
        ({}, 422, "invalid-request", "body.prompt"),
        ({"prompt": ""}, 422, "invalid-request", "body.prompt"),
        ({"prompt": " \n\t "}, 422, "invalid-request", "body.prompt"),
        ({"prompt": "x" * 2001}, 422, "invalid-request", "body.prompt"),
        ({"prompt": 7}, 422, "invalid-request", "body.prompt"),
        ({"prompt": None}, 422, "invalid-request", "body.prompt"),
        ({"prompt": ["a ball"]}, 422, "invalid-request", "body.prompt"),
        ({"prompt": PROMPT, "seed": "7"}, 422, "invalid-request", "body.seed"),
        ({"prompt": PROMPT, "seed": 1.5}, 422, "invalid-request", "body.seed"),
        ({"prompt": PROMPT, "seed": True}, 422, "invalid-request", "body.seed"),
        ({"prompt": PROMPT, "seed": -1}, 422, "invalid-request", "body.seed"),
        ({"prompt": PROMPT, "seed": 2**53}, 422, "invalid-request", "body.seed"),
        ({"prompt": PROMPT, "sede": 7}, 422, "invalid-request", "body.sede"),
        ({"prompt": PROMPT, "fps": 17}, 422, "invalid-request", "body.fps"),
        ({"prompt": PROMPT, "fps": 0}, 422, "invalid-request", "body.fps"),
        ({"prompt": PROMPT, "fps": 8.0}, 422, "invalid-request", "body.fps"),
        ({"prompt": PROMPT, "size": {"width": 63, "height": 64}}, 422, "invalid-request", "body.size"),
        ({"prompt": PROMPT, "size": [64, 64]}, 422, "invalid-request", "body.size"),
        ({"prompt": PROMPT, "pace": "fast"}, 422, "invalid-request", "body.pace"),
        ({"prompt": PROMPT, "pace": "offline"}, 422, "invalid-request", "body"),
        ({"prompt": PROMPT, "max_seconds": 0}, 422, "invalid-request", "body.max_seconds"),
        ({"prompt": PROMPT, "max_seconds": 1e9}, 422, "invalid-request", "body.max_seconds"),
        ({"prompt": PROMPT, "labels": {"a b": "c"}}, 422, "invalid-request", "body.labels.a b.[key]"),
        ({"prompt": PROMPT, "labels": {"a": 1}}, 422, "invalid-request", "body.labels.a"),
        ({"prompt": PROMPT, "labels": {f"a{n}": "" for n in range(17)}}, 422, "invalid-request", "body.labels"),
        ({"prompt": PROMPT, "metadata": {"a": "x" * 5000}}, 422, "invalid-request", "body.metadata"),
        ({"prompt": PROMPT, "script": [{"text": "rain"}]}, 422, "invalid-request", "body.script.0.at"),
        ({"prompt": PROMPT, "script": 7}, 422, "invalid-request", "body.script"),
        ([PROMPT], 422, "invalid-request", "body"),
        ("a ball", 422, "invalid-request", "body"),
        (None, 422, "invalid-request", "body"),
    ],
)
async def test_a_wrong_body_is_answered_field_by_field(
    client: Client, body: object, status: int, code: str, where: str
) -> None:
    answer = await client.post(SESSIONS, content=json.dumps(body), headers=JSON)
    problem = check(answer, status, code)
    assert where in {error["where"] for error in problem["errors"]}
    assert where in problem["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"text": ""},
        {"text": "x" * 2001},
        {"text": 1},
        {"prompt": "x"},
        {"text": "x", "at": "later"},
        {"text": "x", "at": {"seconds": -1}},
        {"text": "x", "at": {"seconds": "1"}},
        {"text": "x", "at": {"frame": 1.5}},
        {"text": "x", "at": {"frame": 1, "seconds": 1}},
        {"text": "x", "mode": "fade"},
        {"text": "x", "blend_seconds": 1},
        {"text": "x", "mode": "blend", "blend_seconds": 0},
    ],
)
async def test_a_wrong_follow_up_is_refused(client: Client, body: object) -> None:
    check(await client.post(f"{SESSIONS}/unknown/prompts", json=body), 422, "invalid-request")


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b"", JSON, 422, "invalid-request"),
        (b"{", JSON, 400, "bad-json"),
        (b"\xff\xfe\x00", JSON, 400, "bad-json"),
        (b'{"prompt": "\\ud800"}', JSON, 422, "invalid-request"),
        (b'{"prompt": "a ball", "labels": {"a": "\\ud800"}}', JSON, 422, "invalid-request"),
        (b'{"prompt": "a ball", "metadata": {"a": ["\\ud800"]}}', JSON, 422, "invalid-request"),
        (b'{"prompt": "a ball", "metadata": {"a": {"\\ud800": 1}}}', JSON, 422, "invalid-request"),
        (b'{"prompt": "a ball", "metadata": {"a": NaN}}', JSON, 422, "invalid-request"),
        (b'{"prompt": "a ball", "metadata": {"a": [1e999]}}', JSON, 422, "invalid-request"),
        (b'{"prompt": "a ball", "metadata": {"a": ' + b"[" * 300 + b"]" * 300 + b"}}", JSON, 422, "invalid-request"),
        (b'{"prompt": "a ball", "metadata": ' + b"[" * 20_000 + b"]" * 20_000 + b"}", JSON, 400, "bad-json"),
        (b"prompt=a+ball", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "not-json"),
        (b'{"prompt": "a ball"}', {"Content-Type": "text/plain"}, 415, "not-json"),
        (b'{"prompt": "a ball"}', {}, 415, "not-json"),
        (b'{"prompt": "' + b"x" * 70_000 + b'"}', JSON, 413, "body-too-large"),
        (b"x" * 20_000_000, JSON, 413, "body-too-large"),
    ],
)
async def test_what_is_no_small_json_is_refused(
    client: Client, content: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    check(await client.post(SESSIONS, content=content, headers=headers), status, code)


async def test_a_huge_body_without_a_length_is_refused(client: Client) -> None:
    async def endless() -> Any:
        for _ in range(100):
            yield b" " * 65536

    check(await client.post(SESSIONS, content=endless(), headers=JSON), 413, "body-too-large")


@pytest.mark.parametrize("sid", ["unknown", "0" * 500, "%00", "..%2f..", "{x}:timeline", "a@b!c", "é"])
@pytest.mark.parametrize("path", ["", "/timeline", "/events", "/fragments", "/init.mp4", "/live.mp4"])
async def test_an_unknown_session_is_not_found(client: Client, sid: str, path: str) -> None:
    answer = await client.get(f"{SESSIONS}/{sid}{path}")
    assert check(answer, 404, answer.json()["code"])["code"] in ("no-such-session", "not-found")


async def test_nothing_can_be_done_to_an_unknown_session(client: Client) -> None:
    check(await client.delete(f"{SESSIONS}/unknown"), 404, "no-such-session")
    check(await client.post(f"{SESSIONS}/unknown/prompts", json={"text": "rain"}), 404, "no-such-session")


async def test_a_session_that_is_over_says_so(client: Client) -> None:
    async with client.session() as created:
        sid = created["id"]
        await client.end(sid)
        check(await client.post(f"{SESSIONS}/{sid}/prompts", json={"text": "rain"}), 409, "session-over")
        check(await client.get(f"{SESSIONS}/{sid}/fragments"), 410, "fragments-over")
        check(await client.get(f"{SESSIONS}/{sid}/live.mp4"), 410, "fragments-over")
        assert (await client.get(f"{SESSIONS}/{sid}/init.mp4")).status_code == 200
        assert (await client.delete(f"{SESSIONS}/{sid}")).status_code == 204


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("timeline?after=rubbish", 400, "bad-cursor"),
        ("timeline?after=1", 400, "bad-cursor"),
        ("timeline?after=-1", 400, "bad-cursor"),
        ("timeline?after=99999999999999999999-0", 400, "bad-cursor"),
        ("timeline?after=1-0", 410, "cursor-gone"),
        ("chunks?after=rubbish", 400, "bad-cursor"),
        ("chunks?limit=0", 422, "invalid-request"),
        ("timeline?limit=0", 422, "invalid-request"),
        ("timeline?limit=1001", 422, "invalid-request"),
        ("timeline?limit=many", 422, "invalid-request"),
        ("events?after=rubbish", 400, "bad-cursor"),
        ("events?after=1-0", 410, "cursor-gone"),
        ("fragments?after=rubbish", 422, "invalid-request"),
        ("fragments?after=-2", 422, "invalid-request"),
        ("fragments?after=1.5", 422, "invalid-request"),
        ("fragments?after=1000000", 400, "bad-cursor"),
        ("fragments?after=99999999999999999999999", 400, "bad-cursor"),
    ],
)
async def test_a_bad_cursor_is_refused(client: Client, ours: str, path: str, status: int, code: str) -> None:
    check(await client.get(f"{SESSIONS}/{ours}/{path}"), status, code)


async def test_a_bad_last_event_id_is_refused(client: Client, ours: str) -> None:
    answer = await client.get(f"{SESSIONS}/{ours}/events", headers={"Last-Event-ID": "rubbish"})
    check(answer, 400, "bad-cursor")


@pytest.fixture
async def ours(client: Client) -> Any:
    async with client.session() as created:
        yield created["id"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing/here", 404, "not-found"),
        ("GET", "/assets/nothing.js", 404, "not-found"),
        ("GET", "/assets/../ingress.py", 404, "not-found"),
        ("GET", "/assets/%2e%2e/ingress.py", 404, "not-found"),
        ("PUT", "/v1/sessions", 405, "method-not-allowed"),
        ("DELETE", "/v1/sessions", 405, "method-not-allowed"),
        ("PATCH", "/v1/sessions/unknown", 405, "method-not-allowed"),
        ("DELETE", "/v1/sessions/unknown/timeline", 405, "method-not-allowed"),
    ],
)
async def test_a_wrong_path_or_method_is_answered(
    client: Client, method: str, path: str, status: int, code: str
) -> None:
    check(await client.request(method, path), status, code)


async def _leave_while_creating(client: Client, sid: str) -> None:
    with suppress(httpx.TimeoutException):  # an answer in time is as good: a session that nobody asks for again
        await client.post(SESSIONS, json={"prompt": PROMPT}, timeout=0.02)


async def _leave_with_half_a_body(client: Client, sid: str) -> None:
    _, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    writer.write(
        b'POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"'
    )
    await writer.drain()
    writer.close()


async def _leave_live(client: Client, sid: str) -> None:
    async with client.stream("GET", f"{SESSIONS}/{sid}/live.mp4") as answer:
        await anext(answer.aiter_bytes())


async def _leave_while_pulling(client: Client, sid: str) -> None:
    newest = (await client.watch(sid, 1)).numbers[-1]
    with suppress(httpx.TimeoutException):  # unless the next fragment is there already
        await client.get(f"{SESSIONS}/{sid}/fragments", params={"after": newest}, timeout=0.05)


async def _leave_events(client: Client, sid: str) -> None:
    await anext(client.events(sid))


async def test_clients_that_vanish_disturb_nobody_and_keep_no_slot(client: Client, ours: str) -> None:
    watching = asyncio.create_task(client.watch(ours, 4))
    left = (await client.post(SESSIONS, json={"prompt": PROMPT})).json()["id"]
    leaving = (_leave_while_creating, _leave_with_half_a_body, _leave_live, _leave_while_pulling, _leave_events)
    await asyncio.gather(*(leave(client, left) for leave in leaving))
    watched = await watching
    assert watched.numbers == [0, 1, 2, 3]
    watching = asyncio.create_task(_watch_until_cancelled(client, ours))
    try:
        session = await client.until(left, lambda session: session["status"] == "paused", seconds=60)
        assert session["reason"] == "unwatched"
        async with asyncio.timeout(60):
            while True:
                if await _has_slots(client, 3):
                    break
                await asyncio.sleep(0.5)
    finally:
        watching.cancel()


async def _watch_until_cancelled(client: Client, sid: str) -> None:
    await client.watch(sid, 1000)


async def _has_slots(client: Client, count: int) -> bool:
    """Whether so many sessions can be created, each of which is ended again."""
    answers = [await client.post(SESSIONS, json={"prompt": PROMPT}) for _ in range(count)]
    created = [answer.json()["id"] for answer in answers if answer.status_code == 201]
    for sid in created:
        await client.end(sid)
    return len(created) == count
