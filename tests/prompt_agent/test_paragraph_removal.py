"""What goes takes along what hangs on it, and nothing else: no weather, no other garment, no half a sentence."""

from __future__ import annotations

import pytest
from paragraph_rows import after

from prompt_agent.form import Form
from prompt_agent.paragraphs.wording import says

REST = (
    " Warm afternoon light falls on the pale house fronts, and pigeons peck at crumbs beside a fountain. The mood is "
    "calm and nostalgic. Realistic, cinematic style. Medium shot, tracking camera."
)
WOMAN = (
    "A young woman walks down a cobbled street, wearing a green coat and carrying a brown leather bag, in an old "
    "European town." + REST
)
CHEF = (
    "A bearded chef in a white apron stirs a pot in a busy kitchen. Copper pans hang above him and steam rises from a "
    "pot on the stove. The mood is warm. Realistic style. Medium shot, static camera."
)
END = " The mood is calm. Realistic style. Wide shot, static camera."


@pytest.mark.parametrize(
    ("scene", "request_", "kept"),
    [
        ("A dog trots into view. It is night, and deep darkness surrounds the scene.", "remove the dog", "It is night"),
        ("A red car stands at the curb. It is raining hard.", "remove the car", "It is raining hard."),
        ("A cat sits on a wall. It is autumn and leaves cover the ground.", "remove the cat", "It is autumn and"),
        ("A cat sits on a wall. It gets dark outside. It snows.", "remove the cat", "It gets dark outside. It snows."),
        ("A dog runs in a park. It was a cold winter morning.", "remove the dog", "It was a cold winter morning."),
    ],
)
def test_weather_season_and_time_stay_behind_what_goes(
    paragraph_form: Form, scene: str, request_: str, kept: str
) -> None:
    assert kept in after(paragraph_form, scene + END, request_)


def test_what_is_said_of_it_goes_with_it(paragraph_form: Form) -> None:
    text = after(paragraph_form, "A dog runs in a park. It is a dark horse's friend. It barks." + END, "remove the dog")
    assert not says(text, "horse's friend")
    assert not says(text, "it barks")


def test_the_night_outlasts_a_dog_that_came_and_went(paragraph_form: Form) -> None:
    text = after(paragraph_form, WOMAN, "now it is night", "add a dog", "remove the dog")
    assert says(text, "it is night")
    assert not says(text, "dog")


@pytest.mark.parametrize(
    ("requests", "half"),
    [
        (("she puts on a hat", "she takes off the hat"), "she puts"),
        (("she puts on a hat", "remove the hat"), "she puts"),
        (("she puts a hat on", "remove the hat"), "she stands"),
        (("she turns on the lamp", "remove the lamp"), "she turns"),
        (("she looks at a bird", "remove the bird"), "she looks"),
        (("she picks up a flower", "remove the flower"), "she picks"),
    ],
)
def test_a_sentence_goes_with_the_object_of_its_verb(
    paragraph_form: Form, requests: tuple[str, ...], half: str
) -> None:
    text = after(paragraph_form, WOMAN, *requests)
    assert not says(text, half)
    assert says(text, "green coat")


def test_the_other_verb_of_a_sentence_stays(paragraph_form: Form) -> None:
    assert says(after(paragraph_form, WOMAN, "she puts on a hat and smiles", "remove the hat"), "she smiles")


def test_where_a_thing_was_goes_with_it(paragraph_form: Form) -> None:
    text = after(paragraph_form, CHEF, "remove the pot")
    assert says(text, "copper pans hang above him")
    assert not says(text, "stove")


def test_whom_no_other_sentence_names_is_not_lost_with_what_they_hold(paragraph_form: Form) -> None:
    scene = "An old man holds a cane in a park. The dog beside him holds a stick." + END
    text = after(paragraph_form, scene, "remove the stick", "remove the cane")
    assert says(text, "an old man stands in a park")
    assert says(text, "dog")


@pytest.mark.parametrize(
    "scene",
    [
        WOMAN,
        "A young woman walks down a street in a town, wearing a green coat and carrying a brown leather bag." + REST,
        "A young woman wearing a green coat and carrying a brown leather bag walks down a street in an old town."
        + REST,
    ],
)
@pytest.mark.parametrize(
    ("request_", "gone", "kept"),
    [
        ("remove the bag", "bag", "wearing a green coat"),
        ("she drops the bag", "carrying a brown leather bag", "wearing a green coat"),
        ("take off the coat", "coat", "carrying a brown leather bag"),
    ],
)
def test_of_what_somebody_wears_and_carries_only_what_is_named_goes(
    paragraph_form: Form, scene: str, request_: str, gone: str, kept: str
) -> None:
    text = after(paragraph_form, scene, request_)
    assert not says(text, gone)
    assert says(text, kept)
    assert says(text, "a young woman")


def test_a_man_is_somebody_and_no_form_of_address(paragraph_form: Form) -> None:
    text = after(paragraph_form, "The old man holds a cane in a park." + END, "remove the man")
    assert not says(text, "man")
    assert says(after(paragraph_form, WOMAN, "add an old man"), "an old man")
