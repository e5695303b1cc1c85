"""What the API promises, over the real service: scripts and times, keys, the list, the queue, the WebSocket."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
from service_client import PROMPT, Client
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedOK

SESSIONS = "/v1/sessions"
SECONDS = 120.0


async def test_a_script_and_a_prompt_for_later_take_effect_at_their_frames(client: Client) -> None:
    script = [{"text": "a blue ball", "at": {"seconds": 1.5}, "mode": "cut", "expand": False}]
    async with client.session(script=script) as created:
        sid = created["id"]
        watching = asyncio.create_task(client.watch(sid, 8))
        await client.until(sid, lambda session: session["chunks"] >= 1)
        body = {"text": "a ball at night", "at": {"frame": 60}, "expand": False}
        answer = await client.post(f"{SESSIONS}/{sid}/prompts", json=body)
        assert answer.status_code == 202, answer.text
        early = await client.entry(sid, "prompt.applied", SECONDS, text="a blue ball")
        late = await client.entry(sid, "prompt.applied", SECONDS, text="a ball at night")
        await watching
        past = await client.post(f"{SESSIONS}/{sid}/prompts", json={"text": "a ball", "at": {"frame": 9}})
    assert (early["frame"], early["chunk"], early["mode"]) == (33, 3, "cut")
    assert (late["frame"], late["chunk"]) == (69, 6)
    assert (past.status_code, past.json()["code"]) == (409, "in-the-past")


async def test_a_cancelled_prompt_is_not_applied(client: Client) -> None:
    async with client.session() as created:
        sid = created["id"]
        watching = asyncio.create_task(client.watch(sid, 1))
        prompts = f"{SESSIONS}/{sid}/prompts"
        late = (await client.post(prompts, json={"text": "it snows", "at": {"seconds": 3600}})).json()["prompt_id"]
        assert (await client.delete(f"{prompts}/{late}")).status_code in (200, 202)
        await client.entry(sid, "prompt.cancelled", SECONDS, prompt_id=late)
        assert (await client.get(f"{prompts}/{late}")).json()["status"] == "cancelled"
        assert (await client.delete(f"{prompts}/{late}")).status_code == 200
        await watching


async def test_a_create_that_is_sent_twice_makes_one_session(client: Client) -> None:
    key = {"Idempotency-Key": "test-twice"}
    body = {"prompt": PROMPT, "labels": {"test": "twice"}}
    answers = await asyncio.gather(*(client.post(SESSIONS, json=body, headers=key) for _ in range(3)))
    assert [answer.status_code for answer in answers].count(201) == 1
    assert {answer.status_code for answer in answers} <= {200, 201, 409}
    replayed = await client.post(SESSIONS, json=body, headers=key)
    assert (replayed.status_code, replayed.headers["idempotent-replayed"]) == (200, "true")
    listed = (await client.get(SESSIONS, params={"label": "test:twice"})).json()
    assert [session["id"] for session in listed["data"]] == [replayed.json()["id"]]
    assert (await client.post(SESSIONS, json={"prompt": "other"}, headers=key)).status_code == 422
    await client.end(replayed.json()["id"])


async def test_who_only_watches_does_not_steer(client: Client, service: Any) -> None:
    async with client.session() as created, httpx.AsyncClient(base_url=service.url, timeout=40) as other:
        path = created["links"]["self"]
        assert (await other.delete(path)).status_code == 401
        assert (await other.delete(path, headers={"Authorization": "Bearer x"})).status_code == 403
        assert (await other.get(path)).status_code == 200


async def test_a_full_service_lets_wait_and_serves_in_order(client: Client) -> None:
    taken, waiting = [], []
    try:
        while True:
            answer = await client.post(SESSIONS, json={"prompt": PROMPT})
            if answer.status_code == 503:
                break
            taken.append(answer.json()["id"])
        waiting = [(await client.post(SESSIONS, json={"prompt": PROMPT, "queue": True})).json() for _ in range(2)]
        assert [(each["status"], each["queue_position"]) for each in waiting] == [("queued", 1), ("queued", 2)]
        one, two = (each["id"] for each in waiting)
        await client.end(taken[0])
        await client.until(one, lambda session: session["status"] in ("starting", "live"), SECONDS)
        assert (await client.watch(one, 1)).numbers == [0]
        assert (await client.end(two))["reason"] == "requested"
    finally:
        for sid in [*taken[1:], *(each["id"] for each in waiting)]:
            await client.end(sid)


async def _until(socket: ClientConnection, kind: str, seen: list[dict[str, Any]]) -> dict[str, Any]:
    """The next text of a kind; fragments on the way are taken."""
    async with asyncio.timeout(SECONDS):
        while True:
            message = json.loads(await socket.recv())
            if message["type"] in ("init", "fragment"):
                message["data"] = await socket.recv()
            if message["type"] == "fragment":
                await socket.send(json.dumps({"type": "got", "chunk": message["chunk"]}))
            seen.append(message)
            if message["type"] == kind:
                return message


async def test_one_websocket_is_enough(client: Client, service: Any) -> None:
    created = (await client.post(SESSIONS, json={"prompt": PROMPT})).json()
    seen: list[dict[str, Any]] = []
    async with connect(service.url.replace("http", "ws") + created["links"]["ws"]) as socket:
        await socket.send(json.dumps({"type": "hello", "token": created["control_token"]}))
        assert (await _until(socket, "welcome", seen))["steers"]
        for _ in range(3):
            await _until(socket, "fragment", seen)
        await socket.send(json.dumps({"type": "prompt", "text": "a blue ball at night", "ref": "mine"}))
        assert (await _until(socket, "answer", seen))["ref"] == "mine"
        while (await _until(socket, "entry", seen))["entry"]["type"] != "prompt.applied":
            pass
        await socket.send(json.dumps({"type": "pause"}))
        while (await _until(socket, "entry", seen))["entry"]["type"] != "session.paused":
            pass
        await socket.send(json.dumps({"type": "resume"}))
        while (await _until(socket, "entry", seen))["entry"]["type"] != "session.resumed":
            pass
        await _until(socket, "fragment", seen)
        await socket.send(json.dumps({"type": "end"}))
        assert (await _until(socket, "over", seen))["session"]["status"] == "ended"
        try:
            await socket.recv()
        except ConnectionClosedOK as closed:
            reason = closed.rcvd.reason if closed.rcvd else ""
        assert reason == "The session is over."
    chunks = [message["chunk"] for message in seen if message["type"] == "fragment"]
    assert chunks == sorted(set(chunks))


async def test_clients_of_a_websocket_that_vanish_leave_nobody_watching(client: Client, service: Any) -> None:
    created = (await client.post(SESSIONS, json={"prompt": PROMPT})).json()
    for _ in range(3):
        async with connect(service.url.replace("http", "ws") + created["links"]["ws"]) as socket:
            await socket.send(json.dumps({"type": "hello"}))
            await _until(socket, "fragment", [])
            socket.transport.abort()
    session = await client.until(created["id"], lambda session: session["status"] == "paused", SECONDS)
    assert session["reason"] == "unwatched"
