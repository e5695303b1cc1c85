"""An event that an earlier change made is told by what it has come to, and nobody is named over and over."""

from __future__ import annotations

import pytest
from paragraph_rows import after

from prompt_agent.form import Form
from prompt_agent.paragraphs.wording import says

WOMAN = (
    "A young woman with red hair plays a violin on the steps of an old square. She wears a green coat. "
    "Warm light falls on the pale house fronts. The mood is calm and dreamy. Cinematic, realistic style. Medium shot."
)
FOX = "A red fox trots through a birch forest. The scene feels peaceful. Realistic documentary style. Wide shot."


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


STREET = (
    "A young woman walks down a cobbled street, wearing a green coat and carrying a brown leather bag, in an old "
    "European town. Warm afternoon light falls on the pale house fronts, and pigeons peck at crumbs beside a fountain. "
    "The mood is calm and nostalgic. Realistic, cinematic style. Medium shot, tracking camera."
)
ACTIONS = (
    "she picks up a flower", "she drops the flower", "she opens an umbrella", "she closes the umbrella",
    "she turns around", "she looks up",
)  # fmt: skip


def test_what_somebody_wears_and_carries_outlasts_what_they_did(paragraph_form: Form) -> None:
    text = after(paragraph_form, STREET, *ACTIONS, "now it is night")
    assert says(text, "green coat")
    assert says(text, "brown leather bag")
    assert not says(after(paragraph_form, text, "remove the pigeons"), "pigeons")


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("she opens an umbrella", "she closes the umbrella"),
        ("she picks up a flower", "she drops the flower"),
        ("she picks up a flower", "she puts the flower down"),
        ("she puts on a hat", "she takes off the hat"),
        ("she turns on the lamp", "she switches off the lamp"),
    ],
)
def test_an_action_replaces_the_one_that_it_undoes(paragraph_form: Form, earlier: str, later: str) -> None:
    text = after(paragraph_form, STREET, earlier, later)
    assert says(text, later)
    assert not says(text, earlier)


def test_a_time_of_day_is_told_once_however_short_its_sentence_has_become(paragraph_form: Form) -> None:
    scene = STREET.replace("Warm", "It is night. Warm")
    assert after(paragraph_form, scene, "make it night").count("It is night") == 1


def test_an_action_on_one_thing_does_not_undo_that_on_another(paragraph_form: Form) -> None:
    text = after(paragraph_form, STREET, "she opens an umbrella", "she closes the door")
    assert says(text, "opens an umbrella")
    assert says(text, "closes the door")


@pytest.mark.parametrize(
    ("earlier", "later", "brought", "acts"),
    [
        ("a dog trots into view", "the dog barks", "A dog", "The dog barks."),
        ("a cat jumps onto the fountain", "the cat eats a fish", "A cat", "The cat eats"),
        ("add a whale", "the whale dives", "A whale", "The whale dives."),
        ("a dog trots into view", "she pets the dog", "A dog", "The young woman pets the dog."),
    ],
)
def test_who_comes_in_one_sentence_acts_in_a_later_one(
    paragraph_form: Form, earlier: str, later: str, brought: str, acts: str
) -> None:
    text = after(paragraph_form, STREET, earlier, later)
    assert text.index(brought) < text.index(acts)


@pytest.mark.parametrize("leaving", ["the dog leaves", "the dog runs away"])
def test_who_leaves_takes_their_sentences_along(paragraph_form: Form, leaving: str) -> None:
    rows = ("a dog trots into view", "the dog barks", "she pets the dog", leaving)
    text = after(paragraph_form, STREET, *rows)
    assert text.lower().count("dog") == 1
    assert says(text, leaving)
    assert not says(after(paragraph_form, STREET, *rows, "make it rain"), "dog")


def test_a_pronoun_of_any_sentence_tells_how_to_name_the_subject(paragraph_form: Form) -> None:
    scene = (
        "A bearded chef stirs a soup in a busy kitchen. Copper pans hang above him. The mood is warm. Realistic "
        "style. Medium shot, static camera."
    )
    text = after(paragraph_form, scene, "he puts on a hat", "he smiles")
    assert says(text, "he smiles")
    assert says(text, "he puts on a hat")
    assert text.count("chef") == 1
