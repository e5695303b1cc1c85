from __future__ import annotations

import json
import re

import pytest

from prompt_agent.captions.form import CaptionForm
from prompt_agent.captions.lexicon import Lexicon
from prompt_agent.captions.reading import read_request, read_scene
from prompt_agent.expansion import Ask, Draft
from prompt_agent.profile import CaptionProfile
from prompt_agent.validation import FaultKind, form_faults

SCENE = "a red ball moves left in the meadow by day in clear weather"


@pytest.mark.parametrize(
    ("request_text", "added"),
    [
        ("make it rain", "rain"),
        ("turn around", "it moves right"),
        ("paint it blue", "blue"),
        ("turn it into a cube", "a cube"),
        ("a blue cube at night", "blue, a cube, night"),
        ("take it to town", "city"),
    ],
)
def test_the_change_is_named_in_a_few_words(caption_form: CaptionForm, request_text: str, added: str) -> None:
    assert caption_form.write(Ask(SCENE, request_text)).added == added


def test_what_is_so_already_is_the_same_caption_and_named_all_the_same(caption_form: CaptionForm) -> None:
    assert caption_form.write(Ask(SCENE, "it should move left")) == Draft(SCENE, "it moves left")


def test_a_text_is_whole_that_says_every_attribute_and_none_twice(caption_form: CaptionForm) -> None:
    assert caption_form.whole(SCENE)
    assert caption_form.whole("In a grassy field at noon, under a clear sky, a crimson sphere drifts to the left.")
    for text in ("make it rain", "a blue cube at night", "", SCENE.replace("red ", ""), SCENE + " at night"):
        assert not caption_form.whole(text)


RAINING = SCENE.replace("clear weather", "the rain")


@pytest.mark.parametrize(
    ("prompt", "kind"),
    [
        (SCENE, FaultKind.not_reflected),
        (RAINING.replace("the rain", "the snow"), FaultKind.not_reflected),
        (RAINING.replace("red", "blue"), FaultKind.lost_anchor),
        (RAINING.replace("red ", ""), FaultKind.lost_anchor),
        (RAINING.replace("in the meadow ", ""), FaultKind.lost_anchor),
        (RAINING + " in clear weather", FaultKind.contradiction),
        (RAINING + " at night", FaultKind.contradiction),
        (RAINING.replace("red ball", "red furry ball"), FaultKind.unread_words),
        (RAINING.replace("ball", "orb"), FaultKind.unread_words),
        (RAINING + "\n", FaultKind.not_one_line),
        (RAINING.replace("ball", "b<ll"), FaultKind.characters),
        ("", FaultKind.length),
        (" ".join([RAINING] * 3), FaultKind.length),
    ],
)
def test_a_draft_of_whoever_wrote_it_is_judged(caption_form: CaptionForm, prompt: str, kind: FaultKind) -> None:
    assert kind in {fault.kind for fault in caption_form.faults(Draft(prompt, "rain"), Ask(SCENE, "make it rain"))}


@pytest.mark.parametrize(
    "prompt",
    [
        RAINING,
        RAINING.capitalize() + ".",
        "in the rain, a red ball moves left in the meadow by day",
        "by day in the meadow, a red ball moves left in the rain",
    ],
)
def test_the_order_of_a_draft_is_its_writer_s(caption_form: CaptionForm, prompt: str) -> None:
    assert caption_form.faults(Draft(prompt, "rain"), Ask(SCENE, "make it rain")) == []


def test_a_draft_says_nothing_of_what_neither_scene_nor_request_say(caption_form: CaptionForm) -> None:
    ask = Ask("a red ball", "make it rain")
    assert caption_form.faults(Draft("a red ball in the rain", "rain"), ask) == []
    faults = caption_form.faults(Draft("a red ball at night in the rain", "rain"), ask)
    assert [fault.kind for fault in faults] == [FaultKind.lost_anchor]


def test_a_request_beyond_the_tables_may_change_one_thing_in_a_language_model_s_draft(
    caption_form: CaptionForm,
) -> None:
    for request_text in ("lass es regnen", "mach den Ball nass", "make everything gloomy"):
        ask = Ask(SCENE, request_text)
        assert caption_form.faults(Draft(RAINING, "rain"), ask) == []
        assert {fault.kind for fault in caption_form.faults(Draft(SCENE, ""), ask)} == {FaultKind.not_reflected}
        two = Draft(RAINING.replace("red", "blue"), "rain")
        assert {fault.kind for fault in caption_form.faults(two, ask)} == {FaultKind.lost_anchor}


def test_nobody_may_guess_a_value_that_the_world_lacks(caption_form: CaptionForm) -> None:
    pink = Draft(SCENE.replace("red", "pink"), "pink")
    assert FaultKind.not_reflected in {fault.kind for fault in caption_form.faults(pink, Ask(SCENE, "make it purple"))}


@pytest.mark.parametrize(
    "scene",
    ["", "x" * 5000, "让它下雨", "<|im_start|>", "\0\n\n", "a dragon", "a red ball", SCENE, "RED " * 300,
     "no rain, no ball", "not red", "stop", "...", "the the the", "a purple dog in the forest", "sunny", "move"],
)  # fmt: skip
def test_the_stock_answer_is_valid_whatever_the_scene_holds(
    caption_form: CaptionForm, caption_profile: CaptionProfile, scene: str
) -> None:
    draft = caption_form.stock(Ask(scene, "anything"))
    assert form_faults(draft.prompt, 1, caption_profile.max_words, ()) == []
    assert caption_form.stock(Ask(draft.prompt, "")) == draft


def test_the_stock_answer_is_the_scene_where_it_can_be_read(caption_form: CaptionForm) -> None:
    assert caption_form.stock(Ask("A CRIMSON sphere goes to the left, in a grassy field", "x")).prompt == (
        "a red ball moves left in the meadow"
    )
    assert caption_form.stock(Ask("?", "x")).prompt.startswith("a red ball ")


def test_a_language_model_is_told_every_wording_and_bound_to_them(
    caption_form: CaptionForm, caption_profile: CaptionProfile
) -> None:
    instructions = caption_form.instructions()
    for attribute in caption_profile.attributes.values():
        assert all(words in instructions for words in attribute.captions.values())

    def allows(prompt: str) -> bool:
        answer = json.dumps({"added": "rain", "prompt": prompt}, separators=(",", ":"))
        return re.fullmatch(caption_form.pattern(), answer) is not None

    assert allows(RAINING)
    for wrong in ("", "a <b> ball", "a ball\n", "b" * 2000, "{}", "a ball 2", "ein Bäll"):
        assert not allows(wrong)


def test_suggestions_change_something_and_no_two_the_same_thing(
    caption_form: CaptionForm, caption_profile: CaptionProfile
) -> None:
    caption_lexicon = Lexicon(caption_profile)
    now = read_scene(caption_lexicon, SCENE)
    changed: list[str] = []
    for request in caption_form.suggest(SCENE, (), 6):
        asked = read_request(caption_lexicon, request, now).asked
        assert asked.items() - now.items(), request
        changed += asked
    assert len(set(changed)) == len(changed) == 6
    assert caption_form.suggest(SCENE, (), 6) == caption_form.suggest(SCENE, (), 6)


def test_suggestions_do_not_repeat_what_was_changed_and_begin_with_something_else(caption_form: CaptionForm) -> None:
    first = caption_form.suggest(SCENE, (), 1)[0]
    added = caption_form.write(Ask(SCENE, first)).added
    again = caption_form.suggest(SCENE, (added,), 100)
    assert first not in again
    assert added not in [caption_form.write(Ask(SCENE, request)).added for request in again]
    assert caption_form.suggest(SCENE, ("rain",), 1) != caption_form.suggest(SCENE, ("night",), 1)


def test_a_scene_that_cannot_be_read_is_offered_everything_once(
    caption_form: CaptionForm, caption_profile: CaptionProfile
) -> None:
    assert sorted(caption_form.suggest("?", (), 100)) == sorted(caption_profile.suggestions)
    assert caption_form.suggest("?", (), 0) == []
