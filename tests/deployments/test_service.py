"""The service over real HTTP, Ray and Redis: create, watch, steer, resume, crowd, break."""

from __future__ import annotations

import asyncio
import random
import re
from typing import Any

import numpy as np
import pytest
import torch
from service_client import Client, Watched, decode
from service_process import ServiceProcess

from longlive.tiny.captions import full_caption
from longlive.tiny.readouts import read
from longlive.tiny.world import Scene


async def test_a_created_session_says_where_everything_is(client: Client) -> None:
    async with client.session(seed=7) as created:
        assert created["status"] == "starting"
        assert created["seed"] == 7
        assert created["links"]["live"] == f"/v1/sessions/{created['id']}/live.mp4"
        for name in ("self", "timeline", "init"):
            assert (await client.get(created["links"][name])).status_code == 200


async def test_fragments_play_as_one_gapless_moving_picture(client: Client) -> None:
    async with client.session() as created:
        watched = await client.watch(created["id"], 5)
    assert watched.numbers == [0, 1, 2, 3, 4]
    assert watched.frames == [9, 12, 12, 12, 12]
    assert watched.first_frames == [0, 9, 21, 33, 45]
    video, times = watched.decode()
    assert times == list(range(57))
    assert video.shape[1:] == (created["height"], created["width"], 3)
    assert np.abs(np.diff(video.astype(int), axis=0)).max(axis=(1, 2, 3)).min() > 0


async def test_the_same_seed_gives_the_same_video(client: Client) -> None:
    async with client.session(seed=3) as one, client.session(seed=3) as two, client.session(seed=4) as other:
        videos = await asyncio.gather(*(client.watch(created["id"], 2) for created in (one, two, other)))
    assert videos[0].fragments == videos[1].fragments
    assert videos[0].fragments != videos[2].fragments


async def test_live_mp4_is_one_playable_stream_and_ends_with_the_session(client: Client) -> None:
    async with client.session() as created:
        sid, data = created["id"], bytearray()
        async with client.stream("GET", f"/v1/sessions/{sid}/live.mp4") as answer:
            assert answer.headers["content-type"].startswith('video/mp4; codecs="avc1.')
            async for part in answer.aiter_bytes():
                data += part
                if data.count(b"moof") >= 3:
                    await client.delete(f"/v1/sessions/{sid}")
    video, times = decode(bytes(data))
    assert len(video) >= 33
    assert times == list(range(len(video)))


async def test_a_second_viewer_joins_at_the_live_edge(client: Client) -> None:
    async with client.session() as created:
        await client.watch(created["id"], 4)
        joined = await client.watch(created["id"], 1, most_behind=1)
    assert joined.numbers[0] >= 3
    assert joined.decode()[1][0] == joined.first_frames[0]


async def test_a_prompt_is_applied_at_the_frame_that_the_timeline_names(client: Client) -> None:
    async with client.session() as created:
        sid = created["id"]
        before = await client.watch(sid, 2)
        answer = await client.post(f"/v1/sessions/{sid}/prompts", json={"text": "a blue ball at night"})
        assert answer.status_code == 202
        accepted = answer.json()
        told = asyncio.create_task(client.entry(sid, "prompt.applied", prompt_id=accepted["prompt_id"]))
        newest = before.numbers[-1]
        first_frames = {}
        while not told.done() or newest < told.result()["chunk"]:
            pulled = await client.watch(sid, 1, after=newest)
            newest = pulled.numbers[0]
            first_frames[newest] = pulled.first_frames[0]
        applied = await told
        session = (await client.get(f"/v1/sessions/{sid}")).json()
    assert applied["frame"] >= accepted["earliest_frame"]
    assert applied["frame"] == first_frames[applied["chunk"]]
    assert applied["media_seconds"] == applied["frame"] / created["fps"]
    assert session["prompt"] == applied["text"] == "a blue ball in the meadow at night"


async def test_the_picture_follows_the_prompt(client: Client) -> None:
    rng = random.Random(0)
    one = Scene("ball", "red", "right", "meadow", "day", "clear")
    two = Scene("ball", "blue", "right", "desert", "night", "clear")
    async with client.session(full_caption(rng, one), seed=1) as created:
        sid = created["id"]
        before = await client.watch(sid, 4)
        await client.post(f"/v1/sessions/{sid}/prompts", json={"text": full_caption(rng, two)})
        after = await client.watch(sid, 9, after=before.numbers[-1])
        applied = await client.entry(sid, "prompt.applied")
    seen_before, seen_after = (_readouts(watched) for watched in (before, after))
    assert applied["frame"] + 4 * created["fps"] <= after.first_frames[-1]
    changed = one.changed(two)
    assert sum(seen_before[name] == getattr(one, name) for name in changed) >= 2
    assert sum(seen_after[name] == getattr(two, name) for name in changed) >= 2


def _readouts(watched: Watched) -> dict[str, str | None]:
    """What the last two seconds show."""
    video, _ = watched.decode()
    return read(torch.from_numpy(video[-32:]).permute(0, 3, 1, 2))


async def test_unknown_words_are_told(client: Client) -> None:
    async with client.session("a red ball and a zyzzyva") as created:
        assert any("zyzzyva" in warning for warning in created["warnings"])
        path, watching = f"/v1/sessions/{created['id']}/prompts", asyncio.create_task(client.watch(created["id"], 1000))
        answer = await client.post(path, json={"text": "a qwertz", "expand": False})
        assert any("qwertz" in warning for warning in answer.json()["warnings"])
        asked = (await client.post(path, json={"text": "a blue qwertz"})).json()["prompt_id"]
        made = await client.entry(created["id"], "prompt.expanded", prompt_id=asked)
        watching.cancel()
    assert (made["prompt"], made["warnings"]) == ("a blue ball", ["Nothing was made of 'qwertz'."])


async def test_an_end_is_repeatable_and_the_history_stays(client: Client) -> None:
    async with client.session() as created:
        sid = created["id"]
        await client.watch(sid, 1)
        session = await client.end(sid)
        assert (session["status"], session["reason"]) == ("ended", "requested")
        assert (await client.delete(f"/v1/sessions/{sid}")).status_code == 204
        kinds = [entry["type"] for entry in await client.timeline(sid)]
    assert kinds == ["session.created", "session.starting", "session.live", "end.requested", "session.ended"]


async def test_two_sessions_run_side_by_side_on_both_generators(client: Client) -> None:
    async with client.session() as one, client.session() as two, client.session() as three:
        watched = await asyncio.gather(*(client.watch(created["id"], 3) for created in (one, two, three)))
    assert len({created["owner"] for created in (one, two, three)}) == 2
    assert all(each.decode()[1] == list(range(33)) for each in watched)


async def test_events_resume_after_the_last_one_that_was_seen(client: Client) -> None:
    async with client.session() as created:
        sid = created["id"]
        first = await anext(client.events(sid))
        assert first["event"] == "session.created"
        await client.watch(sid, 1)
        await client.post(f"/v1/sessions/{sid}/prompts", json={"text": "it snows"})
        resumed = [event async for event in _until_over(client, sid, first["id"])]
        everything = [event async for event in client.events(sid)]
        done = await client.get(f"/v1/sessions/{sid}/events", headers={"Last-Event-ID": everything[-1]["id"]})
    kinds = [event["event"] for event in resumed if event["event"] != "stats"]
    assert [kind for kind in kinds if kind in ("session.starting", "session.live", "prompt.requested")] == [
        "session.starting",
        "session.live",
        "prompt.requested",
    ]
    assert kinds[-1] == "session.ended"
    assert [event["id"] for event in everything] == [first["id"], *(e["id"] for e in resumed if "id" in e)]
    assert done.status_code == 204


async def _until_over(client: Client, sid: str, last_event_id: str) -> Any:
    async for event in client.events(sid, last_event_id):
        yield event
        if event["event"] == "prompt.requested":
            await client.delete(f"/v1/sessions/{sid}")


async def test_stats_come_between_the_events_and_leave_the_cursor_alone(client: Client) -> None:
    async with client.session() as created:
        async for event in client.events(created["id"]):
            if event["event"] == "stats":
                assert event["data"]["id"] == created["id"]
                assert "id" not in event
                return
    pytest.fail("the stream ended without stats")


async def test_the_timeline_is_read_in_pages(client: Client) -> None:
    async with client.session() as created:
        sid = created["id"]
        await client.watch(sid, 1)
        page = (await client.get(f"/v1/sessions/{sid}/timeline", params={"limit": 1})).json()
        rest = (await client.get(f"/v1/sessions/{sid}/timeline", params={"after": page["next"]})).json()
    assert [entry["type"] for entry in page["data"]] == ["session.created"]
    assert page["has_more"]
    assert [entry["type"] for entry in rest["data"]][:2] == ["session.starting", "session.live"]
    assert not rest["has_more"]


async def test_a_full_service_refuses_and_disturbs_nobody(client: Client) -> None:
    async with client.session() as one, client.session() as two, client.session() as three, client.session() as four:
        watching = asyncio.gather(*(client.watch(each["id"], 4) for each in (one, two, three, four)))
        refused = await client.post("/v1/sessions", json={"prompt": "one too many"})
        watched = await watching
    assert refused.status_code == 503
    assert refused.json()["code"] == "pool-full"
    assert int(refused.headers["retry-after"]) >= 1
    assert all(each.decode()[1] == list(range(45)) for each in watched)
    async with client.session() as again:
        assert again["status"] == "starting"


async def test_ready_and_described(client: Client) -> None:
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    assert (await client.get("/readyz")).json() == {"status": "ready"}
    docs = await client.get("/docs")
    assert docs.status_code == 200
    for part in re.findall(r'(?:src|href)="([^"]*)"', docs.text):
        assert (await client.get(part)).status_code == 200, "it must not come from elsewhere"
    paths = (await client.get("/openapi.json")).json()["paths"]
    assert {"/v1/sessions", "/v1/sessions/{sid}/prompts", "/v1/sessions/{sid}/fragments"} <= set(paths)
    model = (await client.get("/v1/model")).json()
    assert (model["name"], model["width"], model["fps"]) == ("tiny", 64, 16)
    assert model["examples"]
    assert model["follow_ups"]


async def test_sessions_of_a_killed_generator_go_on_and_no_others_move(client: Client, service: ServiceProcess) -> None:
    """Of two slots each: where the other one has no room, a session waits for the next generator."""
    async with client.session() as one, client.session() as two, client.session() as three:
        owners = {each["id"]: each["owner"] for each in (one, two, three)}
        await asyncio.gather(*(client.watch(sid, 1) for sid in owners))
        ends = {sid: asyncio.create_task(_read_to_the_end(client, sid)) for sid in owners}
        service.kill("Generator")
        made = {sid: (await client.until(sid, lambda session: session["chunks"] >= 1))["chunks"] for sid in owners}
        after = {
            sid: await client.until(sid, lambda now, sid=sid: now["chunks"] >= made[sid] + 4, 90) for sid in owners
        }
        moved = {owners[sid] for sid, session in after.items() if session["moves"]}
        assert len(moved) == 1
        for sid, session in after.items():
            assert session["status"] == "live"
            assert session["moves"] == (1 if owners[sid] in moved else 0)
            kinds = [entry["type"] for entry in await client.timeline(sid)]
            assert kinds.count("session.moved") == session["moves"]
            assert not ends[sid].done(), "its viewer's response has stayed open"
    await asyncio.gather(*ends.values())
    async with client.session() as after_all:
        assert (await client.watch(after_all["id"], 2)).decode()[1] == list(range(21))


async def test_a_killed_redis_stops_no_picture_and_forgets_no_session(client: Client, service: ServiceProcess) -> None:
    async with client.session() as created:
        sid = created["id"]
        watching = asyncio.create_task(client.watch(sid, 12))
        await client.until(sid, lambda session: session["chunks"] >= 2)
        service.kill("redis-server")
        watched = await watching
        session = await client.until(sid, lambda session: session["chunks"] >= 12)
        assert session["status"] == "live"
        watching = asyncio.create_task(client.watch(sid, 8, after=watched.numbers[-1]))
        answer = await client.post(f"/v1/sessions/{sid}/prompts", json={"text": "a blue ball at night"})
        assert answer.status_code == 202
        await client.entry(sid, "prompt.applied", prompt_id=answer.json()["prompt_id"])
        await watching
    assert watched.numbers == list(range(12))
    assert watched.decode()[1] == list(range(9 + 11 * 12))


async def test_a_killed_ingress_cuts_no_live_stream(client: Client, service: ServiceProcess) -> None:
    async with client.session() as created:
        sid, data = created["id"], bytearray()
        async with client.stream("GET", f"/v1/sessions/{sid}/live.mp4") as answer:
            parts = answer.aiter_bytes()
            while data.count(b"moof") < 2:
                data += await anext(parts)
            service.kill("Ingress")
            while data.count(b"moof") < 6:
                data += await anext(parts)
    video, times = decode(bytes(data))
    assert len(video) >= 9 + 4 * 12
    assert times == sorted(set(times))


async def test_killed_encoders_are_not_missed(client: Client, service: ServiceProcess) -> None:
    async with client.session() as created:
        sid = created["id"]
        before = await client.watch(sid, 2)
        watching = asyncio.create_task(client.watch(sid, 20, after=before.numbers[-1]))
        service.kill("TextEncoder")
        service.kill("VideoEncoder")
        answer = await client.post(f"/v1/sessions/{sid}/prompts", json={"text": "a blue ball at night"})
        assert answer.status_code == 202
        await client.entry(sid, "prompt.applied", prompt_id=answer.json()["prompt_id"])
        assert (await client.get("/readyz")).status_code == 200
        watched = await watching
    assert watched.numbers == list(range(2, 22))


async def _read_to_the_end(client: Client, sid: str) -> None:
    async with client.stream("GET", f"/v1/sessions/{sid}/live.mp4") as answer:
        async for _ in answer.aiter_bytes():
            pass
