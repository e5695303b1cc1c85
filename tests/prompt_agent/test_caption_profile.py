"""The words of the shipped profile, held against the world that they describe."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from itertools import product

import pytest

from longlive.tiny import captions
from longlive.tiny.world import ATTRIBUTES, draw_scene
from prompt_agent.captions.form import CaptionForm
from prompt_agent.captions.lexicon import Lexicon
from prompt_agent.captions.reading import read_scene
from prompt_agent.captions.sentence import caption, named
from prompt_agent.profile import CaptionProfile, ProfileError

TABLES: Mapping[str, Mapping[str, Sequence[str]]] = {
    "colour": captions.COLOUR_WORDS,
    "kind": captions.KIND_WORDS,
    "motion": captions.MOTION_WORDS,
    "place": captions.PLACE_WORDS,
    "time": captions.TIME_WORDS,
    "weather": captions.WEATHER_WORDS,
}


def test_the_profile_has_the_attributes_and_values_of_the_world(caption_profile: CaptionProfile) -> None:
    assert {name: set(each.captions) for name, each in caption_profile.attributes.items()} == {
        name: set(values) for name, values in ATTRIBUTES.items()
    }
    for attribute in caption_profile.attributes.values():
        assert set(attribute.words) == set(attribute.captions)


def test_every_wording_of_the_world_is_read_as_its_value(caption_lexicon: Lexicon) -> None:
    tables: list[tuple[str, Mapping[str, Sequence[str]]]] = [*TABLES.items()]
    for name in ("place", "time", "weather"):
        tables.append((name, captions.SHORT_CLAUSES[name]))
    for name, table in tables:
        for value, wordings in table.items():
            for wording in wordings:
                assert read_scene(caption_lexicon, wording) == {name: value}, wording


def test_every_caption_of_the_world_is_read_as_its_scene(caption_lexicon: Lexicon) -> None:
    rng = random.Random(0)
    for _ in range(500):
        scene = draw_scene(rng)
        text = captions.full_caption(rng, scene)
        assert read_scene(caption_lexicon, text) == scene.values(), text
        names = tuple(rng.sample(list(ATTRIBUTES), rng.randint(1, 5)))
        text = captions.partial_caption(rng, scene, names)
        assert read_scene(caption_lexicon, text) == {name: scene.values()[name] for name in names}, text


def test_every_wording_that_captions_are_written_in_is_one_that_the_model_was_trained_on(
    caption_profile: CaptionProfile,
) -> None:
    for name, attribute in caption_profile.attributes.items():
        for value, wording in attribute.captions.items():
            assert wording in TABLES[name][value]


def test_a_caption_is_read_back_and_holds_no_word_and_no_length_that_the_model_does_not_know(
    caption_profile: CaptionProfile, caption_lexicon: Lexicon
) -> None:
    tokenizer = captions.build_tokenizer()
    for values in product(*((None, *ATTRIBUTES[name]) for name in caption_profile.order)):
        scene = {name: value for name, value in zip(caption_profile.order, values, strict=True) if value}
        text = caption(caption_profile, scene)
        tokens = tokenizer.encode(text).tokens
        assert "<unk>" not in tokens, text
        assert len(tokens) + 1 <= captions.TEXT_LEN
        assert len(text.split()) <= caption_profile.max_words
        if values[0] == "red":  # reading takes longer than writing
            assert read_scene(caption_lexicon, text) == scene, text


def test_the_names_of_changes_are_read_as_their_values(
    caption_profile: CaptionProfile, caption_lexicon: Lexicon
) -> None:
    names = {
        (name, value): named(caption_profile, name, value) for name, values in ATTRIBUTES.items() for value in values
    }
    assert all(read_scene(caption_lexicon, text) == {name: value} for (name, value), text in names.items())
    assert names["weather", "rain"] == "rain"
    assert names["time", "night"] == "night"
    assert names["motion", "right"] == "it moves right"
    assert names["colour", "blue"] == "blue"
    assert names["kind", "cube"] == "a cube"
    assert names["weather", "clear"] == "clear weather"


def test_each_value_can_be_suggested(caption_profile: CaptionProfile) -> None:
    caption_form = CaptionForm(caption_profile)
    for name, attribute in caption_profile.attributes.items():
        for value in attribute.captions:
            scene = {other: next(iter(each.captions)) for other, each in caption_profile.attributes.items()}
            scene[name] = next(each for each in attribute.captions if each != value)
            done = [named(caption_profile, other, each) for other, values in ATTRIBUTES.items() for each in values]
            done.remove(named(caption_profile, name, value))
            assert caption_form.suggest(caption(caption_profile, scene), tuple(done), 1), (name, value)


def test_a_profile_that_contradicts_itself_is_refused(caption_profile: CaptionProfile) -> None:
    with pytest.raises(ProfileError, match="order"):
        Lexicon(caption_profile.model_copy(update={"order": ("colour",)}))
    colour = caption_profile.attributes["colour"]
    for words, complaint in (({"mauve": ("mauve",)}, "mauve"), ({"red": ("the",)}, "says nothing")):
        wrong = colour.model_copy(update={"words": {**colour.words, **words}})
        with pytest.raises(ProfileError, match=complaint):
            Lexicon(caption_profile.model_copy(update={"attributes": {**caption_profile.attributes, "colour": wrong}}))
