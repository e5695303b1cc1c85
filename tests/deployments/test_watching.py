"""Watching the real service: its HLS in ffmpeg and in hls.js, through a pause; and a storm of viewers."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import av
from browser import ARGUMENTS
from playwright.async_api import async_playwright
from service_client import Client, decode
from service_process import ServiceProcess

from tests.support import find_chromium, find_hls_js

HLS_JS = """(url) => new Promise((resolve) => {
    const video = document.body.appendChild(Object.assign(document.createElement("video"), {muted: true}));
    const hls = new Hls({lowLatencyMode: true, enableWorker: false, maxBufferHole: 0});
    window.seen = {parts: 0, fatal: [], hls, video};
    hls.on(Hls.Events.FRAG_BUFFERED, (_, {part}) => { window.seen.parts += part ? 1 : 0; });
    hls.on(Hls.Events.ERROR, (_, {details, fatal}) => { if (fatal) window.seen.fatal.push(details); });
    hls.on(Hls.Events.MANIFEST_PARSED, () => { video.play(); resolve(); });
    hls.loadSource(url);
    hls.attachMedia(video);
})"""


async def pause_and_resume(client: Client, sid: str) -> dict[str, Any]:
    """Gives the session as it was in between."""
    assert (await client.post(f"/v1/sessions/{sid}/pause")).status_code in (200, 202)
    paused = await client.until(sid, lambda session: session["status"] == "paused")
    assert (await client.post(f"/v1/sessions/{sid}/resume")).status_code in (200, 202)
    return paused


async def test_ffmpeg_and_live_mp4_play_every_frame_through_a_pause_to_the_end(
    client: Client, service: ServiceProcess
) -> None:
    def play(url: str) -> list[int]:
        with av.open(url, timeout=60) as container:
            return [round(frame.time * 16) for frame in container.decode(container.streams.video[0])]

    data = bytearray()

    async def read(sid: str) -> None:
        async with client.stream("GET", f"/v1/sessions/{sid}/live.mp4") as answer:
            async for part in answer.aiter_bytes():
                data.extend(part)

    async with client.session() as created:
        sid = created["id"]
        hls = asyncio.create_task(asyncio.to_thread(play, service.url + created["links"]["hls"]))
        live = asyncio.create_task(read(sid))
        await client.until(sid, lambda session: session["chunks"] >= 6)
        paused = await pause_and_resume(client, sid)
        await client.until(sid, lambda session: session["chunks"] >= paused["chunks"] + 6)
        session = await client.end(sid)
    await live
    assert decode(bytes(data))[1] == list(range(session["frames"]))
    assert await hls == list(range(session["frames"]))


async def test_hls_js_plays_part_by_part_and_goes_on_after_a_pause(client: Client, service: ServiceProcess) -> None:
    chromium, script = find_chromium(), find_hls_js()
    async with client.session() as created, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        try:
            page = await browser.new_page()
            page.set_default_timeout(60_000)
            await page.goto(f"{service.url}/healthz")
            await page.add_script_tag(path=script)
            await page.evaluate(HLS_JS, service.url + created["links"]["hls"])
            await page.wait_for_function("seen.video.currentTime > 4 && seen.parts >= 4")
            paused = await pause_and_resume(client, created["id"])
            await page.wait_for_function("(t) => seen.video.currentTime > t", arg=paused["media_seconds"] + 1)
            await client.end(created["id"])
            await page.wait_for_function("seen.video.ended")
            assert await page.evaluate("[seen.fatal, seen.video.buffered.length]") == [[], 1]
        finally:
            await browser.close()


async def test_fifty_viewers_in_a_storm_are_all_served_through_one_upstream(
    client: Client, service: ServiceProcess
) -> None:
    opened = service.output.count("upstream opened")
    async with AsyncExitStack() as stack:
        viewers = [Client(base_url=service.url, timeout=40.0, verify=False) for _ in range(100)]
        for viewer in viewers:
            await stack.enter_async_context(viewer)
        created = await stack.enter_async_context(client.session())
        for storm in (viewers[:50], viewers[50:]):  # each has a connection of its own
            watched = await asyncio.gather(*(viewer.watch(created["id"], 2) for viewer in storm))
            assert len({each.init for each in watched}) == 1
            assert all(len(each.fragments) == 2 for each in watched)
        assert (await client.get(created["links"]["self"])).json()["status"] == "live"
    assert service.output.count("upstream opened") - opened <= 2, "one, and one more when its call has lasted a minute"
