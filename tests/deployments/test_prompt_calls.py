"""Calls to the prompt agent's deployment: whatever hangs or has died is named, and nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from ray.exceptions import RayActorError

from deployments import prompt_calls
from deployments.calls import PartDown
from deployments.prompt_calls import PromptCalls

pytestmark = pytest.mark.usefixtures("impatient")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_calls, "SLACK_SECONDS", 0.05)


class HandleDouble:
    """A handle whose replica writes some words, and then hangs, dies, or is done."""

    def __init__(self, then: str) -> None:
        self._then = then
        self.write = self.changes = self.suggest = self

    def options(self, **_: Any) -> HandleDouble:
        return self

    def remote(self, scene: str, *_: Any, **__: Any) -> HandleDouble:
        self._scene = scene
        return self

    def __await__(self) -> Any:
        return self._answer().__await__()

    async def __aiter__(self) -> AsyncIterator[str]:
        yield self._scene
        yield await self._answer()

    async def _answer(self) -> str:
        match self._then:
            case "hangs":
                await asyncio.Event().wait()
            case "dies":
                raise RayActorError()
        return "done"


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
