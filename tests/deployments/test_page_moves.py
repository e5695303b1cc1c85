"""What befalls a video under the page: forked, back in its time, moved, made once more. The generators are a double."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TypeVar

import pytest
from browser import SPAN_SECONDS, Watcher, open_tab, watching
from playing_parts import PlayingParts, playing
from playwright.async_api import Response, Route
from redis_store import Store

from deployments.entries import RewindRequested, SessionCreated, SessionEnded
from deployments.session import chunk_first_frame
from tests.support import find_chromium

T = TypeVar("T")
PROMPT = "a red ball"
QUIET_SECONDS = 4.0
STATUSES = """() => {
    window.statuses = [];
    const status = document.getElementById("status");
    const note = () => window.statuses.push(status.textContent);
    new MutationObserver(note).observe(status, {childList: true, subtree: true, characterData: true});
}"""


@dataclass
class Seen:
    """A video that plays, who watches it, and the numbers of the fragments that they got."""

    parts: PlayingParts
    watcher: Watcher
    url: str
    fragments: list[int] = field(default_factory=list)

    @property
    def sid(self) -> str:
        assert self.watcher.session
        return self.watcher.session

    def note(self, answer: Response) -> None:
        if "/fragments?" in answer.url and answer.status == 200:
            self.fragments.append(int(answer.headers["x-fragment"]))

    async def look_at(self, seconds: float) -> None:
        """Click on a time that has passed."""
        box = await self.watcher.page.locator("#reel").bounding_box()
        assert box
        await self.watcher.page.mouse.click(box["x"] + seconds / SPAN_SECONDS * box["width"], box["y"] + 30)

    async def choose(self, name: str) -> None:
        await self.watcher.page.get_by_role("button", name=name).click()


@pytest.fixture
async def seen(store: Store) -> AsyncIterator[Seen]:
    async with playing(store) as (parts, url), watching(find_chromium(), url) as watcher:
        seen = Seen(parts, watcher, url)
        watcher.page.on("response", seen.note)
        await watcher.say(PROMPT)
        await watcher.watch_until(3.0)
        yield seen
        assert not watcher.faults


async def entry(seen: Seen, sid: str, kind: type[T]) -> T:
    """The one of this kind, once it is there: the page tells what it does before the service has taken it down."""
    async with asyncio.timeout(30):
        first = await anext(one async for one in seen.parts.store.timeline.tail(sid) if isinstance(one, kind))
    found = [one for one in await seen.parts.store.timeline.read(sid) if isinstance(one, kind)]
    assert found == [first]
    return first


async def test_a_click_on_a_time_that_has_passed_forks_the_video_there(seen: Seen) -> None:
    watcher, page, first = seen.watcher, seen.watcher.page, seen.sid
    await seen.look_at(1.6)
    await watcher.sees("#moment", "At 0:01")
    await seen.choose("Fork here")
    await page.wait_for_url(lambda url: first not in url)
    created = await entry(seen, seen.sid, SessionCreated)
    assert created.parent
    frame = chunk_first_frame(2)
    assert (created.parent.session, created.parent.frame) == (first, frame), "the chunk that was pointed at"
    assert created.record, "it is kept as the other one is"
    await watcher.sees("#origin", "Forked at 0:01 from another video")
    await watcher.watch_until(frame / 16 + 1.0)
    assert await page.evaluate("document.querySelector('video').buffered.start(0)") >= frame / 16 - 0.01
    assert await page.locator("#pause").is_visible(), "it is theirs"
    mark = page.locator(".mark[data-kind=forked]")
    assert await mark.get_attribute("aria-label") == "0:01: Forked from another video"
    await page.get_by_role("link", name="another video").click()
    await page.wait_for_url(lambda url: first in url)
    await watcher.watch_on(1.0)
    assert not await page.locator("#origin").is_visible()


async def test_a_video_goes_back_with_the_keyboard_alone(seen: Seen) -> None:
    watcher, page = seen.watcher, seen.watcher.page
    await watcher.tab_to(".cursor")
    for key in ("ArrowLeft", "Escape", "Home", "Enter"):
        await page.keyboard.press(key)
    await watcher.sees("#moment", "At 0:00")
    await page.keyboard.press("Escape")
    assert await page.evaluate("document.activeElement.className") == "cursor", "the focus is back"
    assert await page.locator(".cursor").get_attribute("aria-valuetext") == "at 0:00, which has passed"
    await page.keyboard.press("ArrowRight")
    for key in ("Enter", "ArrowDown", "Enter"):
        await page.keyboard.press(key)
    await watcher.status("Going back")
    assert (await entry(seen, seen.sid, RewindRequested)).to_frame == chunk_first_frame(1)
    await seen.parts.rewind(seen.sid, 1, PROMPT)
    await watcher.status("Went back to 0:00")
    assert "Went back to 0:00" in (await page.locator(".mark[data-kind=rewound]").get_attribute("title") or "")
    await watcher.sees("#prompts li[data-current] .meta", "again: the video went back")
    assert await watcher.prompts() == [PROMPT, PROMPT]
    await watcher.watch_on(1.0)


async def test_who_only_watches_may_fork_but_not_go_back(seen: Seen) -> None:
    seen.parts.kept_from = 100
    async with watching(find_chromium(), f"{seen.url}/#session={seen.sid}") as guest:
        await guest.watch_on(0.5)
        theirs = Seen(seen.parts, guest, seen.url)
        await theirs.look_at(1.6)
        await guest.page.get_by_role("button", name="Fork here").wait_for()
        assert not await guest.page.get_by_role("button", name="Go back here").is_visible()
        box = await guest.page.locator("#reel").bounding_box()
        assert box
        await guest.page.mouse.click(box["x"] + 0.9 * box["width"], box["y"] + 30)
        await guest.page.locator("#moment").wait_for(state="hidden")
        assert not await guest.page.locator("#when").is_visible(), "the time to come is not theirs"
        await theirs.look_at(1.6)
        await theirs.choose("Fork here")
        await guest.page.wait_for_url(lambda url: seen.sid not in url)
        await guest.page.locator("#pause").wait_for()
        assert not guest.faults


async def test_a_time_that_is_not_kept_any_more_is_told(seen: Seen) -> None:
    await seen.parts.history.forget(seen.sid)
    await seen.watcher.watch_on(1.0)
    await seen.look_at(1.6)
    await seen.choose("Fork here")
    await seen.watcher.sees("#notice", "earliest that it can go back to is")
    await seen.watcher.status("^Live")


async def test_the_same_video_goes_on_when_another_generator_takes_it(seen: Seen) -> None:
    watcher, page = seen.watcher, seen.watcher.page
    await seen.parts.stand_still(seen.sid)
    await watcher.status("^One moment")
    await seen.parts.move(seen.sid)
    await watcher.status("^Live Its generator went away: another one goes on")
    await watcher.watch_on(2.0)
    mark = await page.locator(".mark[data-kind=moved]").get_attribute("aria-label")
    assert mark
    assert mark.endswith("another one goes on")
    assert seen.fragments == list(range(seen.fragments[0], seen.fragments[-1] + 1)), "one is missing, or came twice"
    await page.get_by_role("button", name="Statistics").click()
    assert await watcher.statistic("taken over") == "1"
    assert await watcher.statistic("fragments skipped") == "0"


async def test_a_service_that_fails_for_a_moment_costs_no_picture_and_no_word(seen: Seen) -> None:
    watcher, page = seen.watcher, seen.watcher.page
    failed: list[str] = []

    async def fail(route: Route) -> None:
        failed.append(route.request.url)
        if sum("/fragments?" in url for url in failed) > 3:
            return await route.continue_()
        return await route.fulfill(status=503, body="no ingress")

    await page.evaluate(STATUSES)
    began = await page.evaluate("performance.now()")
    await page.route("**/v1/sessions/**", fail)
    number = seen.fragments[-1]
    async with page.expect_response(lambda answer: answer.headers.get("x-fragment", "") > str(number)):
        pass
    took = (await page.evaluate("performance.now()") - began) / 1000
    await watcher.watch_on(2.0)
    assert seen.fragments == list(range(seen.fragments[0], seen.fragments[-1] + 1)), "one is missing, or came twice"
    said = await page.evaluate("window.statuses")
    assert took > QUIET_SECONDS or not any("lost" in status for status in said)


async def test_why_it_stands_still_is_told_and_one_that_nobody_watched_wakes_up(seen: Seen) -> None:
    watcher, page, sid = seen.watcher, seen.watcher.page, seen.sid
    await seen.parts.pause_for(sid, "no-room")
    await watcher.status("^Paused at .* no other one had room. Press Resume")
    await page.get_by_role("button", name="Resume").click()
    await watcher.status("^Live")
    seen.parts.room = 0
    await seen.parts.pause_for(sid, "unwatched")
    await watcher.status("^Waking up")
    seconds = await watcher.seconds()
    seen.parts.room = None
    await watcher.watch_until(seconds + 1.0)
    await watcher.status("^Live")


async def test_a_video_is_made_once_more_to_save_it(seen: Seen) -> None:
    watcher, page = seen.watcher, seen.watcher.page
    made = {"id": "e", "status": "completed", "progress": 1, "start_seconds": 0, "end_seconds": 3.0, "format": "mp4"}

    async def export(route: Route) -> None:
        await route.fulfill(status=202, content_type="application/json", body=json.dumps(made))

    await page.get_by_role("button", name="Save a clip").click()
    async with page.expect_response("**/render") as answered:
        await page.get_by_role("button", name="Make it once more").click()
    again = (await (await answered.value).json())["id"]
    await watcher.sees("#clip .said", "is made, as a video of its own")
    await page.route(f"**/v1/sessions/{again}/exports", export)
    tab = await open_tab(page.context, f"{seen.url}/#session={again}")
    await tab.status("^Being made")
    await tab.sees("#origin", "Made once more from another video")
    await seen.parts.stand_still(again)
    await seen.parts.state(again, SessionEnded(reason="finished"))
    link = page.get_by_role("link", name="Download longlive")
    await link.wait_for()
    assert again in (await link.get_attribute("href") or ""), "the file is of the new one"
    assert not tab.faults
