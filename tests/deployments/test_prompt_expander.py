"""The prompt agent's deployment with the tiny model's profile: changes, expansions, words while they come, metrics."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from deployments import prompt_metrics
from deployments.prompt_expander import PromptExpander, form_of
from deployments.settings import load_settings
from prompt_agent.captions.form import CaptionForm
from prompt_agent.expansion import Expansion, Unwanted
from prompt_agent.paragraphs.form import ParagraphForm
from tests.prompt_agent.simulated_chat_server import Behaviour, SimulatedChatServer, simulated_chat_server

SCENE = "a red ball hops in the meadow by day in clear weather"
SNOW = "a red ball hops in the meadow by day in the snow"


class Counted:
    """In place of Ray's metrics: what was counted, by name and tags."""

    seen: dict[tuple[str, ...], float]

    def __init__(self, name: str, *_: Any, **__: Any) -> None:
        self._name = name

    def inc(self, tags: dict[str, str]) -> None:
        key = (self._name.removeprefix("longlive_prompt_"), *map(str, tags.values()))
        Counted.seen[key] = Counted.seen.get(key, 0) + 1

    def observe(self, value: float, tags: dict[str, str]) -> None:
        assert value >= 0


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, ...], float]:
    Counted.seen = {}
    monkeypatch.setattr(prompt_metrics.metrics, "Counter", Counted)
    monkeypatch.setattr(prompt_metrics.metrics, "Histogram", Counted)
    return Counted.seen


@pytest.fixture
async def server() -> AsyncIterator[SimulatedChatServer]:
    async with simulated_chat_server() as server:
        yield server


def test_each_model_has_the_profile_that_names_it_and_an_operator_may_name_another(tmp_path: Path) -> None:
    assert isinstance(form_of(load_settings(model="tiny")), CaptionForm)
    assert isinstance(form_of(load_settings(model="tiny", prompt_profile="full")), ParagraphForm)


@pytest.mark.parametrize(
    ("text", "expand", "changes"),
    [
        ("let it snow", "auto", ("let it snow",)),
        (SNOW, "auto", ()),
        (SNOW, True, (SNOW,)),
        ("let it snow, then cut to a city at night", "auto", ("let it snow", "cut to a city at night")),
        ("🙂", True, ("🙂",)),
    ],
)
async def test_a_text_is_taken_apart_into_what_is_to_be_expanded(
    counted: dict[tuple[str, ...], float], text: str, expand: Any, changes: tuple[str, ...]
) -> None:
    wanted = await PromptExpander(load_settings()).changes(text, expand)
    assert tuple(change.typed for change in wanted.each) == changes


async def test_rules_expand_and_it_is_counted(counted: dict[tuple[str, ...], float]) -> None:
    expander = PromptExpander(load_settings())
    expansion = await expander.expand(SCENE, "let it snow", ())
    assert isinstance(expansion, Expansion)
    assert (expansion.prompt, expansion.source) == (SNOW, "rules")
    assert await expander.expand(SCENE, "behead the knight", ()) == Unwanted("Extreme violence is refused.")
    assert counted == {("attempts", "rules", "accepted"): 1, ("expansions", "rules"): 1, ("expansions", "refused"): 1}


async def test_a_language_model_is_asked_first_and_its_words_are_heard(
    counted: dict[tuple[str, ...], float], server: SimulatedChatServer
) -> None:
    server.behaviour = Behaviour(json.dumps({"added": "snow", "prompt": SNOW}))
    expander = PromptExpander(load_settings(llm_url=server.url, llm_model="qwen", llm_key="secret"))
    heard = [each async for each in expander.write(SCENE, "let it snow", ())]
    *words, expansion = heard
    assert isinstance(expansion, Expansion)
    assert (expansion.prompt, expansion.source) == (SNOW, "llm")
    assert words
    assert all(isinstance(each, str) and SNOW.startswith(each) for each in words)
    assert server.keys == ["Bearer secret"]
    assert counted[("expansions", "llm")] == 1


async def test_what_a_language_model_may_not_change_is_counted_by_reason(
    counted: dict[tuple[str, ...], float], server: SimulatedChatServer
) -> None:
    server.behaviour = Behaviour(json.dumps({"added": "snow", "prompt": SNOW.replace("red", "blue")}))
    expander = PromptExpander(load_settings(llm_url=server.url, llm_model="qwen"))
    expansion = await expander.expand(SCENE, "let it snow", ())
    assert isinstance(expansion, Expansion)
    assert (expansion.prompt, expansion.source) == (SNOW, "rules")
    assert counted[("rejects", "llm", "lost-anchor")] == 2


async def test_who_hears_the_words_hears_a_refusal(counted: dict[tuple[str, ...], float]) -> None:
    heard = [each async for each in PromptExpander(load_settings()).write(SCENE, "behead the knight", ())]
    assert heard == [Unwanted("Extreme violence is refused.")]


async def test_who_stops_hearing_ends_the_writing(
    counted: dict[tuple[str, ...], float], server: SimulatedChatServer
) -> None:
    server.behaviour = Behaviour('{"added": "snow", "prompt": "a red ball', endless=True)
    expander = PromptExpander(load_settings(llm_url=server.url, llm_model="qwen", llm_seconds=60))
    writing = expander.write(SCENE, "let it snow", ())
    assert SNOW.startswith(str(await anext(writing)))
    await writing.aclose()
    async with asyncio.timeout(10):
        await server.left.wait()


async def test_suggestions_change_something(counted: dict[tuple[str, ...], float]) -> None:
    suggestions = await PromptExpander(load_settings()).suggest(SNOW, (), 4)
    assert len(suggestions) == 4
    assert "let it snow" not in suggestions
