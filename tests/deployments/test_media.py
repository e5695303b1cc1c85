"""The picture over HTTP: pulled, endless and as HLS; through a queue, a pause and an end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from media_server import MediaServer, serving
from redis_store import Store
from service_client import decode


@pytest.fixture
async def server(store: Store) -> AsyncIterator[MediaServer]:
    async with serving(store) as server:
        yield server


@pytest.fixture
async def http(server: MediaServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.path(""), timeout=30) as http:
        yield http


async def test_who_asks_just_in_time_is_answered_at_once(server: MediaServer, http: httpx.AsyncClient) -> None:
    video = await server.video()
    await video.start()
    assert (await http.get("fragments", params={"wait": 0})).status_code == 204
    await video.make(2)
    first = await http.get("fragments", params={"wait": 20})
    assert first.headers["x-fragment"] in ("0", "1")
    assert (await http.get("fragments", params={"wait": 0, "after": 1})).status_code == 204
    for wait in (-1, 21):
        assert (await http.get("fragments", params={"wait": wait})).status_code == 422


async def test_a_viewer_of_a_queued_session_waits_and_then_gets_the_first_fragment(
    server: MediaServer, http: httpx.AsyncClient
) -> None:
    video = await server.video()
    assert (await http.get("fragments", params={"wait": 0.1})).status_code == 204
    waiting = asyncio.create_task(http.get("fragments", params={"wait": 20}))
    await asyncio.sleep(0)
    assert server.upstreams == []
    await video.start()
    await video.make(1)
    assert (await waiting).headers["x-fragment"] == "0"


async def test_a_viewer_goes_on_after_a_pause_with_the_next_fragment(
    server: MediaServer, http: httpx.AsyncClient
) -> None:
    video = await server.video()
    await video.start()
    await video.make(3)
    assert (await http.get("fragments", params={"most_behind": 8})).headers["x-fragment"] == "0"
    await video.pause()
    assert (await http.get("fragments", params={"after": 2, "wait": 0.1})).status_code == 204
    assert (await http.get("fragments", params={"after": 3})).status_code == 400
    waiting = asyncio.create_task(http.get("fragments", params={"after": 2}))
    await video.resume("second")
    await video.make(1)
    assert (await waiting).headers["x-fragment"] == "3"
    assert server.upstreams == [("s", "first"), ("s", "second")]


async def test_live_mp4_stays_open_through_a_pause_without_a_gap_and_ends_with_the_session(
    server: MediaServer, http: httpx.AsyncClient
) -> None:
    video = await server.video()
    data, fragments = bytearray(), asyncio.Semaphore(0)

    async def read() -> None:
        async with http.stream("GET", "live.mp4") as answer:
            async for part in answer.aiter_raw():
                data.extend(part)
                for _ in range(part.count(b"moof")):
                    fragments.release()

    reading = asyncio.create_task(read())
    await video.start()
    for _ in range(4):
        await video.make(1)
        await fragments.acquire()
    await video.pause()
    await video.resume("second")
    for _ in range(4):
        await video.make(1)
        await fragments.acquire()
    await video.end()
    await reading
    assert decode(bytes(data))[1] == list(range(9 + 7 * 12))


async def test_a_session_that_ends_while_it_is_paused_ends_its_live_mp4(
    server: MediaServer, http: httpx.AsyncClient
) -> None:
    video = await server.video()
    await video.start()
    await video.make(1)
    async with http.stream("GET", "live.mp4") as answer:
        parts = answer.aiter_raw()
        while b"moof" not in await anext(parts):
            pass
        await video.pause()
        await video.end()
        async for _ in parts:
            pass


async def test_a_playlist_waits_for_the_part_that_it_is_asked_for(server: MediaServer, http: httpx.AsyncClient) -> None:
    video = await server.video()
    coming = asyncio.create_task(http.get("hls/live.m3u8"))
    await video.start()
    await video.make(1)
    first = await coming
    assert first.headers["content-type"] == "application/vnd.apple.mpegurl"
    assert "0.m4s" in first.text
    for chunk, query in enumerate(({"_HLS_msn": 1, "_HLS_part": 0}, {"_HLS_msn": 0, "_HLS_part": 2}), start=1):
        reload = asyncio.create_task(http.get("hls/live.m3u8", params=query))
        await asyncio.sleep(0.05)
        assert not reload.done()
        await video.make(1)
        assert f'URI="1.{chunk - 1}.m4s"' in (await reload).text
    whole = asyncio.create_task(http.get("hls/live.m3u8", params={"_HLS_msn": 1}))
    await video.make(2)
    assert "\n1.m4s\n" in (await whole).text


async def test_a_reload_that_cannot_come_is_refused(server: MediaServer, http: httpx.AsyncClient) -> None:
    video = await server.video()
    await video.start()
    await video.make(1)
    for query in ({"_HLS_msn": 3, "_HLS_part": 0}, {"_HLS_part": 0}):
        answer = await http.get("hls/live.m3u8", params=query)
        assert (answer.status_code, answer.json()["code"]) == (400, "bad-reload")
    assert (await http.get("hls/live.m3u8", params={"_HLS_msn": -1})).status_code == 422


async def test_parts_and_segments_are_the_fragments(server: MediaServer, http: httpx.AsyncClient) -> None:
    video = await server.video()
    await video.start()
    await video.make(5)
    assert (await http.get("hls/live.m3u8", params={"_HLS_msn": 1})).status_code == 200
    parts = [(await http.get(f"hls/1.{part}.m4s")).content for part in range(4)]
    assert (await http.get("hls/1.m4s")).content == b"".join(parts)
    pulled = await http.get("fragments", params={"after": 0, "most_behind": 8})
    assert pulled.content == parts[0]
    hinted = asyncio.create_task(http.get("hls/2.0.m4s"))
    await asyncio.sleep(0.05)
    assert not hinted.done()
    await video.make(1)
    assert (await hinted).status_code == 200
    for name in ("2", "9", "0.1", "9.0", "1.4"):
        answer = await http.get(f"hls/{name}.m4s")
        assert (answer.status_code, answer.json()["code"]) == (404, "no-such-segment"), name


async def test_a_paused_playlist_stays_what_it_was_and_an_ended_one_says_so(
    server: MediaServer, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = await server.video()
    await video.start()
    await video.make(3)
    before = await http.get("hls/live.m3u8", params={"_HLS_msn": 1, "_HLS_part": 1})
    await video.pause()
    monkeypatch.setattr("deployments.hls.target_seconds", lambda fps: 0.02)  # it gives up waiting a little sooner
    asked = {"_HLS_msn": 1, "_HLS_part": 2}
    paused = await http.get("hls/live.m3u8", params=asked)
    assert (paused.status_code, paused.text.splitlines()[3:]) == (200, before.text.splitlines()[3:])
    monkeypatch.undo()
    reload = asyncio.create_task(http.get("hls/live.m3u8", params=asked))
    await video.resume("second")
    await video.make(1)
    assert 'URI="1.2.m4s"' in (await reload).text
    last = asyncio.create_task(http.get("hls/live.m3u8", params={"_HLS_msn": 2}))
    await asyncio.sleep(0)
    await video.end()
    assert (await last).text.endswith("1.m4s\n#EXT-X-ENDLIST\n")
    assert len((await http.get("hls/1.m4s")).content) > 0


async def test_a_viewer_that_comes_from_another_ingress_finds_all_that_its_playlist_names(
    store: Store, server: MediaServer, http: httpx.AsyncClient
) -> None:
    """Two ingresses, of which the second has never been asked for this session, each time."""
    video = await server.video()
    await video.start()
    await video.make(22)
    first = (await http.get("hls/live.m3u8")).text
    named = [line.partition('URI="')[2].partition('"')[0] or line for line in first.splitlines() if ".m4s" in line]
    assert len(named) > 4
    for name in named[:-1]:  # the last is hinted at and not made yet
        await server.hub.close()
        answer = await http.get(f"hls/{name}")
        assert answer.status_code == 200, name
    await server.hub.close()
    again = (await http.get("hls/live.m3u8")).text
    assert again == first
    await server.hub.close()
    assert (await http.get("fragments", params={"after": 14, "most_behind": 8})).headers["x-fragment"] == "15"


async def test_an_ingress_that_lags_a_moment_does_not_doubt_who_has_more(
    server: MediaServer, http: httpx.AsyncClient
) -> None:
    video = await server.video()
    await video.start()
    await video.make(2)
    await http.get("fragments", params={"after": 0})
    asking = asyncio.create_task(http.get("fragments", params={"after": 2}))  # another ingress has passed it on
    await asyncio.sleep(0)
    await video.make(2)
    assert (await asking).headers["x-fragment"] == "3"


async def test_viewers_of_a_service_that_stops_are_let_go_at_once(server: MediaServer, http: httpx.AsyncClient) -> None:
    video = await server.video()
    await video.start()
    await video.make(1)
    async with http.stream("GET", "live.mp4") as answer:
        parts = answer.aiter_raw()
        while b"moof" not in await anext(parts):
            pass
        pulling = asyncio.create_task(http.get("fragments", params={"after": 0}))
        await video.pause()
        server.farewell.say(0.0, for_good=True)
        await server.hub.close()
        stopped = await pulling
        assert (stopped.status_code, stopped.json()["code"]) == (410, "service-stops")
        async for _ in parts:  # a video that is cut instead of ended raises here
            pass
