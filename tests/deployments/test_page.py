"""The page in headless Chromium, against the real service."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from browser import Watcher
from service_client import Client

from longlive.tiny import readouts

PROMPT = "a red ball hops in a meadow by day in clear weather"
FOLLOW_UP = "a red ball hops in the city at night in clear weather"


async def test_typing_a_prompt_starts_a_video_that_moves(watcher: Watcher) -> None:
    await watcher.say(PROMPT)
    await watcher.watch_until(1.0)
    await watcher.status("Live")
    pictures = (await watcher.pictures(8)).float()
    assert pictures.std(dim=(1, 2, 3)).min() > 4, "a picture has one colour only"
    assert (pictures[1:] - pictures[:-1]).abs().mean() > 0.1, "the picture stands still"
    assert await watcher.prompts() == [PROMPT]
    assert await watcher.page.locator("video").evaluate("(v) => getComputedStyle(v).imageRendering") == "pixelated"


async def test_a_follow_up_is_marked_where_it_took_effect(watcher: Watcher, client: Client) -> None:
    await watcher.say(PROMPT)
    await watcher.watch_until(1.0)
    await watcher.say(FOLLOW_UP)
    await watcher.sees("#prompts li[data-current] q", FOLLOW_UP)
    assert watcher.session is not None
    applied = await client.entry(watcher.session, "prompt.applied", text=FOLLOW_UP)
    assert await watcher.seconds() >= applied["media_seconds"]
    assert await watcher.marker_seconds(FOLLOW_UP) == pytest.approx(applied["media_seconds"], abs=0.01)
    assert await watcher.prompts() == [PROMPT, FOLLOW_UP]
    assert (await client.get(f"/v1/sessions/{watcher.session}")).json()["prompt"] == FOLLOW_UP


async def test_a_follow_up_changes_the_picture_to_what_it_says(watcher: Watcher) -> None:
    await watcher.say(PROMPT)
    await watcher.watch_until(2.0)
    before = readouts.read(await watcher.pictures(14))
    assert (before["place"], before["time"]) == ("meadow", "day")
    await watcher.say(FOLLOW_UP)
    await watcher.sees("#prompts li[data-current] q", FOLLOW_UP)
    for _ in range(6):  # the picture changes over a second or two, not at once
        after = readouts.read(await watcher.pictures(14))
        if (after["place"], after["time"]) == ("city", "night"):
            break
    assert (after["place"], after["time"]) == ("city", "night")


async def test_prompts_to_go_on_with_are_offered_while_it_is_live(watcher: Watcher) -> None:
    await watcher.page.locator("#examples button").first.click()
    await watcher.page.keyboard.press("Enter")
    await watcher.watch_until(0.5)
    await watcher.sees("#examples button", "make it rain")
    offered = await watcher.page.locator("#examples button").first.inner_text()
    await watcher.page.locator("#examples button").first.click()
    await watcher.page.keyboard.press("Enter")
    await watcher.sees("#prompts li[data-current] q", offered)
    await watcher.page.wait_for_function(
        "(offered) => ![...document.querySelectorAll('#examples button')].some((b) => b.textContent === offered)",
        arg=offered,
    )


async def test_the_end_leaves_the_focus_where_its_reader_is(watcher: Watcher, client: Client) -> None:
    await watcher.say(PROMPT)
    await watcher.watch_until(0.5)
    await watcher.page.locator("#prompts").focus()
    assert watcher.session is not None
    client.tokens[watcher.session] = await watcher.token()
    await client.end(watcher.session)
    await watcher.status("^Ended")
    assert await watcher.page.evaluate("document.activeElement.id") == "prompts"


async def test_a_reload_goes_on_with_the_same_video_and_steers_it(watcher: Watcher) -> None:
    await watcher.say(PROMPT)
    await watcher.watch_until(1.0)
    await watcher.say(FOLLOW_UP)
    await watcher.sees("#prompts li[data-state=shown] q", FOLLOW_UP)
    session, seconds = watcher.session, await watcher.seconds()
    await watcher.page.reload()
    await watcher.watch_until(seconds + 1.5)
    assert watcher.session == session
    assert await watcher.prompts() == [PROMPT, FOLLOW_UP]
    await watcher.say("it starts to snow")
    await watcher.sees("#prompts li[data-current] q", "it starts to snow")


async def test_everything_works_without_a_mouse(watcher: Watcher, client: Client) -> None:
    page = watcher.page
    await watcher.say(PROMPT)
    await watcher.watch_until(0.5)
    session = watcher.session
    assert session is not None
    await watcher.tab_to("#end")
    await page.keyboard.press("Enter")
    await watcher.status("^Ended")
    assert (await client.get(f"/v1/sessions/{session}")).json()["reason"] == "requested"
    await watcher.say("another one")  # the box has the focus again
    await page.wait_for_url(lambda url: session not in url)
    await watcher.watch_until(0.5)


async def test_a_lost_connection_is_told_and_made_good(watcher: Watcher) -> None:
    await watcher.say(PROMPT)
    await watcher.watch_until(1.0)
    await watcher.page.context.set_offline(True)
    await watcher.status("connection is lost")
    await watcher.page.context.set_offline(False)
    await watcher.status("Live")
    await watcher.watch_on(1.5)


async def test_unknown_words_are_told_beside_their_prompt(watcher: Watcher) -> None:
    await watcher.say("a red zebra")
    await watcher.sees("#prompts li .warning", "'zebra'")
    await watcher.watch_until(0.5)
    await watcher.say("a blue walrus")
    await watcher.sees("#prompts li:has-text('walrus') .warning", "'walrus'")


async def test_who_finds_the_service_full_waits_for_a_place_and_gets_it(watcher: Watcher, client: Client) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(4):
            created = await stack.enter_async_context(client.session())
            # What nobody watches gives its slot back, maybe before the page has asked for one.
            stack.callback(asyncio.create_task(client.watch(created["id"], 1000)).cancel)
        await watcher.say(PROMPT)
        await watcher.status("number 1 in the queue")
        await client.end(created["id"])
        await watcher.watch_until(0.5)


async def test_a_session_that_does_not_exist_is_told(watcher: Watcher) -> None:
    await watcher.page.evaluate("location.hash = 'session=0123456789'")
    await watcher.sees("#notice", "0123456789")
    await watcher.page.get_by_label("What should the video show?").wait_for()
