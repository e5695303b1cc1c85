"""Sequences of prompts: drawn by a seed, each made of the one before, and left out rather than bad."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

from prompt_agent.agent import PromptAgent
from prompt_agent.captions.form import CaptionForm
from prompt_agent.sequences import PromptSequence, Recipe, Trouble, write_sequence, write_sequences
from tests.prompt_agent.prompt_doubles import PlainForm, ScriptedBackend

RED = "a red ball hops in the meadow by day in clear weather"
SCENES = (
    RED,
    "a blue cube moves left on the sea at night in the rain",
    "a pink donut rests in a city at dusk in the snow",
)


async def made(
    agent: PromptAgent, recipe: Recipe, most_at_once: int, scenes: Sequence[str] = SCENES
) -> list[PromptSequence]:
    written = [each async for each in write_sequences(agent, recipe, enumerate(scenes), most_at_once)]
    return sorted(written, key=lambda each: each.number)


async def test_each_prompt_is_made_of_the_one_before_and_of_what_was_changed() -> None:
    backend = ScriptedBackend("a dog, one", "a dog, two", "a dog, three")
    recipe = Recipe(prompts=4, requests=("rain", "snow", "fog"))
    sequence = await write_sequence(PromptAgent(PlainForm(), [backend]), recipe, 0, "a dog")
    assert sequence.prompts == ("a dog", "a dog, one", "a dog, two", "a dog, three")
    assert sequence.sources == ("llm", "llm", "llm")
    assert sequence.trouble is None
    assert [ask.scene for ask in backend.asked] == ["a dog", "a dog, one", "a dog, two"]
    assert [len(ask.history) for ask in backend.asked] == [0, 1, 2]
    assert sorted(ask.request for ask in backend.asked) == ["fog", "rain", "snow"]


async def test_what_was_changed_before_a_cut_is_forgotten() -> None:
    backend = ScriptedBackend("a beach", "a beach, one", "a beach, two")
    recipe = Recipe(prompts=4, requests=("cut to one", "cut to two", "cut to three"))
    await write_sequence(PromptAgent(PlainForm(), [backend]), recipe, 0, "a dog")
    assert [ask.history for ask in backend.asked] == [(), ("something",), ("something",)]


async def test_the_seed_decides_and_not_how_many_are_written_at_once(caption_form: CaptionForm) -> None:
    agent = PromptAgent(caption_form)
    one_by_one = await made(agent, Recipe(prompts=4, seed=1), 1)
    assert await made(agent, Recipe(prompts=4, seed=1), 16) == one_by_one
    assert await made(agent, Recipe(prompts=4, seed=2), 1) != one_by_one
    assert [await write_sequence(agent, Recipe(prompts=4, seed=1), 1, SCENES[1])] == one_by_one[1:2]


async def test_suggestions_give_whole_sequences_by_rules(caption_form: CaptionForm) -> None:
    for sequence in await made(PromptAgent(caption_form), Recipe(prompts=6), 16):
        assert sequence.prompts[0] == SCENES[sequence.number]
        assert len(sequence.prompts) == 6
        assert sequence.sources == ("rules",) * 5
        assert all(caption_form.whole(prompt) for prompt in sequence.prompts)
        assert all(before != after for before, after in zip(sequence.prompts, sequence.prompts[1:], strict=False))


async def test_where_nothing_is_made_of_a_request_another_one_is_tried() -> None:
    recipe = Recipe(requests=("blah", "rain"))
    made_of = [await write_sequence(PromptAgent(PlainForm()), recipe, number, "a dog") for number in range(8)]
    assert {each.prompts for each in made_of} == {("a dog", "a dog, rain")}
    assert {each.dropped for each in made_of} == {0, 1}


async def test_a_scene_that_nothing_is_made_of_is_left_out_and_says_why() -> None:
    recipe = Recipe(requests=("blah one", "blah two", "blah three"), tries=2)
    sequence = await write_sequence(PromptAgent(PlainForm()), recipe, 7, "a dog")
    assert (sequence.number, sequence.prompts, sequence.dropped) == (7, ("a dog",), 2)
    assert sequence.trouble is Trouble.not_understood
    assert sequence.detail == "Nothing is made of blah."


async def test_the_same_picture_in_other_words_is_no_change(caption_form: CaptionForm) -> None:
    agent = PromptAgent(caption_form)
    scene = "a crimson sphere bounces up and down in a grassy field at noon under a clear sky"
    sequence = await write_sequence(agent, Recipe(requests=("paint it red",)), 0, scene)
    assert sequence.trouble is Trouble.unchanged
    assert (await write_sequence(agent, Recipe(requests=("paint it blue",)), 0, scene)).trouble is None


async def test_what_may_not_be_said_is_left_out() -> None:
    sequence = await write_sequence(PromptAgent(PlainForm()), Recipe(requests=("rain",)), 0, "a porn scene")
    assert sequence.trouble is Trouble.refused
    assert sequence.detail


async def test_no_request_is_made_twice() -> None:
    recipe = Recipe(prompts=3, requests=("rain", "rain"))
    sequence = await write_sequence(PromptAgent(PlainForm()), recipe, 0, "a dog")
    assert sequence.prompts == ("a dog", "a dog, rain")
    assert sequence.trouble is Trouble.none_left


async def test_only_prompts_that_hold_are_taken() -> None:
    agent, recipe = PromptAgent(PlainForm()), Recipe(requests=("rain", "snow"))
    for number in range(8):
        sequence = await write_sequence(agent, recipe, number, "a dog", lambda prompt: "snow" in prompt)
        assert sequence.prompts == ("a dog", "a dog, snow")
    assert (await write_sequence(agent, recipe, 0, "a dog", lambda prompt: False)).trouble is Trouble.excluded


async def test_no_more_are_written_at_once_than_were_asked_for_and_closing_stops_them() -> None:
    backend = ScriptedBackend("a dog, one", None)
    scenes = enumerate(["a dog"] * 9)
    written = write_sequences(PromptAgent(PlainForm(), [backend]), Recipe(requests=("rain",)), scenes, 3)
    async with aclosing(written):
        assert (await anext(written)).prompts == ("a dog", "a dog, one")
        waiting = asyncio.create_task(written.__anext__())
        await backend.waiting.wait()
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert len(backend.asked) == 4
    assert backend.cancelled == 3
