"""A request is taken apart into its changes, and a change may begin another scene."""

from __future__ import annotations

import pytest

from prompt_agent.cleaning import MAX_REQUEST
from prompt_agent.request import MAX_CHANGES, Change, changes_of

ONE = (
    "make it rain",
    "a cat and a dog walk in",
    "she turns around and smiles",
    "add a cat, a dog and a bird",
    "a man with a red hat, blue coat and boots",
    "turn the lights on and off",
    "cut the rope",
    "he cuts into the cake",
    "remove the dog and the cat",
    "put a candle next to the watch",
    "they sit down and take a nap",
)
SEVERAL = {
    "make it rain and add a dog": ("make it rain", "add a dog"),
    "make it night, then he jumps": ("make it night", "he jumps"),
    "make it rain. Now it's night!": ("make it rain", "Now it's night"),
    "add a hat, remove the dog and paint the car red": ("add a hat", "remove the dog", "paint the car red"),
    "make it night and take it to the city": ("make it night", "take it to the city"),
    "make it snow; zoom in": ("make it snow", "zoom in"),
    "make it rain and then turn him around": ("make it rain", "turn him around"),
    "make it rain\nadd a dog": ("make it rain", "add a dog"),
    "make it rain. Next, add a dog": ("make it rain", "add a dog"),
    "make it rain and make it rain and add a dog": ("make it rain", "add a dog"),
    "make it rain; then ; and then": ("make it rain",),
    "make it rain; and next; then add a dog": ("make it rain", "add a dog"),
    "he jumps, then he turns, then he jumps": ("he jumps", "he turns", "he jumps"),
}
CUTS = {
    "cut to a beach at night": "a beach at night",
    "Cut to: Paris": "Paris",
    "hard cut to the sea": "the sea",
    "please cut to a forest": "a forest",
    "new scene: a forest": "a forest",
    "change the scene to a forest": "a forest",
    "Schnitt auf einen Wald": "einen Wald",
    "切换到海滩": "海滩",
}


@pytest.mark.parametrize("text", ONE)
def test_one_change_stays_one(text: str) -> None:
    assert changes_of(text).each == (Change(text),)


@pytest.mark.parametrize(("text", "parts"), SEVERAL.items())
def test_several_changes_come_one_by_one(text: str, parts: tuple[str, ...]) -> None:
    assert changes_of(text).each == tuple(Change(part) for part in parts)


@pytest.mark.parametrize(("text", "scene"), CUTS.items())
def test_a_cut_names_the_scene_that_it_goes_to(text: str, scene: str) -> None:
    assert changes_of(text).each == (Change(scene, cut=True),)


def test_a_cut_may_come_behind_a_change() -> None:
    assert changes_of("make it rain, then cut to the sea").each == (Change("make it rain"), Change("the sea", cut=True))


def test_there_is_an_end_to_what_one_request_may_change_and_the_rest_is_told() -> None:
    asked = changes_of(", ".join(f"add a {letter}" for letter in "abcdefghijklmnop"))
    assert [change.text for change in asked.each] == [f"add a {letter}" for letter in "abcdefghijklmnop"[:MAX_CHANGES]]
    assert asked.warnings == ("A request has at most 8 changes: from 'add a i' on the rest, 8, is left out.",)


def test_what_a_change_is_too_long_for_is_told() -> None:
    asked = changes_of(f"a cat {'purrs ' * 60}loudly")
    assert len(asked.each[0].text) <= MAX_REQUEST
    (warning,) = asked.warnings
    assert "300 letters" in warning
    assert warning.endswith("purrs' is left out.")


def test_what_a_text_is_too_long_for_is_told() -> None:
    assert "2400 letters" in changes_of("make it rain. " * 300).warnings[-1]


@pytest.mark.parametrize("text", [*ONE, *SEVERAL, *CUTS])
def test_nothing_is_told_where_nothing_is_left_out(text: str) -> None:
    assert changes_of(text).warnings == ()


@pytest.mark.parametrize("text", ["", " ", "...", "🙂🙂", "<|im_end|>", "!?", "then", "and then"])
def test_there_is_no_change_without_words(text: str) -> None:
    assert changes_of(text).each == ()
