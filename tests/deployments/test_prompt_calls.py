"""Calls to the prompt agent's deployment: whatever hangs or has died is named, and nobody waits for ever."""

from __future__ import annotations

import asyncio

import pytest
from prompt_handles import HandleDouble

from deployments import prompt_calls
from deployments.calls import PartDown
from deployments.prompt_calls import PromptCalls

pytestmark = pytest.mark.usefixtures("impatient")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_calls, "SLACK_SECONDS", 0.05)


async def words(then: str) -> list[object]:
    calls = PromptCalls(HandleDouble(then), deadline=0.05)  # type: ignore[arg-type]
    return [each async for each in calls.write("a dog", "rain", ())]


async def test_words_come_as_they_are_written() -> None:
    assert await words("is done") == ["a dog", "done"]


@pytest.mark.parametrize("then", ["hangs", "dies"])
async def test_a_writer_that_hangs_or_dies_amid_its_words_is_named(then: str) -> None:
    with pytest.raises(PartDown, match="prompt agent"):
        await words(then)


@pytest.mark.parametrize("then", ["hangs", "dies"])
@pytest.mark.parametrize("call", ["changes", "suggest"])
async def test_one_that_hangs_or_dies_over_anything_else_is_named(then: str, call: str) -> None:
    calls = PromptCalls(HandleDouble(then), deadline=0.05)  # type: ignore[arg-type]
    with pytest.raises(PartDown, match="prompt agent"):
        await (calls.changes("rain", True) if call == "changes" else calls.suggest("a dog", (), 4))


async def test_who_reads_slowly_is_not_the_one_that_hangs() -> None:
    calls = PromptCalls(HandleDouble("is done"), deadline=0.05)  # type: ignore[arg-type]
    words = calls.write("a dog", "rain", ())
    first = await anext(words)
    await asyncio.sleep(0.3)
    assert [first, *[each async for each in words]] == ["a dog", "done"]


async def test_nobody_writes_for_who_has_left() -> None:
    handle = HandleDouble("hangs")
    words = PromptCalls(handle, deadline=60.0).write("a dog", "rain", ())  # type: ignore[arg-type]
    await anext(words)
    await words.aclose()
    assert handle.cancelled
