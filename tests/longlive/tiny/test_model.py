"""The shipped weights: what `longlive eval tiny` measures at length, in small, and the promises of the package data."""

from __future__ import annotations

import random

import pytest
import torch

from longlive.checkpoints import load_vae
from longlive.model import Model
from longlive.model_folder import find_model
from longlive.pipeline import load_model
from longlive.stream import VideoStream
from longlive.tiny.captions import full_caption
from longlive.tiny.evaluation import evaluate, evaluate_switch
from longlive.tiny.readouts import matches, read
from longlive.tiny.renderer import render
from longlive.tiny.world import ATTRIBUTES, Clip, draw_scene

ROUND_TRIPS = 150  # clips: fewer would not tell 98 in 100 from 95


@pytest.fixture(scope="module")
def tiny() -> Model:
    """As served with float32: which format is faster here must not decide a test."""
    return load_model("tiny", dtype=torch.float32, device="cpu")


def test_the_whole_model_is_at_most_16_megabytes() -> None:
    assert sum(file.stat().st_size for file in find_model("tiny").folder.iterdir()) <= 16e6


def test_every_readout_is_right_98_times_in_100_after_a_round_trip_through_the_vae(tiny: Model) -> None:
    rng = random.Random(8)
    scenes = [draw_scene(rng, held_out=i % 2 == 0) for i in range(ROUND_TRIPS)]
    wrong: dict[str, list[str]] = {name: [] for name in ATTRIBUTES}
    vae = load_vae(find_model("tiny").folder / "vae.safetensors", tiny.config.vae, torch.float32)
    for seed, scene in enumerate(scenes):
        pixels = render(Clip(scene, seed), 33).unsqueeze(0) / 127.5 - 1
        with torch.inference_mode():
            decoded = vae.decode(vae.encode(pixels))[0, 9:]
        seen = read(((decoded.float() + 1) * 127.5).round().to(torch.uint8))
        for name, value in scene.values().items():
            if seen[name] != value:
                wrong[name].append(f"clip {seed}: {value} read as {seen[name]}")
    assert {name: faults for name, faults in wrong.items() if len(faults) > 0.02 * ROUND_TRIPS} == {}


def test_videos_show_what_their_prompts_say_and_not_what_others_say(tiny: Model) -> None:
    result = evaluate(tiny, range(16))
    assert result.overall.mean >= 0.7
    assert result.attributes["colour"] >= 0.85
    assert result.attributes["place"] >= 0.85
    assert abs(result.control - result.chance) < 0.15


def test_after_a_switch_with_recache_the_picture_follows_the_new_prompt(tiny: Model) -> None:
    late = evaluate_switch(tiny, range(12), "recache")[-1]
    assert late.seconds == 4.0
    assert late.changed.mean >= 0.5


def test_the_examples_hold_no_word_that_the_model_does_not_know(tiny: Model) -> None:
    assert tiny.config.examples
    assert not any(tiny.unknown_words(example) for example in tiny.config.examples)
    assert tiny.unknown_words("a red Zeppelin hops by day.") == ["Zeppelin"]


def test_every_chunk_after_the_first_has_the_same_shape(tiny: Model) -> None:
    stream = VideoStream(tiny, tiny.encode(["a red ball hops in the city at night"]), 0)
    shapes = [tuple(stream.next_frames().shape) for _ in range(8)]
    assert shapes == [(9, 64, 64, 3)] + [(12, 64, 64, 3)] * 7


def test_no_seeds_is_an_error_that_says_what_to_give(tiny: Model) -> None:
    with pytest.raises(ValueError, match="give A:B"):
        evaluate(tiny, range(3, 3))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_model_reaches_its_bars_on_256_held_out_scenes(tiny: Model) -> None:
    result = evaluate(tiny, range(256))
    assert result.overall.low >= 0.80
    assert result.attributes["colour"] >= 0.95
    assert result.attributes["place"] >= 0.95
    assert abs(result.control - result.chance) < 0.05
    assert evaluate_switch(tiny, range(256), "recache")[-1].changed.mean >= 0.70


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_video_still_shows_its_prompt_after_a_minute(tiny: Model) -> None:
    shown = []
    for seed in range(16):
        rng = random.Random(1000 + seed)
        scene = draw_scene(rng, held_out=True)
        stream = VideoStream(tiny, tiny.encode([full_caption(rng, scene)]), seed)
        while stream.frame < 60 * tiny.config.fps:
            stream.next_frames()
        frames = torch.cat([stream.next_frames(), stream.next_frames()]).permute(0, 3, 1, 2)
        shown += matches(frames, scene).values()
    assert sum(shown) / len(shown) >= 0.85
