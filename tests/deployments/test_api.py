"""Creating sessions, also over parts that fail: what can be done without them is done, what cannot is said."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from api_parts import OWNER, Parts, client_of, steering
from redis.exceptions import ConnectionError as RedisConnectionError
from redis_store import Store
from starlette.types import Message, Receive, Scope, Send

from deployments.api import warn
from deployments.api.body import BodyGuard
from deployments.leases import Leases
from deployments.session import SessionState
from deployments.store import connect, inbox_key
from deployments.timeline import Timeline

SESSIONS = "/v1/sessions"


async def test_words_that_change_nothing_are_named_with_the_reason(http: httpx.AsyncClient) -> None:
    told = (await http.post(SESSIONS, json={"prompt": "a zyzzyva and so on"})).json()["warnings"]
    assert "does not know the word 'zyzzyva'" in told[0]
    assert "too long" in told[1]
    assert "'and so on'" in told[1]


async def test_a_prompt_is_taken_though_nothing_can_be_said_about_its_words(
    http: httpx.AsyncClient, parts: Parts
) -> None:
    parts.deaf = True
    created = await http.post(SESSIONS, json={"prompt": "a zyzzyva"})
    assert (created.status_code, created.json()["warnings"]) == (201, [])
    prompts = created.json()["links"]["prompts"]
    answer = await http.post(prompts, json={"text": "a zyzzyva"}, headers=steering(created))
    assert (answer.status_code, answer.json()["warnings"]) == (202, [])


async def test_a_command_is_taken_once_it_is_written_though_nobody_can_be_rung(
    http: httpx.AsyncClient, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = await http.post(SESSIONS, json={"prompt": "a ball"})
    sid, headers = created.json()["id"], steering(created)

    async def away(*_: object) -> None:
        raise RedisConnectionError

    monkeypatch.setattr(parts.store.timeline, "ring", away)
    assert (await http.post(f"{SESSIONS}/{sid}/prompts", json={"text": "it rains"}, headers=headers)).status_code == 202
    assert (await http.delete(f"{SESSIONS}/{sid}", headers=headers)).status_code == 204
    assert await parts.kinds(sid) == ["session.created", "session.starting", "prompt.requested", "end.requested"]


async def test_a_generator_that_dies_over_a_new_session_is_not_the_last(http: httpx.AsyncClient, parts: Parts) -> None:
    parts.dying = 1
    answer = await http.post(SESSIONS, json={"prompt": "a ball"})
    assert answer.status_code == 201
    dead, alive = parts.asked
    assert dead != alive == answer.json()["id"]
    assert (await http.get(f"{SESSIONS}/{dead}")).status_code == 404


async def test_a_part_that_is_down_is_named_with_a_time_to_come_back(http: httpx.AsyncClient, parts: Parts) -> None:
    parts.dying = 2
    answer = await http.post(SESSIONS, json={"prompt": "a ball"})
    assert (answer.status_code, answer.json()["code"]) == (503, "part-down")
    assert "generator" in answer.json()["detail"]
    assert answer.headers["retry-after"] == "2"
    answer = await http.get("/readyz")
    assert (answer.status_code, "video encoder" in answer.json()["detail"]) == (503, True)


async def test_a_session_is_what_it_was_asked_to_be(http: httpx.AsyncClient) -> None:
    asked: dict[str, Any] = {
        "prompt": "a ball",
        "seed": 5,
        "fps": 8,
        "size": {"width": 96, "height": 64},
        "max_seconds": 30,
        "record": True,
        "labels": {"team": "film"},
        "metadata": {"shot": [1, {"take": 2}]},
    }
    created = await http.post(SESSIONS, json=asked)
    assert created.status_code == 201, created.text
    assert created.headers["location"] == created.json()["links"]["self"]
    read = (await http.get(created.headers["location"])).json()
    for session in (created.json(), read):
        for name in ("prompt", "seed", "fps", "max_seconds", "record", "labels", "metadata"):
            assert session[name] == asked[name]
        assert (session["width"], session["height"], session["status"]) == (96, 64, "starting")
    assert "control_token" not in read


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (r'{"a": ["\ud800"]}', "Unicode"),
        (r'{"a": {"\ud800": 1}}', ""),
        (r'{"\ud800": 1}', ""),
        ('{"a": NaN}', "finite"),
        ('{"a": [{"b": 1e999}]}', "finite"),
        ('{"a": ' + "[" * 32 + "]" * 32 + "}", "levels"),
        ('{"a": ' + "[" * 900 + "]" * 900 + "}", "levels"),
        ('{"a": "' + "x" * 4100 + '"}', "bytes"),
        ("[1]", "dictionary"),
    ],
)
async def test_metadata_that_not_every_reader_of_json_knows_is_refused(
    http: httpx.AsyncClient, parts: Parts, text: str, said: str
) -> None:
    body = '{"prompt": "a ball", "metadata": ' + text + "}"
    answer = await http.post(SESSIONS, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")
    assert said in answer.json()["detail"]
    assert answer.json()["errors"][0]["where"].startswith("body.metadata")
    assert not parts.asked


async def test_metadata_is_kept_as_it_is(http: httpx.AsyncClient) -> None:
    metadata: dict[str, Any] = {"é": ["€😀", None, True, 1.5, 10**30], "deep": {}}
    level = metadata["deep"]
    for _ in range(30):
        level["deep"] = level = {}
    created = await http.post(SESSIONS, json={"prompt": "a ball", "metadata": metadata})
    assert created.status_code == 201, created.text
    assert (await http.get(created.headers["location"])).json()["metadata"] == metadata
    assert (await http.get(SESSIONS)).json()["data"][0]["metadata"] == metadata


async def test_what_is_not_asked_for_is_chosen(http: httpx.AsyncClient) -> None:
    live = (await http.post(SESSIONS, json={"prompt": "a ball"})).json()
    assert (live["fps"], live["width"], live["height"], live["record"]) == (16, 64, 48, False)
    assert 0 <= live["seed"] < 2**31
    offline = (await http.post(SESSIONS, json={"prompt": "a ball", "pace": "offline", "max_seconds": 2})).json()
    assert (offline["pace"], offline["record"]) == ("offline", True)


@pytest.mark.parametrize(
    ("fields", "where", "offered"),
    [
        ({"fps": 17}, "body.fps", "2 to 16"),
        ({"fps": 1}, "body.fps", "2 to 16"),
        ({"size": {"width": 65, "height": 48}}, "body.size", "64x48, 96x64"),
        ({"max_seconds": 4, "script": [{"text": "rain", "at": {"seconds": 4}}]}, "body.script.0.at", "ends at 4 s"),
        ({"max_seconds": 4, "script": [{"text": "rain", "at": {"seconds": 3.9}}]}, "body.script.0.at", "ends at 4 s"),
    ],
)
async def test_what_is_not_offered_is_refused_with_what_is(
    http: httpx.AsyncClient, parts: Parts, fields: dict[str, Any], where: str, offered: str
) -> None:
    answer = await http.post(SESSIONS, json={"prompt": "a ball", **fields})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")
    [error] = answer.json()["errors"]
    assert error["where"] == where
    assert offered in error["what"]
    assert not parts.asked


async def test_a_script_is_written_down_in_the_order_of_its_times(http: httpx.AsyncClient, parts: Parts) -> None:
    script = [
        {"text": "it snows", "at": {"seconds": 4.1}, "mode": "blend"},
        {"text": "a zyzzyva", "at": {"frame": 21}, "mode": "cut"},
        {"text": "it rains", "at": {"seconds": 2}, "mode": "blend", "blend_seconds": 1.5},
    ]
    created = await http.post(SESSIONS, json={"prompt": "a ball", "fps": 10, "script": script})
    receipts = (await http.get(created.json()["links"]["prompts"])).json()["data"]
    assert [(each["text"], each["at_frame"], each["mode"], each["blend_seconds"]) for each in receipts] == [
        ("it rains", 20, "blend", 1.5),
        ("a zyzzyva", 21, "cut", None),
        ("it snows", 41, "blend", 3.0),
    ]
    assert [len(each["warnings"]) for each in receipts] == [0, 1, 0]
    assert (await parts.kinds(created.json()["id"]))[:4] == ["session.created", *["prompt.requested"] * 3]


async def test_a_full_service_refuses_and_remembers_nothing(http: httpx.AsyncClient, parts: Parts) -> None:
    parts.room = 0
    answer = await http.post(SESSIONS, json={"prompt": "a ball"})
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "pool-full", "3")
    assert (await http.get(f"{SESSIONS}/{parts.asked[0]}")).status_code == 404
    assert (await http.get(SESSIONS)).json() == {"data": [], "has_more": False, "next": None}


async def test_who_waits_is_served_in_order_and_not_overtaken(http: httpx.AsyncClient, parts: Parts) -> None:
    parts.room = 0
    waiting = [await http.post(SESSIONS, json={"prompt": "a ball", "queue": True}) for _ in range(2)]
    assert [answer.status_code for answer in waiting] == [201, 201]
    assert [(answer.json()["status"], answer.json()["queue_position"]) for answer in waiting] == [
        ("queued", 1),
        ("queued", 2),
    ]
    one, two = (answer.json()["id"] for answer in waiting)
    parts.room = 1
    refused = await http.post(SESSIONS, json={"prompt": "a ball"})
    assert (refused.status_code, refused.json()["code"]) == (503, "pool-full")
    third = (await http.post(SESSIONS, json={"prompt": "a ball", "queue": True})).json()
    assert third["queue_position"] == 3
    assert await parts.waiting.serve_once(parts.take, parts.give_up) == [one]
    assert (await http.get(f"{SESSIONS}/{one}")).json()["status"] == "starting"
    assert (await http.get(f"{SESSIONS}/{two}")).json()["queue_position"] == 1


@pytest.mark.parametrize("waits", ["offline", "live"])
async def test_who_waits_for_one_pace_keeps_nobody_from_the_other(
    http: httpx.AsyncClient, parts: Parts, waits: str
) -> None:
    body = {pace: {"prompt": "a ball", "pace": pace, "max_seconds": 9} for pace in ("live", "offline")}
    parts.room = 0
    queued = (await http.post(SESSIONS, json=body.pop(waits) | {"queue": True})).json()
    assert (queued["status"], queued["queue_position"]) == ("queued", 1)
    parts.room = 1
    [other] = body.values()
    created = await http.post(SESSIONS, json=other)
    assert (created.status_code, created.json()["status"]) == (201, "starting")


async def test_who_gives_up_waiting_makes_room_in_the_queue(http: httpx.AsyncClient, parts: Parts) -> None:
    parts.room = 0
    one, two = [await http.post(SESSIONS, json={"prompt": "a ball", "queue": True}) for _ in range(2)]
    path = one.headers["location"]
    assert (await http.delete(path, headers=steering(one))).status_code == 204
    assert (await http.delete(path, headers=steering(one))).status_code == 204
    session = (await http.get(path)).json()
    assert (session["status"], session["reason"]) == ("ended", "requested")
    assert (await http.get(two.headers["location"])).json()["queue_position"] == 1


async def test_who_waited_too_long_is_told(http: httpx.AsyncClient, parts: Parts) -> None:
    parts.room = 0
    created = await http.post(SESSIONS, json={"prompt": "a ball", "queue": True})
    await parts.give_up(created.json()["id"], "No room for ten minutes.")
    session = (await http.get(created.headers["location"])).json()
    assert (session["status"], session["reason"]) == ("failed", "No room for ten minutes.")


async def test_a_store_that_is_away_is_said() -> None:
    nowhere = "redis://127.0.0.1:1"
    async with connect(nowhere) as redis, connect(nowhere, blocking=True) as blocking:
        away = Parts(Store(redis, Timeline(redis, blocking), Leases(redis)))
        async with client_of(away) as http:
            for answer in (
                await http.get(f"{SESSIONS}/any"),
                await http.get(SESSIONS),
                await http.post(SESSIONS, json={"prompt": "a ball"}),
                await http.post(SESSIONS, json={"prompt": "a ball"}, headers={"Idempotency-Key": "1"}),
            ):
                assert (answer.status_code, answer.json()["code"]) == (503, "store-unavailable")
                assert answer.headers["retry-after"]


async def test_a_session_that_failed_in_the_hands_of_a_dead_generator_is_kept(
    http: httpx.AsyncClient, parts: Parts
) -> None:
    parts.dying_after_the_claim = True
    created = await http.post(SESSIONS, json={"prompt": "a ball"})
    dead, alive = parts.asked
    assert created.json()["id"] == alive
    assert (await parts.store.timeline.session(dead)).status is SessionState.starting


async def test_a_session_that_was_begun_too_late_for_its_creator_is_ended(
    http: httpx.AsyncClient, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = parts.take

    async def late(sid: str) -> None:
        await take(sid)
        raise TimeoutError

    monkeypatch.setattr(parts, "take", late)
    answer = await http.post(SESSIONS, json={"prompt": "a ball", "pace": "offline", "max_seconds": 9})
    assert (answer.status_code, answer.json()["code"]) == (503, "timeout")
    assert (await parts.kinds(parts.asked[0]))[-1] == "end.requested"
    assert await parts.store.redis.exists(inbox_key(OWNER))


async def test_a_warning_is_not_waited_for(
    http: httpx.AsyncClient, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warn, "WAIT_SECONDS", 0.01)
    parts.silent = True
    created = await http.post(SESSIONS, json={"prompt": "a zyzzyva"})
    assert (created.status_code, created.json()["warnings"]) == (201, [])


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
