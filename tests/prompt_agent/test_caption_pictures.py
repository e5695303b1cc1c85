"""The benchmark's requests, written apart from the profile's tables, all lead to the scene that they mean."""

from __future__ import annotations

import random

import pytest

from longlive.tiny.captions import full_caption
from longlive.tiny.world import ATTRIBUTES, Scene, draw_scene
from prompt_agent.captions.lexicon import Lexicon
from prompt_agent.captions.reading import read_scene
from prompt_pictures import Task, by_rules, requests


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_every_loose_request_leads_to_its_scene(caption_lexicon: Lexicon, name: str) -> None:
    expand, rng = by_rules(), random.Random(0)
    for before in ATTRIBUTES[name]:
        for after in set(ATTRIBUTES[name]) - {before}:
            for request in requests(name, before, after):
                scene = Scene(**{**draw_scene(rng).values(), name: before})
                prompt = expand(full_caption(rng, scene), request)
                assert read_scene(caption_lexicon, prompt) == {**scene.values(), name: after}, (before, request)


def test_a_task_changes_one_attribute_and_its_exact_caption_says_so(caption_lexicon: Lexicon) -> None:
    for seed in range(50):
        task = Task.of(seed)
        before, after = read_scene(caption_lexicon, task.caption), read_scene(caption_lexicon, task.exact)
        assert after == task.after.values()
        assert [name for name in ATTRIBUTES if before[name] != after[name]] == [task.asked]


def test_tasks_are_the_same_each_time_and_differ_in_what_they_ask() -> None:
    assert [Task.of(seed) for seed in range(4)] == [Task.of(seed) for seed in range(4)]
    assert {Task.of(seed).asked for seed in range(64)} == set(ATTRIBUTES)
