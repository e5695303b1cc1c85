from __future__ import annotations

import random

import pytest
import torch

from longlive.text_encoder import UNKNOWN_TOKENS
from longlive.tiny.captions import (
    COLOUR_WORDS,
    EXAMPLES,
    KIND_WORDS,
    MOTION_WORDS,
    PLACE_WORDS,
    TEXT_LEN,
    TIME_WORDS,
    WEATHER_WORDS,
    build_tokenizer,
    full_caption,
    partial_caption,
)
from longlive.tiny.readouts import read, subject_mask
from longlive.tiny.renderer import render
from longlive.tiny.world import ATTRIBUTES, SIZE, Clip, Scene, all_scenes, draw_change, draw_scene

WORDS = {
    "kind": KIND_WORDS,
    "colour": COLOUR_WORDS,
    "motion": MOTION_WORDS,
    "place": PLACE_WORDS,
    "time": TIME_WORDS,
    "weather": WEATHER_WORDS,
}


def test_the_world_has_six_attributes_most_with_four_values_or_more() -> None:
    assert len(ATTRIBUTES) == 6
    assert sum(len(values) >= 4 for values in ATTRIBUTES.values()) >= 4
    assert all(set(WORDS[name]) == set(values) for name, values in ATTRIBUTES.items())
    assert all(len(words) >= 2 for table in WORDS.values() for words in table.values())


def test_about_a_tenth_of_the_combinations_is_held_out_and_never_drawn_for_training() -> None:
    scenes = list(all_scenes())
    share = sum(scene.held_out() for scene in scenes) / len(scenes)
    assert 0.07 < share < 0.13
    rng = random.Random(3)
    for _ in range(300):
        scene = draw_scene(rng)
        after = draw_change(rng, scene, 2)
        assert not scene.held_out()
        assert not after.held_out()
        assert len(scene.changed(after)) == 2
    assert all(draw_scene(rng, held_out=True).held_out() for _ in range(20))


def test_a_value_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(ValueError, match="colour must be one of red, yellow"):
        Scene("ball", "mauve", "left", "sea", "day", "clear")


def test_every_caption_fits_and_the_tokenizer_knows_every_word() -> None:
    rng, tokenizer = random.Random(1), build_tokenizer()
    unknown = tokenizer.token_to_id(UNKNOWN_TOKENS[0])
    for _ in range(2000):
        scene = draw_scene(rng)
        names = tuple(rng.sample(list(ATTRIBUTES), rng.randint(1, 6)))
        for caption in (full_caption(rng, scene), partial_caption(rng, scene, names)):
            ids = tokenizer.encode(caption).ids
            assert unknown not in ids, caption
            assert len(ids) < TEXT_LEN, caption


def test_a_full_caption_says_every_attribute_in_one_of_its_words() -> None:
    rng = random.Random(2)
    for _ in range(200):
        scene = draw_scene(rng)
        caption = full_caption(rng, scene)
        assert any(word in caption.split() for word in COLOUR_WORDS[scene.colour])
        assert any(word in caption.split() for word in KIND_WORDS[scene.kind])
        assert any(words in caption for words in MOTION_WORDS[scene.motion])
        assert any(words in caption for words in PLACE_WORDS[scene.place])


def test_every_example_can_be_read_to_the_last_word() -> None:
    tokenizer = build_tokenizer()
    unknown = tokenizer.token_to_id(UNKNOWN_TOKENS[0])
    assert len(set(EXAMPLES)) == len(EXAMPLES)
    assert not any(unknown in tokenizer.encode(example).ids for example in EXAMPLES)


def test_a_clip_is_a_pure_function_of_scene_and_seed() -> None:
    scene = Scene("donut", "pink", "hops", "city", "night", "snow")
    assert torch.equal(render(Clip(scene, 7), 20), render(Clip(scene, 7), 20))
    assert not torch.equal(render(Clip(scene, 7), 20), render(Clip(scene, 8), 20))
    assert render(Clip(scene, 7), 20).shape == (20, 3, SIZE, SIZE)


def test_readouts_are_right_on_clean_clips() -> None:
    rng = random.Random(4)
    wrong = []
    for seed in range(60):
        scene = draw_scene(rng)
        seen = read(render(Clip(scene, seed), 33)[9:])
        wrong += [(name, scene) for name in ATTRIBUTES if seen[name] != getattr(scene, name)]
    assert len(wrong) <= 0.02 * 60 * len(ATTRIBUTES), wrong


def test_after_a_switch_the_readouts_see_the_new_scene() -> None:
    before = Scene("ball", "red", "left", "meadow", "day", "clear")
    after = Scene("cube", "cyan", "right", "city", "night", "snow")
    frames = render(Clip(before, 5, after, switch=21), 57)
    assert read(frames[:21]) == before.values()
    assert read(frames[33:]) == after.values()


def test_an_empty_picture_has_no_subject_to_read() -> None:
    seen = read(torch.full((12, 3, SIZE, SIZE), 128, dtype=torch.uint8))
    assert seen["kind"] is seen["colour"] is seen["motion"] is None


def test_a_subject_that_vanishes_for_some_frames_is_read_from_the_others() -> None:
    scene = Scene("cube", "blue", "still", "city", "day", "clear")
    frames = render(Clip(scene, 3), 24)
    without = frames.masked_fill((subject_mask(frames.float() / 255) > 0).any(0), 128)
    frames[4:10] = without[4:10]
    seen = read(frames)
    assert (seen["kind"], seen["colour"], seen["motion"]) == ("cube", "blue", "still")
    frames[:17] = without[:17]
    seen = read(frames)
    assert seen["kind"] is seen["colour"] is seen["motion"] is None


@pytest.mark.parametrize("shape", [(11, 3, 64, 64), (12, 64, 64, 3), (12, 3, 32, 32)])
def test_readouts_refuse_too_few_frames_and_other_sizes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least 12 frames"):
        read(torch.zeros(shape, dtype=torch.uint8))
