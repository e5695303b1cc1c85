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
from prompt_agent.profile import CaptionProfile, ProfileError, load_profile

TABLES: Mapping[str, Mapping[str, Sequence[str]]] = {
    "colour": captions.COLOUR_WORDS,
    "kind": captions.KIND_WORDS,
    "motion": captions.MOTION_WORDS,
    "place": captions.PLACE_WORDS,
    "time": captions.TIME_WORDS,
    "weather": captions.WEATHER_WORDS,
}


@pytest.fixture(scope="module")
def profile() -> CaptionProfile:
    loaded = load_profile("tiny")
    assert isinstance(loaded, CaptionProfile)
    return loaded


@pytest.fixture(scope="module")
def lexicon(profile: CaptionProfile) -> Lexicon:
    return Lexicon(profile)


def test_the_profile_has_the_attributes_and_values_of_the_world(profile: CaptionProfile) -> None:
    assert {name: set(each.captions) for name, each in profile.attributes.items()} == {
        name: set(values) for name, values in ATTRIBUTES.items()
    }
    for attribute in profile.attributes.values():
        assert set(attribute.words) == set(attribute.captions)


def test_every_wording_of_the_world_is_read_as_its_value(lexicon: Lexicon) -> None:
    tables: list[tuple[str, Mapping[str, Sequence[str]]]] = [*TABLES.items()]
    for name in ("place", "time", "weather"):
        tables.append((name, captions.SHORT_CLAUSES[name]))
    for name, table in tables:
        for value, wordings in table.items():
            for wording in wordings:
                assert read_scene(lexicon, wording) == {name: value}, wording


def test_every_caption_of_the_world_is_read_as_its_scene(lexicon: Lexicon) -> None:
    rng = random.Random(0)
    for _ in range(500):
        scene = draw_scene(rng)
        text = captions.full_caption(rng, scene)
        assert read_scene(lexicon, text) == scene.values(), text
        names = tuple(rng.sample(list(ATTRIBUTES), rng.randint(1, 5)))
        text = captions.partial_caption(rng, scene, names)
        assert read_scene(lexicon, text) == {name: scene.values()[name] for name in names}, text


def test_every_wording_that_captions_are_written_in_is_one_that_the_model_was_trained_on(
    profile: CaptionProfile,
) -> None:
    for name, attribute in profile.attributes.items():
        for value, wording in attribute.captions.items():
            assert wording in TABLES[name][value]


def test_a_caption_is_read_back_and_holds_no_word_and_no_length_that_the_model_does_not_know(
    profile: CaptionProfile, lexicon: Lexicon
) -> None:
    tokenizer = captions.build_tokenizer()
    for values in product(*((None, *ATTRIBUTES[name]) for name in profile.order)):
        scene = {name: value for name, value in zip(profile.order, values, strict=True) if value}
        text = caption(profile, scene)
        tokens = tokenizer.encode(text).tokens
        assert "<unk>" not in tokens, text
        assert len(tokens) + 1 <= captions.TEXT_LEN
        assert len(text.split()) <= profile.max_words
        if values[0] == "red":  # reading takes longer than writing
            assert read_scene(lexicon, text) == scene, text


def test_the_names_of_changes_are_read_as_their_values(profile: CaptionProfile, lexicon: Lexicon) -> None:
    names = {(name, value): named(profile, name, value) for name, values in ATTRIBUTES.items() for value in values}
    assert all(read_scene(lexicon, text) == {name: value} for (name, value), text in names.items())
    assert names["weather", "rain"] == "rain"
    assert names["time", "night"] == "night"
    assert names["motion", "right"] == "it moves right"
    assert names["colour", "blue"] == "blue"
    assert names["kind", "cube"] == "a cube"
    assert names["weather", "clear"] == "clear weather"


def test_each_value_can_be_suggested(profile: CaptionProfile) -> None:
    form = CaptionForm(profile)
    for name, attribute in profile.attributes.items():
        for value in attribute.captions:
            scene = {other: next(iter(each.captions)) for other, each in profile.attributes.items()}
            scene[name] = next(each for each in attribute.captions if each != value)
            done = [named(profile, other, each) for other, values in ATTRIBUTES.items() for each in values]
            done.remove(named(profile, name, value))
            assert form.suggest(caption(profile, scene), tuple(done), 1), (name, value)


def test_a_profile_that_contradicts_itself_is_refused(profile: CaptionProfile) -> None:
    with pytest.raises(ProfileError, match="order"):
        Lexicon(profile.model_copy(update={"order": ("colour",)}))
    colour = profile.attributes["colour"]
    for words, complaint in (({"mauve": ("mauve",)}, "mauve"), ({"red": ("the",)}, "says nothing")):
        wrong = colour.model_copy(update={"words": {**colour.words, **words}})
        with pytest.raises(ProfileError, match=complaint):
            Lexicon(profile.model_copy(update={"attributes": {**profile.attributes, "colour": wrong}}))
