"""The time line of the page: prompts at times to come, receipts, small pictures, clips, numbers."""

from __future__ import annotations

import av
import pytest
from browser import SPAN_SECONDS, Watcher
from playwright.async_api import Route
from service_client import Client

PROMPT = "a red ball hops in a meadow by day in clear weather"
LATER = "a red ball hops in the city at night in clear weather"


async def chosen_seconds(watcher: Watcher) -> float:
    """Media time that the mark on the time line stands at."""
    return float(await watcher.page.locator(".cursor").get_attribute("aria-valuenow") or 0)


async def test_a_click_on_the_time_to_come_has_the_prompt_take_effect_there(watcher: Watcher, client: Client) -> None:
    await watcher.say(PROMPT)
    await watcher.watch_until(1.0)
    assert watcher.session
    box = await watcher.page.locator("#reel").bounding_box()
    assert box
    pixel = round(box["x"] + (await watcher.seconds() + 6.0) / SPAN_SECONDS * box["width"])
    wanted = (pixel - box["x"]) / box["width"] * SPAN_SECONDS
    await watcher.page.mouse.click(pixel, box["y"] + 40)
    seconds = await chosen_seconds(watcher)
    assert wanted - 0.01 <= seconds <= wanted + 12 / 16 + 0.01, "the next chunk after the place of the click"
    await watcher.sees("#when", f"at 0:{int(seconds):02d}")
    await watcher.say(LATER)
    await watcher.sees("#prompts li[data-state=scheduled] .meta", f"scheduled for 0:{int(seconds):02d}")
    assert await watcher.marker_seconds(LATER) == pytest.approx(seconds, abs=0.02)
    assert not await watcher.page.locator("#when").is_visible(), "the next prompt is for now again"
    await watcher.sees("#prompts li[data-current] q", LATER)
    applied = await client.entry(watcher.session, "prompt.applied", text=LATER)
    assert applied["frame"] == round(seconds * 16)


async def test_a_click_on_a_time_that_has_passed_forks_the_video_there(watcher: Watcher, client: Client) -> None:
    await watcher.say(PROMPT)
    await watcher.watch_until(4.0)
    first = watcher.session
    assert first
    client.tokens[first] = await watcher.token()
    box = await watcher.page.locator("#reel").bounding_box()
    assert box
    await watcher.page.mouse.click(box["x"] + 2.0 / SPAN_SECONDS * box["width"], box["y"] + 40)
    await watcher.page.get_by_role("button", name="Fork here").click()
    await watcher.sees("#origin", "Forked at 0:01 from another video")
    assert watcher.session
    assert watcher.session != first
    fork = (await client.get(f"/v1/sessions/{watcher.session}")).json()
    assert (fork["parent"]["session"], fork["parent"]["frame"]) == (first, 21)
    await watcher.say(LATER)
    await watcher.sees("#prompts li[data-current] q", LATER)
    assert await watcher.prompts() == [PROMPT, LATER]
    await client.end(first)
    await watcher.watch_on(1.0)


async def test_a_prompt_is_placed_and_cancelled_with_the_keyboard_alone(watcher: Watcher, client: Client) -> None:
    await watcher.say(PROMPT)
    await watcher.watch_until(1.0)
    assert watcher.session
    page = watcher.page
    await watcher.tab_to(".cursor")
    before = await chosen_seconds(watcher)
    for key in ("PageUp", "PageUp", "PageUp", "ArrowRight", "ArrowLeft", "ArrowRight"):
        await page.keyboard.press(key)
    assert await chosen_seconds(watcher) >= before + 15
    await page.keyboard.press("Enter")
    assert await page.evaluate("document.activeElement.id") == "prompt", "the words come next"
    await watcher.say(LATER)
    await watcher.sees("#prompts li[data-state=scheduled] q", LATER)
    await watcher.tab_to("#prompts button")
    await page.keyboard.press("Enter")
    await watcher.sees("#prompts li[data-state=cancelled] .meta", "cancelled")
    await client.entry(watcher.session, "prompt.cancelled")
    await page.locator(".segment").filter(has_text=LATER).wait_for(state="detached")


async def test_a_time_is_taken_back(watcher: Watcher) -> None:
    await watcher.say(PROMPT)
    await watcher.watch_until(1.0)
    await watcher.tab_to(".cursor")
    await watcher.page.keyboard.press("PageUp")
    await watcher.page.keyboard.press("Enter")
    await watcher.page.locator("#when").focus()
    await watcher.page.keyboard.press("Enter")
    await watcher.page.locator("#when").wait_for(state="hidden")
    await watcher.say("it starts to snow")
    await watcher.sees("#prompts li[data-current] q", "it starts to snow")


async def test_a_time_that_has_passed_is_told_and_the_words_are_kept(watcher: Watcher) -> None:
    await watcher.say(PROMPT)
    await watcher.watch_until(1.0)
    await watcher.tab_to(".cursor")
    await watcher.page.keyboard.press("Enter")
    seconds = await chosen_seconds(watcher)
    await watcher.page.keyboard.type(LATER)
    await watcher.watch_until(seconds + 1.0)
    await watcher.page.keyboard.press("Enter")
    await watcher.page.locator("#notice:not(:empty)").wait_for()
    assert await watcher.page.input_value("#prompt") == LATER
    await watcher.page.keyboard.press("Enter")  # as soon as possible, then
    await watcher.sees("#prompts li[data-current] q", LATER)


@pytest.mark.parametrize(("choice", "mode", "blend"), [("cuts to a new scene", "cut", None), ("blends", "blend", 2.0)])
async def test_how_a_prompt_takes_hold_is_chosen(
    watcher: Watcher, client: Client, choice: str, mode: str, blend: float | None
) -> None:
    await watcher.say(PROMPT)
    await watcher.watch_until(1.0)
    assert watcher.session
    label = await watcher.page.locator("#mode option").filter(has_text=choice).inner_text()
    await watcher.page.locator("#mode").select_option(label=label)
    if blend:
        await watcher.page.get_by_label("seconds").fill(str(blend))
    await watcher.page.locator("#prompt").focus()
    await watcher.say(LATER)
    await watcher.sees("#prompts li[data-current] q", LATER)
    asked = await client.entry(watcher.session, "prompt.requested", text=LATER)
    assert (asked["mode"], asked["blend_seconds"]) == (mode, blend)


async def test_the_receipt_of_a_prompt_says_when_it_took_effect(watcher: Watcher, client: Client) -> None:
    await watcher.say(PROMPT)
    await watcher.watch_until(1.0)
    await watcher.say(LATER)
    await watcher.sees("#prompts li[data-current] q", LATER)
    assert watcher.session
    applied = await client.entry(watcher.session, "prompt.applied", text=LATER)
    said = await watcher.page.locator("#prompts li[data-current] .meta").inner_text()
    assert f"from 0:{int(applied['media_seconds']):02d}" in said
    assert f"{applied['latency_ms'] / 1000:.1f} s after" in said


async def test_the_time_line_is_zoomed_and_comes_back_to_now(watcher: Watcher) -> None:
    await watcher.say(PROMPT)
    await watcher.watch_until(1.0)
    page = watcher.page
    await page.get_by_role("button", name="Show a shorter time").click()
    await page.get_by_role("button", name="Show a shorter time").click()
    await watcher.watch_until(9.0)
    await page.wait_for_function("document.getElementById('reel').scrollLeft > 0")
    await page.locator("#reel").hover()
    await page.mouse.wheel(-2000, 0)
    await page.get_by_role("button", name="Back to now").click()
    await page.wait_for_function("document.getElementById('reel').scrollLeft > 0")
    await page.get_by_role("button", name="Whole video").click()
    await page.wait_for_function(
        "document.getElementById('reel').scrollWidth <= document.getElementById('reel').clientWidth"
    )
    assert await page.get_by_role("button", name="Whole video").get_attribute("aria-pressed") == "true"


async def test_small_pictures_of_the_video_lie_on_its_time_line(watcher: Watcher) -> None:
    asked: list[str] = []
    watcher.page.on("request", lambda request: asked.append(request.url))
    await watcher.say(PROMPT)
    frame = watcher.page.locator(".frame").first
    await frame.wait_for()
    url = await frame.evaluate("(frame) => frame.style.backgroundImage.slice(5, -2)")
    answer = await watcher.page.request.get(url if url.startswith("http") else watcher.page.url.split("/#")[0] + url)
    assert answer.status == 200
    assert answer.headers["content-type"] == "image/webp"
    await watcher.watch_until(17.0)
    assert await watcher.page.locator(".frame").count() > 3
    lists = [url for url in asked if "/thumbnails?" in url]
    assert lists[0].endswith("after=-1")
    assert int(lists[-1].partition("after=")[2]) > 0, "what is known is not listed again"


async def test_a_marked_part_of_the_video_is_saved_as_a_clip(watcher: Watcher) -> None:
    await watcher.say(PROMPT)
    await watcher.watch_until(6.0)
    page = watcher.page
    box = await page.locator("#reel").bounding_box()
    assert box
    for action, seconds in ((page.mouse.move, 1.0), (None, 0), (page.mouse.move, 2.0), (page.mouse.move, 3.0)):
        if action:
            await action(box["x"] + seconds / SPAN_SECONDS * box["width"], box["y"] + 30)
        else:
            await page.mouse.down()
    await page.mouse.up()
    assert float(await page.get_by_label("From second").input_value()) == pytest.approx(1.0, abs=0.1)
    assert float(await page.get_by_label("to second").input_value()) == pytest.approx(3.0, abs=0.1)
    await page.get_by_role("button", name="Make the clip").click()
    async with page.expect_download() as downloaded:
        await page.get_by_role("link", name="Download longlive").click()
    with av.open(str(await (await downloaded.value).path())) as clip:
        frames = sum(1 for _ in clip.decode(video=0))
    assert 32 <= frames <= 32 + 2 * 12, "whole chunks around what was marked"


async def test_who_does_not_keep_a_video_is_told_that_there_are_no_clips(watcher: Watcher, client: Client) -> None:
    await watcher.page.get_by_label("Keep the video").uncheck()
    await watcher.page.locator("#prompt").focus()
    await watcher.say(PROMPT)
    await watcher.watch_until(1.0)
    assert watcher.session
    assert not (await client.get(f"/v1/sessions/{watcher.session}")).json()["record"]
    await watcher.page.get_by_role("button", name="Save a clip").click()
    await watcher.sees("#clip .said", "not kept")


async def test_who_keeps_a_video_is_told_when_it_is_not_kept_any_more(watcher: Watcher, client: Client) -> None:
    reason = "The video is not recorded any more. The media store is full (quota)."

    async def with_a_failure(route: Route) -> None:
        answer = await route.fetch()
        page = await answer.json()
        page["data"].append({"id": "0-1", "at": 0, "type": "recording.failed", "reason": reason})
        await route.fulfill(response=answer, json=page)

    await watcher.page.route("**/timeline?*", with_a_failure)
    await watcher.say(PROMPT)
    await watcher.sees("#notice", reason)
    await watcher.watch_until(6.0)
    await watcher.page.get_by_role("button", name="Save a clip").click()
    await watcher.sees("#clip .said", f"{reason} What was kept until then can still be saved.")
    await watcher.page.get_by_label("From second").fill("0")
    await watcher.page.get_by_role("button", name="Make the clip").click()
    await watcher.page.get_by_role("link", name="Download longlive").wait_for()


async def test_numbers_are_shown_to_who_asks_for_them(watcher: Watcher) -> None:
    await watcher.say(PROMPT)
    await watcher.watch_until(1.0)
    button = watcher.page.get_by_role("button", name="Statistics")
    assert await button.get_attribute("aria-expanded") == "false"
    await button.click()
    await watcher.page.get_by_role("img", name="In advance").wait_for()
    assert "of 16" in await watcher.statistic("frames a second")
    assert await watcher.statistic("a chunk takes") != "–"
    assert await watcher.statistic("bits a second") != "–"
    await button.click()
    assert not await watcher.page.locator("#statistics").is_visible()
