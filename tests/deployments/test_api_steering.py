"""Many may watch a session, its creator steers it: prompts at their times, cancel, pause, resume, end."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from api_parts import Parts, steering

from deployments.api import steer
from deployments.entries import (
    PauseRefused,
    PauseRequested,
    PromptApplied,
    PromptCancelled,
    PromptRefused,
    PromptScheduled,
    SessionEnded,
)
from deployments.media_store import StoreUnavailable
from deployments.steering import SECRET_KEY, Steering, TokenWrong

SESSIONS = "/v1/sessions"


class Ours:
    """A session of which this test is the creator."""

    def __init__(self, http: httpx.AsyncClient, created: httpx.Response) -> None:
        self.sid = created.json()["id"]
        self.path = created.headers["location"]
        self.headers = steering(created)
        self._http = http

    async def post(self, path: str, body: object = None) -> httpx.Response:
        return await self._http.post(self.path + path, json=body, headers=self.headers)

    async def get(self, path: str = "") -> Any:
        return (await self._http.get(self.path + path)).json()

    async def delete(self, path: str = "") -> httpx.Response:
        return await self._http.delete(self.path + path, headers=self.headers)

    async def prompt(self, text: str = "it rains", **fields: Any) -> httpx.Response:
        return await self.post("/prompts", {"text": text, **fields})


@pytest.fixture
async def ours(http: httpx.AsyncClient) -> Ours:
    return Ours(http, await http.post(SESSIONS, json={"prompt": "a ball", "max_seconds": 60}))


def check(answer: httpx.Response, status: int, code: str) -> str:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    return answer.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/prompts", {"text": "it rains"}),
        ("DELETE", "/prompts/1", None),
        ("POST", "/pause", None),
        ("POST", "/resume", None),
        ("POST", "/rewind", {"to": {"seconds": 1}}),
        ("DELETE", "", None),
    ],
)
async def test_only_the_creator_steers(
    http: httpx.AsyncClient, ours: Ours, parts: Parts, method: str, path: str, body: object
) -> None:
    before = await parts.kinds(ours.sid)
    other = steering(await http.post(SESSIONS, json={"prompt": "another"}))
    without = await http.request(method, ours.path + path, json=body)
    check(without, 401, "not-authorized")
    assert without.headers["www-authenticate"] == "Bearer"
    check(
        await http.request(method, ours.path + path, json=body, headers={"Authorization": "Basic eA=="}),
        401,
        "not-authorized",
    )
    for wrong in (other, {"Authorization": "Bearer x"}, {"Authorization": "Bearer é".encode()}):
        check(await http.request(method, ours.path + path, json=body, headers=wrong), 403, "not-yours")
    check(await http.request(method, f"{SESSIONS}/unknown{path}", json=body), 404, "no-such-session")
    assert await parts.kinds(ours.sid) == before


async def test_all_processes_know_each_others_tokens(parts: Parts) -> None:
    one, other = Steering(parts.store.redis), Steering(parts.store.redis)
    token = await one.token("s")
    await other.check("s", token)
    with pytest.raises(TokenWrong):
        await other.check("t", token)
    await parts.store.redis.delete(SECRET_KEY)
    token = await one.token("s")
    await other.check("s", token)


async def test_a_prompt_for_now_has_a_receipt_from_its_request_to_its_frame(
    http: httpx.AsyncClient, ours: Ours, parts: Parts
) -> None:
    await parts.make(ours.sid, 3)
    accepted = await ours.prompt(mode="blend")
    assert accepted.status_code == 202
    receipt = accepted.json()
    pid, path = receipt["prompt_id"], accepted.headers["location"]
    assert (receipt["status"], receipt["earliest_frame"], receipt["blend_seconds"]) == ("accepted", 33, 3.0)
    await parts.state(ours.sid, PromptScheduled(prompt_id=pid, chunk=3, frame=33, media_seconds=33 / 16))
    assert (await http.get(path)).json()["status"] == "scheduled"
    applied = PromptApplied(prompt_id=pid, text="it rains", chunk=3, frame=33, media_seconds=33 / 16, latency_ms=700)
    await parts.state(ours.sid, applied)
    read = (await http.get(path)).json()
    assert (read["status"], read["chunk"], read["frame"], read["latency_ms"]) == ("applied", 3, 33, 700)
    assert (await ours.get("/prompts"))["data"] == [read]
    assert (await ours.get())["prompt"] == "it rains"


@pytest.mark.parametrize(
    ("at", "frame", "earliest"),
    [({"seconds": 2.0625}, 33, 33), ({"seconds": 2.1}, 34, 45), ({"frame": 33}, 33, 33), ({"frame": 22}, 22, 33)],
)
async def test_a_time_is_rounded_up_to_the_next_chunk(
    ours: Ours, parts: Parts, at: dict[str, Any], frame: int, earliest: int
) -> None:
    await parts.make(ours.sid, 3)
    accepted = (await ours.prompt(at=at)).json()
    assert (accepted["at_frame"], accepted["earliest_frame"]) == (frame, earliest)


async def test_the_past_cannot_be_changed_and_the_earliest_time_is_named(ours: Ours, parts: Parts) -> None:
    await parts.make(ours.sid, 3)
    for at in ({"frame": 21}, {"seconds": 1.3}, {"frame": 0}):
        said = check(await ours.prompt(at=at), 409, "in-the-past")
        assert "frame 33" in said
        assert "2.0625 s" in said


async def test_nothing_follows_the_end(ours: Ours) -> None:
    assert "60 s" in check(await ours.prompt(at={"seconds": 60}), 409, "after-the-end")


async def test_a_waiting_prompt_can_be_cancelled_and_no_other(
    http: httpx.AsyncClient, ours: Ours, parts: Parts
) -> None:
    prompts = [(await ours.prompt(at={"frame": 100})).json()["prompt_id"] for _ in range(3)]
    waiting, applied, refused = prompts
    assert (await ours.delete(f"/prompts/{waiting}")).status_code == 202
    assert "prompt.cancel_requested" in await parts.kinds(ours.sid)
    where = {"chunk": 3, "frame": 33, "media_seconds": 2.0}
    await parts.state(
        ours.sid,
        PromptCancelled(prompt_id=waiting),
        PromptApplied(prompt_id=applied, text="it rains", latency_ms=1, **where),
        PromptRefused(prompt_id=refused, reason="no"),
    )
    again = await ours.delete(f"/prompts/{waiting}")
    assert (again.status_code, again.json()["status"]) == (200, "cancelled")
    assert "applied" in check(await ours.delete(f"/prompts/{applied}"), 409, "prompt-done")
    check(await ours.delete(f"/prompts/{refused}"), 409, "prompt-done")
    check(await ours.delete("/prompts/unknown"), 404, "no-such-prompt")
    check(await http.get(f"{ours.path}/prompts/unknown"), 404, "no-such-prompt")


async def test_pause_and_resume(http: httpx.AsyncClient, ours: Ours, parts: Parts) -> None:
    check(await ours.post("/pause"), 409, "not-live")
    await parts.make(ours.sid, 2)
    paused = await ours.post("/pause")
    assert (paused.status_code, paused.json()["status"]) == (202, "live")
    check(await ours.post("/resume"), 409, "pausing")
    await parts.pause(ours.sid)
    assert (await parts.store.timeline.session(ours.sid)).snapshot == "s"
    said = (await ours.get("/timeline"))["data"][-1]
    assert said.keys() == {"id", "at", "type", "chunk", "frame", "media_seconds", "reason"}
    again = await ours.post("/pause")
    assert (again.status_code, again.json()["status"]) == (200, "paused")
    assert (await ours.prompt(at={"seconds": 5})).status_code == 202, "while it is paused, what comes next can be said"
    for _ in range(2):
        resumed = await ours.post("/resume")
        assert (resumed.status_code, resumed.json()["status"]) == (200, "live")
    assert "session.resumed" in await parts.kinds(ours.sid)


async def test_a_refused_pause_does_not_stand_in_the_way(ours: Ours, parts: Parts) -> None:
    await parts.make(ours.sid, 1)
    await ours.post("/pause")
    await parts.state(ours.sid, PauseRefused(reason="the store is full"))
    assert (await ours.post("/resume")).status_code == 200


async def test_a_pause_that_was_asked_for_when_it_was_there_already_is_forgotten(ours: Ours, parts: Parts) -> None:
    await parts.make(ours.sid, 1)
    await parts.pause(ours.sid)
    await parts.store.timeline.append_command(ours.sid, PauseRequested())
    for _ in range(2):
        assert (await ours.post("/resume")).status_code == 200


async def test_a_resume_without_the_store_of_its_snapshot_is_said(
    ours: Ours, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def take(sid: str) -> None:
        raise StoreUnavailable("refused")

    await parts.make(ours.sid, 1)
    await parts.pause(ours.sid)
    monkeypatch.setattr(parts, "take", take)
    check(await ours.post("/resume"), 503, "media-store-unavailable")


async def test_only_so_many_prompts_wait(ours: Ours, parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steer, "MAX_WAITING_PROMPTS", 3)
    prompts = [(await ours.prompt(at={"frame": 100})).json()["prompt_id"] for _ in range(3)]
    said = check(await ours.prompt(), 409, "too-many-prompts")
    assert "cancel" in said
    where = {"chunk": 3, "frame": 33, "media_seconds": 2.0}
    for fact in (
        PromptCancelled(prompt_id=prompts[0]),
        PromptRefused(prompt_id=prompts[1], reason="no"),
        PromptApplied(prompt_id=prompts[2], text="it rains", latency_ms=1, **where),
    ):
        await parts.state(ours.sid, fact)
        assert (await ours.prompt()).status_code == 202
        check(await ours.prompt(), 409, "too-many-prompts")


async def test_an_end_finds_a_session_that_has_paused_meanwhile(ours: Ours, parts: Parts) -> None:
    await parts.make(ours.sid, 1)
    live = await parts.store.timeline.session(ours.sid)
    await parts.pause(ours.sid)
    await steer.end(parts.services(), live)
    assert (await ours.get())["status"] == "ended"


async def test_a_paused_session_can_be_ended_and_waits_where_all_are_full(ours: Ours, parts: Parts) -> None:
    await parts.make(ours.sid, 1)
    await ours.post("/pause")
    await parts.pause(ours.sid)
    parts.room = 0
    check(await ours.post("/resume"), 503, "pool-full")
    assert (await ours.get())["status"] == "paused"
    await parts.sweeper.lost(ours.sid, "generator", 1)
    assert (await ours.get())["status"] == "paused", "it misses no owner"
    assert (await ours.delete()).status_code == 204
    session = await ours.get()
    assert (session["status"], session["reason"]) == ("ended", "requested")
    for path in ("/pause", "/resume"):
        check(await ours.post(path), 409, "session-over")
    check(await ours.prompt(), 409, "session-over")
    assert (await ours.delete()).status_code == 204


async def test_an_end_waits_for_who_holds_the_session(ours: Ours, parts: Parts) -> None:
    await parts.make(ours.sid, 1)
    for _ in range(2):
        assert (await ours.delete()).status_code == 204
        assert (await ours.get())["status"] == "live"
    await parts.state(ours.sid, SessionEnded(reason="requested"))
    assert (await ours.delete()).status_code == 204


async def test_chunks_are_read_in_pages(http: httpx.AsyncClient, ours: Ours, parts: Parts) -> None:
    await parts.make(ours.sid, 3)
    page = await ours.get("/chunks?limit=2")
    assert ([chunk["chunk"] for chunk in page["data"]], page["has_more"]) == ([0, 1], True)
    rest = await ours.get(f"/chunks?after={page['next']}")
    assert ([chunk["chunk"] for chunk in rest["data"]], rest["has_more"]) == ([2], False)
    assert (await ours.get(f"/chunks?after={rest['next']}"))["data"] == []
    check(await http.get(f"{ours.path}/chunks?after=x"), 400, "bad-cursor")
    check(await http.get(f"{ours.path}/chunks?after=1-0"), 410, "cursor-gone")
    check(await http.get(f"{SESSIONS}/unknown/chunks"), 404, "no-such-session")
