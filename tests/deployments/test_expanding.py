"""Loose prompts of a session: expanded on what the video shows by then, one after the other, whoever owns it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from generator_rig import MemoryHistory, Rig
from generator_rig import rig as make_rig
from redis_store import Store

from deployments.context import Context
from deployments.entries import (
    EndRequested,
    PromptApplied,
    PromptCancelled,
    PromptCancelRequested,
    PromptExpanded,
    PromptRefused,
    PromptRequested,
    RewindRequested,
    SessionRewound,
)
from deployments.placement import TakeOver
from deployments.receipts import PromptStatus, Receipt, receipts
from deployments.session import Session, chunk_first_frame
from deployments.steps import steps_of


def loose(prompt_id: str, chunk: int | None = None) -> PromptRequested:
    at_frame = None if chunk is None else chunk_first_frame(chunk)
    return PromptRequested(prompt_id=prompt_id, text=prompt_id, at_frame=at_frame, expand=True)


def whole(prompt_id: str, chunk: int) -> PromptRequested:
    return loose(prompt_id, chunk).model_copy(update={"expand": False})


async def receipts_of(rig: Rig, sid: str) -> dict[str, Receipt]:
    return {receipt.prompt_id: receipt for receipt in receipts(await rig.facts(sid))}


async def shown(rig: Rig, sid: str) -> list[str]:
    return [entry.text for entry in await rig.all_of(PromptApplied, sid)]


def slow_words(rig: Rig, *slow: str) -> asyncio.Event:
    """The expansions of these prompts come once the event is set."""
    plain, go = rig.word, asyncio.Event()

    async def word(asked: PromptRequested, context: Context) -> PromptExpanded | None:
        if asked.prompt_id in slow:
            await go.wait()
        return await plain(asked, context)

    rig.word = word  # type: ignore[method-assign]
    return go


async def test_a_loose_prompt_is_accepted_expanded_scheduled_and_applied(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path)
    async with rig.running():
        await rig.begin("s", loose("rain", 3), pace="offline", max_seconds=0.5)
        session = await rig.over("s")
    assert session.prompt == "a ball, rain"
    receipt = (await receipts_of(rig, "s"))["rain"]
    assert (receipt.text, receipt.prompt, receipt.added, receipt.source) == ("rain", "a ball, rain", "rain", "rules")
    assert (receipt.status, receipt.chunk) == (PromptStatus.applied, 3)
    assert rig.prompts == ["a ball", "a ball, rain"]
    assert [step.text for step in steps_of(await rig.facts("s"))] == ["a ball", "a ball, rain"]


async def test_several_at_once_queue_and_build_on_each_other(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path)
    go = slow_words(rig, "rain")
    async with rig.running():
        await rig.begin("s")
        watching = asyncio.create_task(rig.watch("s", 10_000))
        await rig.ask("s", loose("rain"), loose("night"), loose("a hat"))
        await rig.until_chunks("s", 6)
        assert not await rig.all_of(PromptApplied, "s"), "the video goes on meanwhile"
        go.set()
        applied = [await rig.next_of(PromptApplied, "s", count) for count in (1, 2, 3)]
        await rig.ask("s", EndRequested())
        await watching
    assert [entry.text for entry in applied] == ["a ball, rain", "a ball, rain, night", "a ball, rain, night, a hat"]
    first = applied[0].chunk
    assert [entry.chunk for entry in applied] == [first, first + 1, first + 2]


async def test_what_was_built_on_a_prompt_that_is_cancelled_is_built_anew(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path)
    async with rig.running():
        await rig.begin("s")
        made = await rig.idle("s")
        await rig.ask("s", loose("rain", made + 3), loose("night", made + 4))
        await rig.next_of(PromptExpanded, "s", 2)
        await rig.ask("s", PromptCancelRequested(prompt_id="rain"))
        await rig.next_of(PromptCancelled, "s")
        again = await rig.next_of(PromptExpanded, "s", 3)
        watching = asyncio.create_task(rig.watch("s", 10_000))
        await rig.next_of(PromptApplied, "s")
        await rig.ask("s", EndRequested())
        await watching
    assert (again.prompt_id, again.prompt) == ("night", "a ball, night")
    assert await shown(rig, "s") == ["a ball, night"]


async def test_a_refused_prompt_has_a_receipt_and_the_next_one_does_not_build_on_it(
    store: Store, tmp_path: Path
) -> None:
    rig = make_rig(store, tmp_path)
    async with rig.running():
        await rig.begin("s", loose("evil", 2), whole("evil too", 3), loose("rain", 4), pace="offline", max_seconds=0.5)
        await rig.over("s")
    found = await receipts_of(rig, "s")
    assert [(found[each].status, found[each].reason) for each in ("evil", "evil too")] == [
        (PromptStatus.refused, "It is evil.")
    ] * 2
    assert await shown(rig, "s") == ["a ball, rain"]


async def test_an_heir_applies_what_was_expanded_as_it_was_said(store: Store, tmp_path: Path) -> None:
    history = MemoryHistory()
    rig = make_rig(store, tmp_path, history=history)
    heir = make_rig(store, tmp_path, history=history, name="heir")
    async with rig.running():
        await rig.begin("s", loose("rain", 1))
        await rig.next_of(PromptExpanded, "s")
        await rig.watch("s", 3)
        made = await rig.idle("s")
        await rig.ask("s", loose("night", made + 3))
        said = await rig.next_of(PromptExpanded, "s", 2)
    rig.generator.drain()
    async with heir.running() as generator:
        assert isinstance(await generator.take("s", TakeOver("r", "lost")), Session)
        watching = asyncio.create_task(heir.watch("s", 10_000))
        await heir.next_of(PromptApplied, "s", 2)
        await heir.ask("s", loose("a hat"))
        await heir.next_of(PromptApplied, "s", 3)
        await heir.ask("s", EndRequested())
        await watching
    assert said.prompt == "a ball, rain, night"
    assert await shown(heir, "s") == ["a ball, rain", "a ball, rain, night", "a ball, rain, night, a hat"]
    assert len(await heir.all_of(PromptExpanded, "s")) == 3, "nothing was expanded twice"


async def test_who_goes_on_knows_what_was_changed_before(store: Store, tmp_path: Path) -> None:
    history = MemoryHistory()
    rig = make_rig(store, tmp_path, history=history)
    heir = make_rig(store, tmp_path, history=history, name="heir")
    async with rig.running():
        await rig.begin("s", loose("rain", 1), whole("a cat", 2), loose("night", 3))
        await rig.watch("s", 5)
        await rig.idle("s")
        assert (await store.timeline.session("s")).changes == ("night",)
    rig.generator.drain()
    async with heir.running() as generator:
        assert isinstance(await generator.take("s", TakeOver("r", "lost")), Session)
        watching = asyncio.create_task(heir.watch("s", 10_000))
        await heir.ask("s", loose("a hat"))
        await heir.next_of(PromptApplied, "s", 4)
        assert (await store.timeline.session("s")).changes == ("night", "a hat")
        await heir.ask("s", RewindRequested(to_frame=chunk_first_frame(2)))
        await heir.next_of(SessionRewound, "s")
        assert (await store.timeline.session("s")).changes == ("rain",)
        await heir.ask("s", EndRequested())
        await watching


async def test_after_a_rewind_prompts_build_on_what_the_video_went_back_to(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path)
    async with rig.running():
        await rig.begin("s", loose("rain", 3))
        watching = asyncio.create_task(rig.watch("s", 10_000))
        await rig.until_chunks("s", 6)
        await rig.ask("s", RewindRequested(to_frame=chunk_first_frame(2)))
        await rig.next_of(SessionRewound, "s")
        await rig.ask("s", loose("night"))
        await rig.next_of(PromptApplied, "s", 2)
        await rig.ask("s", EndRequested())
        await watching
    assert await shown(rig, "s") == ["a ball, rain", "a ball, night"]


async def test_what_waits_at_a_rewind_is_built_anew_at_once(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path)
    async with rig.running():
        await rig.begin("s", loose("rain", 1))
        await rig.watch("s", 3)
        made = await rig.idle("s")
        await rig.ask("s", loose("night", made + 1))
        assert (await rig.next_of(PromptExpanded, "s", 2)).prompt == "a ball, rain, night"
        await rig.ask("s", RewindRequested(to_frame=0))
        await rig.next_of(SessionRewound, "s")
        again = await rig.next_of(PromptExpanded, "s", 3)
    assert (again.prompt_id, again.prompt) == ("night", "a ball, night")


async def test_an_heir_builds_anew_what_was_built_on_a_cancelled_prompt(store: Store, tmp_path: Path) -> None:
    history = MemoryHistory()
    rig = make_rig(store, tmp_path, history=history)
    heir = make_rig(store, tmp_path, history=history, name="heir")
    async with rig.running():
        await rig.begin("s")
        made = await rig.idle("s")
        await rig.ask("s", loose("rain", made + 2), loose("night", made + 3))
        await rig.next_of(PromptExpanded, "s", 2)
        slow_words(rig, "night")
        rig.generator._commands._word = rig.word  # the owner never gets to it
        await rig.ask("s", PromptCancelRequested(prompt_id="rain"))
        await rig.next_of(PromptCancelled, "s")
    rig.generator.drain()
    async with heir.running() as generator:
        assert isinstance(await generator.take("s", TakeOver("r", "lost")), Session)
        watching = asyncio.create_task(heir.watch("s", 10_000))
        await heir.next_of(PromptApplied, "s")
        await heir.ask("s", EndRequested())
        await watching
    assert await shown(heir, "s") == ["a ball, night"]


async def test_a_prompt_that_cannot_be_worded_is_refused_and_the_video_goes_on(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path)

    async def broken(asked: PromptRequested, context: Context) -> PromptExpanded | None:
        raise RuntimeError("no words")

    rig.word = broken  # type: ignore[method-assign]
    async with rig.running():
        await rig.begin("s", loose("rain", 2), pace="offline", max_seconds=0.5)
        session = await rig.over("s")
    assert (session.reason, len(await rig.all_of(PromptRefused, "s"))) == ("finished", 1)
