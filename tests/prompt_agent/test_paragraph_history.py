"""An event that an earlier change made is told by what it has come to, and nobody is named over and over."""

from __future__ import annotations

import pytest

from prompt_agent.expansion import Ask
from prompt_agent.form import Form
from prompt_agent.paragraphs.wording import says

WOMAN = (
    "A young woman with red hair plays a violin on the steps of an old square. She wears a green coat. "
    "Warm light falls on the pale house fronts. The mood is calm and dreamy. Cinematic, realistic style. Medium shot."
)
FOX = "A red fox trots through a birch forest. The scene feels peaceful. Realistic documentary style. Wide shot."


def after(paragraph_form: Form, scene: str, *requests: str) -> str:
    """The paragraph after these changes, one by one."""
    history: tuple[str, ...] = ()
    for request in requests:
        ask = Ask(scene, request, history)
        draft = paragraph_form.write(ask)
        assert paragraph_form.faults(draft, ask) == [], request
        scene, history = draft.prompt, (*history, draft.added)
    return scene


@pytest.mark.parametrize(
    ("event", "over"),
    [
        ("she laughs", "laughs"),
        ("she bows", "bows"),
        ("a bird flies past", "bird"),
        ("the pigeons fly away", "pigeons"),
        ("zoom in", "moves in"),
    ],
)
def test_what_takes_a_moment_is_over_by_the_next_change(paragraph_form: Form, event: str, over: str) -> None:
    assert says(after(paragraph_form, WOMAN, event), over)
    assert not says(after(paragraph_form, WOMAN, event, "make it rain"), over)


@pytest.mark.parametrize(
    ("event", "there"),
    [
        ("a little girl walks up and drops a coin", "a little girl stands nearby"),
        ("a cat walks in", "a cat stands nearby"),
        ("a bird lands on the steps", "a bird sits on the steps"),
    ],
)
def test_who_came_is_there_by_the_next_change(paragraph_form: Form, event: str, there: str) -> None:
    assert says(after(paragraph_form, WOMAN, event, "make it rain"), there)


@pytest.mark.parametrize("lasting", ["she opens an umbrella", "she sits down", "give her a hat", "add a red balloon"])
def test_what_lasts_stays(paragraph_form: Form, lasting: str) -> None:
    once = after(paragraph_form, WOMAN, lasting).split(". ")[1]
    assert once in after(paragraph_form, WOMAN, lasting, "make it rain")


def test_an_event_of_the_viewers_own_scene_stays(paragraph_form: Form) -> None:
    scene = WOMAN.replace("She wears a green coat", "A dog jumps over a bench. She wears a green coat")
    assert says(after(paragraph_form, scene, "make it rain"), "a dog jumps over a bench")


def test_what_is_asked_about_stays_to_be_changed(paragraph_form: Form) -> None:
    assert says(after(paragraph_form, WOMAN, "a bird flies past", "make the bird red"), "red bird")


def test_the_subject_is_named_once_in_a_row_of_changes(paragraph_form: Form) -> None:
    text = after(paragraph_form, WOMAN, "she opens an umbrella", "make it rain", "she turns around")
    assert text.count("young woman") == 1
    assert says(text, "she turns around")
    assert says(text, "she opens an umbrella")


def test_a_pronoun_never_follows_somebody_else_whom_it_could_mean(paragraph_form: Form) -> None:
    text = after(paragraph_form, WOMAN, "she opens an umbrella", "a little girl walks up")
    assert text.index("A little girl") < text.index("The young woman opens an umbrella")


def test_another_of_its_kind_is_not_taken_for_the_subject(paragraph_form: Form) -> None:
    assert says(after(paragraph_form, FOX, "a second fox shows up", "the fox runs"), "second fox stands nearby")


def test_a_dozen_changes_cost_a_scene_neither_its_style_nor_its_mood(paragraph_form: Form) -> None:
    text = after(
        paragraph_form, WOMAN,
        "make it rain", "she opens an umbrella", "add a red balloon", "give her a hat", "night falls",
        "a dog barks", "add a lantern", "she turns around", "a cat sits on the steps", "let it snow",
        "add a fountain", "she looks up",
    )  # fmt: skip
    assert says(text, "cinematic, realistic style")
    assert says(text, "calm")
