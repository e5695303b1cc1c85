"""Rewind, fork and render over HTTP: what is asked, what is refused, and what the new session is told of its past."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import torch
from api_parts import Parts, steering

from deployments.entries import (
    AnyEntry,
    BeginStep,
    PromptApplied,
    PromptRequested,
    PromptStep,
    RestoreStep,
    RewindRequested,
    SessionCreated,
    SessionPaused,
)
from deployments.session import chunk_first_frame
from deployments.snapshots import Snapshots
from deployments.steps import steps_of
from longlive.rollout_state import RolloutState
from longlive.snapshot import Snapshot

SESSIONS = "/v1/sessions"


def snapshot(chunk: int) -> Snapshot:
    state = RolloutState("m", 7, chunk, torch.zeros(1, 1, 1), torch.empty(1, 0, 1), None, (), (), 0, 0)
    return Snapshot.take("m", state, 3, torch.float32)


@dataclass
class Past:
    """A session with some chunks, of which some can be gone back to."""

    parts: Parts
    http: httpx.AsyncClient
    created: httpx.Response

    @property
    def sid(self) -> str:
        return self.created.json()["id"]

    async def keep(self, *chunks: int) -> None:
        writer = self.parts.history.writer(self.sid, self.parts.fences[self.sid])
        for chunk in chunks:
            await writer.add(chunk, snapshot(chunk))

    async def post(self, what: str, body: object = None, **headers: str) -> httpx.Response:
        path = f"{SESSIONS}/{self.sid}/{what}"
        return await self.http.post(path, json=body or {}, headers=steering(self.created) | headers)

    async def entries(self, sid: str = "") -> list[AnyEntry]:
        return await self.parts.store.timeline.read(sid or self.sid)

    async def created_of(self, answer: httpx.Response) -> SessionCreated:
        assert answer.status_code == 201, answer.text
        first = (await self.entries(answer.json()["id"]))[0]
        assert isinstance(first, SessionCreated)
        return first


@pytest.fixture
async def past(http: httpx.AsyncClient, parts: Parts) -> Past:
    """Six chunks, the prompt of the last two another one, all but the first two kept."""
    created = await http.post(SESSIONS, json={"prompt": "a ball", "seed": 7, "record": True, "fps": 8})
    past = Past(parts, http, created)
    await parts.make(past.sid, 5)
    applied = PromptApplied(
        prompt_id="p",
        text="rain",
        mode="blend",
        chunk=4,
        frame=chunk_first_frame(4),
        media_seconds=5.6,
        latency_ms=1,
        changes=("rain",),
    )
    asked = PromptRequested(prompt_id="p", text="rain", mode="blend", blend_seconds=3.0)
    await parts.store.timeline.append_command(past.sid, asked)
    await parts.state(past.sid, applied)
    await parts.make(past.sid, 1)
    await past.keep(2, 3, 4, 5, 6)
    return past


def check(answer: httpx.Response, status: int, code: str) -> str:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    return answer.json()["detail"]


@pytest.mark.parametrize(("to", "frame"), [({"frame": 40}, 40), ({"seconds": 5.0}, 40), ({"frame": 0}, 0)])
async def test_a_rewind_is_written_down_for_the_owner(past: Past, to: object, frame: int) -> None:
    answer = await past.post("rewind", {"to": to})
    assert (answer.status_code, answer.json()["id"]) == (202, past.sid)
    newest = (await past.entries())[-1]
    assert isinstance(newest, RewindRequested)
    assert newest.to_frame == frame


async def test_times_to_come_and_times_that_are_forgotten_are_refused(past: Past) -> None:
    before = await past.parts.kinds(past.sid)
    for what, name in (("rewind", "to"), ("fork", "at")):
        assert "69 frames" in check(await past.post(what, {name: {"frame": 69}}), 409, "in-the-future")
        told = check(await past.post(what, {name: {"seconds": 2.0}}), 409, "forgotten")
        assert f"{chunk_first_frame(2) / 8:g} s" in told
    assert await past.parts.kinds(past.sid) == before


async def test_only_a_live_video_is_rewound(past: Past, http: httpx.AsyncClient, parts: Parts) -> None:
    await parts.pause(past.sid)
    assert "Resume it" in check(await past.post("rewind", {"to": {"frame": 40}}), 409, "not-live")
    offline = await http.post(SESSIONS, json={"prompt": "a ball", "pace": "offline", "max_seconds": 9})
    await parts.make(offline.json()["id"], 1)
    other = Past(parts, http, offline)
    check(await other.post("rewind", {"to": {"frame": 0}}), 409, "not-rewindable")


async def test_a_history_that_is_away_is_told(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    from deployments.snapshot_shelves import SnapshotsAway

    async def chunks(sid: str) -> list[int]:
        raise SnapshotsAway("no answer")

    monkeypatch.setattr(past.parts.history, "chunks", chunks)
    check(await past.post("rewind", {"to": {"frame": 40}}), 503, "snapshots-away")
    check(await past.post("fork"), 503, "snapshots-away")
    assert (await past.post("fork", {"at": {"frame": 0}})).status_code == 201, "the beginning needs no snapshot"


async def test_a_fork_goes_on_from_now(past: Past) -> None:
    answer = await past.post("fork", {"labels": {"take": "2"}})
    said = answer.json()
    assert answer.headers["location"] == f"{SESSIONS}/{said['id']}"
    assert said["parent"] == {"session": past.sid, "frame": 69, "relation": "fork"}
    told = {name: said[name] for name in ("prompt", "seed", "fps", "record", "frames", "chunks", "status", "labels")}
    assert told == {
        **{"prompt": "rain", "seed": 7, "fps": 8, "record": False},
        **{"frames": 69, "chunks": 6, "status": "starting", "labels": {"take": "2"}},
    }
    assert await past.parts.history.chunks(said["id"]) == [6]
    assert steps_of(await past.entries(said["id"])) == (
        BeginStep(text="a ball", seed=7),
        PromptStep(chunk=4, text="rain", mode="blend", blend_seconds=3.0, changes=("rain",)),
        RestoreStep(chunk=6, restored_chunk=6, text="rain", changes=("rain",)),
    )
    assert (await past.parts.store.timeline.session(said["id"])).changes == ("rain",)
    assert said["control_token"] != past.created.json()["control_token"]
    await past.parts.make(said["id"], 1)
    view = (await past.http.get(f"{SESSIONS}/{said['id']}")).json()
    assert (view["status"], view["frames"], view["parent"]) == ("live", 81, said["parent"])


async def test_a_fork_of_an_earlier_time_has_the_prompt_of_that_time_and_takes_another_with_it(past: Past) -> None:
    prompt = {"text": "night falls", "mode": "cut"}
    answer = await past.post("fork", {"at": {"seconds": 5.0}, "seed": 8, "prompt": prompt, "record": True})
    created = await past.created_of(answer)
    assert (created.prompt, created.seed, created.record) == ("a ball", 8, True)
    assert created.parent is not None
    assert created.parent.frame == chunk_first_frame(3)
    asked = (await past.entries(answer.json()["id"]))[1]
    assert isinstance(asked, PromptRequested)
    assert (asked.text, asked.mode, asked.at_frame) == ("night falls", "cut", None)
    assert steps_of([created])[-1] == RestoreStep(chunk=3, restored_chunk=3, text="a ball", seed=8)


async def test_one_whose_session_is_over_and_one_of_the_beginning(past: Past, http: httpx.AsyncClient) -> None:
    await past.parts.end(past.sid)
    assert (await past.post("fork", {"at": {"frame": 60}})).json()["parent"]["frame"] == chunk_first_frame(5)
    beginning = await past.post("fork", {"at": {"seconds": 0}, "seed": 9})
    assert (beginning.json()["frames"], beginning.json()["prompt"]) == (0, "a ball")
    assert steps_of([await past.created_of(beginning)]) == (BeginStep(text="a ball", seed=9),)


async def test_a_paused_video_whose_history_is_gone_goes_on_from_what_its_pause_has_put_by(past: Past) -> None:
    snapshots, parts = Snapshots(past.parts.media), past.parts
    path = await snapshots.save(past.sid, parts.fences[past.sid], 6, snapshot(6).pack())
    where = {"chunk": 6, "frame": chunk_first_frame(6), "media_seconds": chunk_first_frame(6) / 8}
    await parts.state(past.sid, SessionPaused(snapshot=path, **where))
    await parts.history.forget(past.sid)
    answer = await past.post("fork")
    found = await parts.history.newest(answer.json()["id"], 6)
    assert found is not None
    assert (found.chunk, found.snapshot.pack()) == (6, snapshot(6).pack())
    assert steps_of([await past.created_of(answer)])[-1] == RestoreStep(
        chunk=6, restored_chunk=6, text="rain", changes=("rain",)
    )
    told = check(await past.post("fork", {"at": {"frame": 40}}), 409, "forgotten")
    assert f"{chunk_first_frame(6) / 8:g} s" in told
    await snapshots.forget(path)
    check(await past.post("fork"), 409, "forgotten")


async def test_a_fork_that_finds_no_room_leaves_nothing(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[str] = []
    copy = past.parts.history.copy

    async def noted(sid: str, chunk: int, to_sid: str) -> None:
        await copy(sid, chunk, to_sid)
        assert await past.parts.history.chunks(to_sid) == [chunk]
        copied.append(to_sid)

    monkeypatch.setattr(past.parts.history, "copy", noted)
    past.parts.room = 0
    check(await past.post("fork"), 503, "pool-full")
    assert await past.parts.history.chunks(copied[0]) == []


async def test_a_fork_repeats_only_under_another_key_and_may_wait_for_its_turn(past: Past) -> None:
    key = {"Idempotency-Key": "fork-1"}
    first, second = await past.post("fork", **key), await past.post("fork", **key)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]
    past.parts.room = 0
    check(await past.post("fork"), 503, "pool-full")
    assert (await past.post("fork", {"queue": True})).json()["status"] == "queued"


async def test_a_fork_of_a_fork_shares_both_pasts(past: Past) -> None:
    child = Past(past.parts, past.http, await past.post("fork", {"at": {"frame": 60}, "seed": 8}))
    await past.parts.make(child.sid, 2)
    await child.keep(6, 7)
    told = check(await child.post("fork", {"at": {"frame": 40}}), 409, "forgotten")
    assert f"{chunk_first_frame(5) / 8:g} s" in told
    grandchild = await past.created_of(await child.post("fork"))
    assert steps_of([grandchild])[-2:] == (
        RestoreStep(chunk=5, restored_chunk=5, text="rain", seed=8, changes=("rain",)),
        RestoreStep(chunk=7, restored_chunk=7, text="rain", changes=("rain",)),
    )
    assert grandchild.seed == 8


async def test_a_render_follows_every_step(past: Past) -> None:
    answer = await past.post("render", {"metadata": {"for": "export"}})
    created = await past.created_of(answer)
    said = answer.json()
    told = {name: said[name] for name in ("pace", "record", "max_seconds", "prompt", "seed", "metadata")}
    assert told == {
        **{"pace": "offline", "record": True, "max_seconds": 69 / 8},
        **{"prompt": "a ball", "seed": 7, "metadata": {"for": "export"}},
    }
    assert said["parent"] == {"session": past.sid, "frame": 69, "relation": "render"}
    assert created.past == steps_of(await past.entries())
    asked = (await past.entries(said["id"]))[1]
    assert isinstance(asked, PromptRequested)
    assert (asked.text, asked.at_frame, asked.mode, asked.blend_seconds) == ("rain", chunk_first_frame(4), "blend", 3.0)


async def test_a_render_may_be_of_a_part_and_is_of_something(past: Past, http: httpx.AsyncClient) -> None:
    short = await past.post("render", {"max_seconds": 3})
    assert short.json()["max_seconds"] == 3
    assert (await past.created_of(short)).past == (BeginStep(text="a ball", seed=7),)
    new = await http.post(SESSIONS, json={"prompt": "a ball"})
    check(await Past(past.parts, http, new).post("render"), 409, "nothing-made")


async def test_another_model_cannot_go_on(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    import api_parts

    monkeypatch.setattr(api_parts, "VIEW", api_parts.VIEW.model_copy(update={"name": "n"}))
    check(await past.post("fork"), 409, "other-model")
    check(await past.post("render"), 409, "other-model")


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("rewind", {}),
        ("rewind", {"to": "now"}),
        ("rewind", {"to": {"seconds": -1}}),
        ("fork", {"at": {"seconds": 1, "frame": 3}}),
        ("fork", {"prompt": "rain"}),
        ("fork", {"prompt": {"text": "rain", "at": "now"}}),
        ("fork", {"fps": 3}),
        ("render", {"max_seconds": 0}),
        ("render", {"seed": 3}),
    ],
)
async def test_what_is_no_such_request_is_refused(past: Past, what: str, body: dict[str, Any]) -> None:
    check(await past.post(what, body), 422, "invalid-request")
