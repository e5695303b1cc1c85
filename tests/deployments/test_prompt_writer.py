"""Every prompt of a session gets an answer: from the prompt agent, or, where that is away, as it is; and is judged."""

from __future__ import annotations

import pytest

from deployments.calls import PartDown
from deployments.context import Context
from deployments.entries import Mode, PromptRequested
from deployments.prompt_writer import AWAY, REWORDED, PromptWriter
from prompt_agent.expansion import Expansion, Refused, Unwanted
from prompt_agent.safety import WordList

CONTEXT = Context("a dog", ("wind",))
ANSWER = Expansion("a wet dog", "rain", "llm", 0.0426, ("Slow.",))


def asked(text: str = "make it rain", mode: Mode = "recache", expand: bool = True) -> PromptRequested:
    return PromptRequested(prompt_id="p", text=text, mode=mode, expand=expand)


class Agent:
    """Answers with this, or raises it."""

    def __init__(self, answer: Expansion | Unwanted | Exception) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str, tuple[str, ...]]] = []
        self.writer = PromptWriter(self.expand, WordList())

    async def expand(self, scene: str, request: str, history: tuple[str, ...]) -> Expansion | Unwanted:
        self.asked.append((scene, request, history))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def test_the_agent_is_asked_with_the_scene_and_what_was_added() -> None:
    agent = Agent(ANSWER)
    worded = await agent.writer.word(asked(), CONTEXT)
    assert worded is not None
    assert agent.asked == [("a dog", "make it rain", ("wind",))]
    assert (worded.prompt_id, worded.prompt, worded.added, worded.source) == ("p", "a wet dog", "rain", "llm")
    assert (worded.ms, worded.mode, worded.warnings) == (43, "recache", ("Slow.",))


@pytest.mark.parametrize(("mode", "taken"), [("recache", "cut"), ("blend", "blend"), ("keep", "keep"), ("cut", "cut")])
async def test_another_scene_is_cut_to_unless_somebody_wants_it_otherwise(mode: Mode, taken: Mode) -> None:
    worded = await Agent(Expansion("a beach", "a beach", "llm", 0.0, cut=True)).writer.word(asked(mode=mode), CONTEXT)
    assert worded is not None
    assert (worded.mode, worded.cut) == (taken, True)


async def test_without_the_agent_a_change_is_refused_for_its_words_alone_would_wipe_the_scene() -> None:
    with pytest.raises(Refused) as caught:
        await Agent(PartDown("prompt agent")).writer.word(asked(), CONTEXT)
    assert str(caught.value) == AWAY


async def test_a_refusal_of_the_agent_is_one() -> None:
    with pytest.raises(Refused, match=r"It is evil\."):
        await Agent(Unwanted("It is evil.")).writer.word(asked(), CONTEXT)


async def test_nothing_is_said_of_a_whole_prompt_that_anybody_may_see() -> None:
    agent = Agent(ANSWER)
    assert await agent.writer.word(asked(expand=False), CONTEXT) is None
    assert agent.asked == []


async def test_what_the_agent_does_not_see_is_judged_all_the_same() -> None:
    writer = Agent(ANSWER).writer
    with pytest.raises(Refused, match="violence"):
        await writer.word(asked("behead the knight", expand=False), CONTEXT)
    worded = await writer.word(asked("a bloody sunset", expand=False), CONTEXT)
    assert worded is not None
    assert (worded.prompt, worded.source, worded.warnings) == ("a red sunset", "raw", (REWORDED,))
