"""Loose words at the page: written out before they are sent or after, edited, suggested. Generators are a double."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import api_parts
import pytest
from browser import Watcher, watching
from playing_parts import PlayingParts, playing
from playwright.async_api import Route
from redis_store import Store

from deployments.entries import PromptApplied, PromptExpanded, PromptRequested
from deployments.session import chunk_first_frame
from tests.support import find_chromium

PROMPT, LOOSE = "a red ball", "make it rain"


@pytest.fixture
async def page(store: Store) -> AsyncIterator[tuple[PlayingParts, Watcher, str]]:
    async with playing(store) as (parts, url), watching(find_chromium(), url) as watcher:
        await watcher.say(PROMPT)
        await watcher.watch_until(1.0)
        assert watcher.session
        yield parts, watcher, watcher.session
        assert not watcher.faults


async def next_request(parts: PlayingParts, sid: str, number: int = 0) -> PromptRequested:
    async for entry in parts.store.timeline.tail(sid):
        if isinstance(entry, PromptRequested):
            if not number:
                return entry
            number -= 1
    raise AssertionError("the session is over")


async def test_loose_words_are_sent_as_they_are_and_the_list_tells_what_was_made_of_them(
    page: tuple[PlayingParts, Watcher, str],
) -> None:
    parts, watcher, sid = page
    await watcher.say(LOOSE)
    asked = await next_request(parts, sid)
    assert (asked.text, asked.expand) == (LOOSE, True)
    made = {"prompt": "a red ball in heavy rain", "added": "rain", "source": "llm", "warnings": ("Slow.",)}
    await parts.state(sid, PromptExpanded(prompt_id=asked.prompt_id, ms=1234, **made))
    await watcher.sees("#prompts .made", "a red ball in heavy rain")
    await watcher.sees("#prompts .meta", "written out by the language model in 1.2 s")
    await watcher.sees("#prompts .warning", "Slow.")
    chunk = (await parts.store.timeline.session(sid)).chunks + 1
    frame = chunk_first_frame(chunk)
    where = {"chunk": chunk, "frame": frame, "media_seconds": frame / 16}
    await parts.state(sid, PromptApplied(prompt_id=asked.prompt_id, text=made["prompt"], latency_ms=9, **where))
    await watcher.sees("#prompts li[data-current] .made", "a red ball in heavy rain")
    assert await watcher.prompts() == [PROMPT, LOOSE]
    assert await watcher.page.title() == "a red ball in heavy rain · LongLive"


async def test_words_are_written_out_edited_and_sent_as_a_whole(page: tuple[PlayingParts, Watcher, str]) -> None:
    parts, watcher, sid = page
    await watcher.page.keyboard.type("cut to the sea")
    await watcher.page.get_by_role("button", name="Write it out").click()
    box = watcher.page.locator("#prompt")
    await watcher.page.wait_for_function("document.getElementById('prompt').value.endsWith('cut to the sea')")
    assert await box.input_value() == "a red ball, cut to the sea"
    assert await watcher.page.locator("#mode").input_value() == "cut"
    await watcher.page.keyboard.type(" at night")
    await watcher.page.keyboard.press("Enter")
    asked = await next_request(parts, sid)
    assert (asked.text, asked.expand, asked.mode) == ("a red ball, cut to the sea at night", False, "cut")
    await watcher.page.wait_for_function("document.getElementById('prompt').value === ''")
    assert await watcher.page.locator("#mode").input_value() == "recache", "the cut was for that one alone"


async def test_who_does_not_like_what_was_written_out_has_the_typed_words_back(
    page: tuple[PlayingParts, Watcher, str],
) -> None:
    parts, watcher, sid = page
    await watcher.page.keyboard.type("cut to the sea")
    await watcher.page.get_by_role("button", name="Write it out").click()
    await watcher.page.wait_for_function("document.getElementById('mode').value === 'cut'")
    await watcher.page.get_by_role("button", name="Back to my words").click()
    assert await watcher.page.locator("#prompt").input_value() == "cut to the sea"
    assert await watcher.page.locator("#mode").input_value() == "recache"
    await watcher.page.keyboard.press("Enter")
    assert (await next_request(parts, sid)).text == "cut to the sea"
    await watcher.page.get_by_role("button", name="Write it out").wait_for()


async def test_only_a_blend_asks_how_long_it_takes(page: tuple[PlayingParts, Watcher, str]) -> None:
    _, watcher, _ = page
    seconds = watcher.page.locator("#blend")
    await watcher.page.locator("#mode").select_option("blend")
    await seconds.wait_for()
    await watcher.page.locator("#prompt").fill("cut to the sea")
    await watcher.page.get_by_role("button", name="Write it out").click()
    await watcher.page.wait_for_function("document.getElementById('mode').value === 'cut'")
    assert not await seconds.is_visible()
    await watcher.page.get_by_role("button", name="Back to my words").click()
    assert await watcher.page.locator("#mode").input_value() == "blend"
    assert await seconds.is_visible()


async def test_each_of_several_changes_is_announced_when_it_is_on_the_screen(
    page: tuple[PlayingParts, Watcher, str],
) -> None:
    parts, watcher, sid = page
    await watcher.say("make it rain and add a dog")
    asked = [await next_request(parts, sid, number) for number in range(2)]
    for each in asked:
        chunk = (await parts.store.timeline.session(sid)).chunks + 1
        frame = chunk_first_frame(chunk)
        where = {"chunk": chunk, "frame": frame, "media_seconds": frame / 16}
        await parts.state(sid, PromptApplied(prompt_id=each.prompt_id, text=each.text, latency_ms=9, **where))
        await watcher.status(f"“{each.text}” is on the screen")


async def test_who_edits_while_it_is_written_out_goes_on_with_what_is_there(
    page: tuple[PlayingParts, Watcher, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, watcher, sid = page
    stopped = asyncio.Event()

    async def write_for_ever(*_: object) -> AsyncIterator[str]:
        try:
            yield "a red ball in"
            await asyncio.Event().wait()
        finally:
            stopped.set()

    monkeypatch.setattr(parts.prompts, "write", write_for_ever)
    await watcher.page.keyboard.type(LOOSE)
    await watcher.page.get_by_role("button", name="Write it out").click()
    await watcher.page.wait_for_function("document.getElementById('prompt').value === 'a red ball in'")
    await watcher.page.keyboard.type(" rain")
    await stopped.wait()
    await watcher.page.keyboard.press("Enter")
    asked = await next_request(parts, sid)
    assert (asked.text, asked.expand) == ("a red ball in rain", False)


async def test_words_that_break_off_are_told_and_what_was_typed_is_there_again(
    page: tuple[PlayingParts, Watcher, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, watcher, _ = page

    async def break_off(*_: object) -> AsyncIterator[str]:
        yield "a red ball in"

    monkeypatch.setattr(parts.prompts, "write", break_off)
    await watcher.page.keyboard.type(LOOSE)
    await watcher.page.get_by_role("button", name="Write it out").click()
    await watcher.sees("#notice", "The service's answer broke off.")
    assert await watcher.page.locator("#prompt").input_value() == LOOSE


async def test_words_are_written_out_where_streams_cannot_be_iterated(page: tuple[PlayingParts, Watcher, str]) -> None:
    _, watcher, _ = page
    await watcher.page.evaluate("delete ReadableStream.prototype[Symbol.asyncIterator]")
    await watcher.page.keyboard.type(LOOSE)
    await watcher.page.get_by_role("button", name="Write it out").click()
    await watcher.page.wait_for_function("document.getElementById('prompt').value === 'a red ball, make it rain'")


async def test_an_agent_that_is_away_is_told_and_the_words_stay(page: tuple[PlayingParts, Watcher, str]) -> None:
    parts, watcher, _ = page
    parts.prompts.down = True
    await watcher.page.keyboard.type(LOOSE)
    await watcher.page.get_by_role("button", name="Write it out").click()
    await watcher.sees("#notice", "prompt agent")
    assert await watcher.page.locator("#prompt").input_value() == LOOSE


async def test_what_is_refused_is_told_and_the_words_stay(page: tuple[PlayingParts, Watcher, str]) -> None:
    _, watcher, _ = page
    await watcher.page.keyboard.type("an evil cat")
    await watcher.page.get_by_role("button", name="Write it out").click()
    await watcher.sees("#notice", "It is evil. Say it otherwise")
    assert await watcher.page.locator("#prompt").input_value() == "an evil cat"


async def test_what_fits_the_picture_is_suggested_and_without_the_agent_what_the_model_offers(
    page: tuple[PlayingParts, Watcher, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, watcher, _ = page
    await watcher.sees("#examples button", f"{PROMPT} 0")
    parts.prompts.down = True
    monkeypatch.setattr(api_parts, "VIEW", api_parts.VIEW.model_copy(update={"follow_ups": ("it spins",)}))
    await watcher.page.reload()
    await watcher.sees("#examples button", "it spins")
    assert await watcher.page.get_by_role("button", name="Write it out").is_visible()


async def test_suggestions_for_a_picture_of_before_are_not_waited_for(
    page: tuple[PlayingParts, Watcher, str],
) -> None:
    parts, watcher, sid = page
    first = asyncio.Event()

    async def hold_the_first(route: Route) -> None:
        if first.is_set():
            await route.continue_()
        first.set()

    await watcher.page.route("**/suggestions", hold_the_first)
    await watcher.page.reload()
    await first.wait()
    chunk = (await parts.store.timeline.session(sid)).chunks + 1
    frame = chunk_first_frame(chunk)
    asked = PromptRequested(prompt_id="p", text="a wet ball")
    shows = PromptApplied(
        prompt_id="p", text="a wet ball", chunk=chunk, frame=frame, media_seconds=frame / 16, latency_ms=9
    )
    async with watcher.page.expect_event("requestfailed", lambda request: request.url.endswith("/suggestions")):
        await parts.store.timeline.append_command(sid, asked)
        await parts.state(sid, shows)
    await watcher.sees("#examples button", "a wet ball 0")


async def test_a_long_prompt_can_be_read_and_changed_line_by_line(page: tuple[PlayingParts, Watcher, str]) -> None:
    _, watcher, _ = page
    box = watcher.page.locator("#prompt")
    low = await box.evaluate("(box) => box.clientHeight")
    await box.fill("a long way through the rain " * 12)
    assert await box.evaluate("(box) => box.clientHeight") > 2 * low
    await watcher.page.keyboard.press("Shift+Enter")
    assert "\n" in await box.input_value(), "Enter alone sends"
