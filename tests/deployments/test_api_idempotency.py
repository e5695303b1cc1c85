"""A request that is sent twice with one key counts once and is answered twice."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from api_parts import Parts, client_of, steering

from deployments.idempotency import Claim, IdempotencyKeys
from deployments.session import Session

SESSIONS = "/v1/sessions"
BODY = {"prompt": "a ball"}
KEY = {"Idempotency-Key": "2c5b0a2e-7f5e-4c8e-9b58-0a2e7f5e4c8e"}


def check(answer: httpx.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


async def test_a_replay_is_the_first_answer(http: httpx.AsyncClient, parts: Parts) -> None:
    first = await http.post(SESSIONS, json=BODY, headers=KEY)
    assert first.status_code == 201
    assert "idempotent-replayed" not in first.headers
    await parts.make(first.json()["id"], 1)
    for _ in range(2):
        again = await http.post(SESSIONS, json=BODY, headers=KEY)
        assert (again.status_code, again.headers["idempotent-replayed"]) == (200, "true")
        assert again.json() == first.json()
        assert again.headers["location"] == first.headers["location"]
        assert again.headers["content-type"] == first.headers["content-type"]
    assert len(parts.asked) == 1


async def test_other_ingresses_know_the_key(http: httpx.AsyncClient, parts: Parts) -> None:
    first = await http.post(SESSIONS, json=BODY, headers=KEY)
    async with client_of(parts) as other:
        assert (await other.post(SESSIONS, json=BODY, headers=KEY)).json() == first.json()


async def test_without_a_key_each_request_counts(http: httpx.AsyncClient, parts: Parts) -> None:
    for _ in range(2):
        assert (await http.post(SESSIONS, json=BODY)).status_code == 201
    assert len(parts.asked) == 2


async def test_a_key_belongs_to_its_request_and_to_who_sent_it(http: httpx.AsyncClient, parts: Parts) -> None:
    created = await http.post(SESSIONS, json=BODY, headers=KEY)
    path, ours = created.json()["links"]["prompts"], steering(created)
    check(await http.post(SESSIONS, json={"prompt": "a cube"}, headers=KEY), 422, "idempotency-key-reused")
    check(await http.post(path, json=BODY, headers=KEY | ours), 422, "idempotency-key-reused")
    key = {"Idempotency-Key": "another"}
    assert (await http.post(path, json={"text": "rain"}, headers=key | ours)).status_code == 202
    check(await http.post(path, json={"text": "rain"}, headers=key), 422, "idempotency-key-reused")
    assert (await http.post(path, json={"text": "rain"}, headers=key | ours)).status_code == 200
    assert (await parts.kinds(created.json()["id"])).count("prompt.requested") == 1


async def test_what_failed_may_be_tried_again(http: httpx.AsyncClient, parts: Parts) -> None:
    parts.room = 0
    check(await http.post(SESSIONS, json=BODY, headers=KEY), 503, "pool-full")
    parts.room = None
    assert (await http.post(SESSIONS, json=BODY, headers=KEY)).status_code == 201


class Slow(Parts):
    """Takes a session when the test says so."""

    async def take(self, sid: str) -> Session:
        self.began.set()
        await self.go_on.wait()
        return await super().take(sid)

    def hold(self) -> None:
        self.began, self.go_on = asyncio.Event(), asyncio.Event()


async def test_of_two_at_once_one_is_carried_out(parts: Parts) -> None:
    slow = Slow(parts.store)
    slow.hold()
    async with client_of(slow) as http:
        first = asyncio.create_task(http.post(SESSIONS, json=BODY, headers=KEY))
        await slow.began.wait()
        second = await http.post(SESSIONS, json=BODY, headers=KEY)
        check(second, 409, "in-progress")
        assert second.headers["retry-after"]
        slow.go_on.set()
        assert (await first).status_code == 201
        assert (await http.post(SESSIONS, json=BODY, headers=KEY)).json() == (await first).json()
    assert len(slow.asked) == 1


async def test_a_key_is_held_as_long_as_its_request_takes(parts: Parts) -> None:
    keys = IdempotencyKeys(parts.store.redis, lock_seconds=3)
    claim = await keys.claim("k", "request")
    assert isinstance(claim, Claim)
    async with claim.held(), asyncio.timeout(10):
        await parts.store.redis.pexpire("idempotency:k", 2000)
        while await parts.store.redis.pttl("idempotency:k") <= 2000:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await claim.release()
    assert isinstance(await keys.claim("k", "request"), Claim)


async def test_many_at_once_make_one_session(http: httpx.AsyncClient, parts: Parts) -> None:
    async with client_of(parts) as other:
        answers = await asyncio.gather(
            *(client.post(SESSIONS, json=BODY, headers=KEY) for client in (http, other) for _ in range(10))
        )
    assert [answer.status_code for answer in answers].count(201) == 1
    assert {answer.status_code for answer in answers} <= {200, 201, 409}
    assert len(parts.asked) == 1


async def test_a_client_that_left_finds_the_answer_when_it_asks_again(parts: Parts) -> None:
    slow = Slow(parts.store)
    slow.hold()
    async with client_of(slow) as http:
        first = asyncio.create_task(http.post(SESSIONS, json=BODY, headers=KEY))
        await slow.began.wait()
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        slow.go_on.set()
        async with asyncio.timeout(10):
            while True:
                answer = await http.post(SESSIONS, json=BODY, headers=KEY)
                if answer.status_code != 409:
                    break
                await asyncio.sleep(0.01)
    assert (answer.status_code, answer.headers["idempotent-replayed"]) == (200, "true")
    assert slow.asked == [answer.json()["id"]]


@pytest.mark.parametrize("key", ["", "x" * 256, "two words", "é".encode()])
async def test_a_key_that_is_none_is_refused(http: httpx.AsyncClient, parts: Parts, key: str | bytes) -> None:
    check(await http.post(SESSIONS, json=BODY, headers={"Idempotency-Key": key}), 400, "bad-idempotency-key")
    assert not parts.asked


async def test_the_longest_key_works(http: httpx.AsyncClient) -> None:
    assert (await http.post(SESSIONS, json=BODY, headers={"Idempotency-Key": "~" * 255})).status_code == 201
