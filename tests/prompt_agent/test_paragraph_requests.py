"""Loose wordings of every kind of change: nothing of the order is echoed, and no old value stays."""

from __future__ import annotations

import pytest

from prompt_agent.expansion import Ask, NotUnderstood
from prompt_agent.form import Form
from prompt_agent.paragraphs.wording import says

SCENES = {
    "beach": "A golden retriever runs along a sunny beach at low tide. The dog carries a red ball in its mouth and "
    "looks happy. Gentle waves roll onto the wet sand and a few people walk in the distance. Clear blue sky, "
    "bright daylight, cheerful mood, realistic style. Medium shot, tracking camera.",
    "train": "A black steam train crosses a tall stone bridge over a green valley on a bright summer morning. White "
    "smoke trails from its chimney, and sunlight sparkles on the river far below. Sheep graze on the "
    "hillside, and a small farmhouse with a red door stands beside the tracks. The mood is nostalgic and "
    "calm. Realistic cinematic style with soft natural colors. Wide aerial shot, slow drone movement.",
    "girl": "A little girl with blond braids sits on a wooden swing in a quiet garden in the late afternoon. She "
    "wears a blue dress and holds a brown teddy bear. Her eyes are closed while sunlight falls through an "
    "apple tree, and a white cat watches her from the grass. Soft, dreamy style with pastel colors. Medium "
    "shot, static camera.",
    "city": "A motorcyclist in a black leather jacket rides through a rainy city street at night. Pink and blue neon "
    "signs glow on the wet asphalt, and raindrops run down shop windows. Pedestrians with umbrellas wait at a "
    "crossing, and steam rises from a manhole. Cyberpunk film style with deep contrast. Low tracking shot, "
    "camera close to the ground.",
}
CASES = [
    ("beach", "remove the ball", "The dog looks happy.", "red ball/in its mouth"),
    ("beach", "no people", "Gentle waves roll onto the wet sand.", "people/in the distance"),
    ("beach", "can you make it a stormy night pls", "storm", "sunny/gentle waves/daylight"),
    ("beach", "what if a whale jumped out of the water", "A whale jumps out of the water.", "what if"),
    ("beach", "put sunglasses on the dog", "wears sunglasses", ""),
    ("beach", "turn the dog into a wolf", "A wolf runs along", "dog/retriever"),
    ("beach", "make the boat blue", "A blue boat is in clear view", ""),
    ("beach", "the dog sits down", "sits down on a sunny beach", "runs"),
    ("train", "it would be nice if the sun went down", "", "would be nice"),
    ("train", "turn day into night", "It is night", "morning/sunlight"),
    ("train", "make it steampunk", "a steampunk style", "make it"),
    ("train", "make it lego", "Lego bricks", "make it/realistic"),
    ("train", "i'd love to see a dragon", "A dragon flies overhead.", "love to see"),
    ("train", "add Godzilla", "Godzilla is in clear view", ""),
    ("train", "remove all the sheep", "A small farmhouse with a red door", "sheep/graze"),
    ("girl", "she opens her eyes", "She opens her eyes.", "eyes are closed"),
    ("girl", "make her dress red", "a red dress", "blue dress"),
    ("girl", "take her to a castle", "in a castle", "garden/grass"),
    ("girl", "fill the garden with butterflies", "Butterflies fill the garden.", "the little girl fills"),
    ("girl", "make it late evening", "It is evening", "make it/afternoon/sunlight"),
    ("city", "stop the rain", "", "rain/rainy/raindrops"),
    ("city", "make the neon signs green", "Green neon signs", "pink/blue neon"),
    ("city", "give him a white suit", "wears a white suit", "leather jacket"),
    ("city", "remove the people", "", "pedestrians/umbrellas"),
    ("city", "all neon signs in green", "Green neon signs", "pink/blue neon"),
    ("city", "clear blue sky", "The weather is clear", "rainy/raindrops/blue tint"),
    ("train", "black smoke", "Black smoke", "white smoke"),
    ("train", "move it to an indoor museum", "in an indoor museum", "valley/moves it"),
    ("girl", "a puppy instead of the teddy bear", "puppy", "teddy/instead"),
    ("beach", "set the ball on fire", "The ball is on fire.", ""),
    ("beach", "a street lamp lights up", "A street lamp lights up.", ""),
]  # fmt: skip
CAMERA = [
    ("girl", "zoom in on her hands", "slow zoom in", "Her hands fill the frame."),
    ("girl", "show her from behind", "rear view", "Everything is seen from behind."),
    ("train", "slowly fly around it", "orbiting camera", "The camera circles slowly around the scene."),
    ("train", "pull the camera back to a wide shot", "wide shot", "The camera moves back slowly."),
    ("beach", "camera moves to the left", "pan left", "The view swings slowly to the left."),
]
TAILS = {scene: text.split(". ")[-1] for scene, text in SCENES.items()}


@pytest.mark.parametrize(("scene", "request_", "has", "lacks"), CASES)
def test_a_loose_wording_becomes_a_picture_without_the_old_value(
    paragraph_form: Form, scene: str, request_: str, has: str, lacks: str
) -> None:
    ask = Ask(SCENES[scene], request_)
    draft = paragraph_form.write(ask)
    assert paragraph_form.faults(draft, ask) == []
    assert has in draft.prompt
    assert [each for each in lacks.split("/") if each and says(draft.prompt, each)] == []
    assert draft.prompt.endswith(TAILS[scene])
    assert draft.prompt.count(TAILS[scene]) == 1


@pytest.mark.parametrize(("scene", "request_", "keyword", "line"), CAMERA)
def test_a_loose_camera_request_changes_keyword_and_picture(
    paragraph_form: Form, scene: str, request_: str, keyword: str, line: str
) -> None:
    ask = Ask(SCENES[scene], request_)
    draft = paragraph_form.write(ask)
    assert paragraph_form.faults(draft, ask) == []
    assert says(draft.prompt.split(". ")[-1], keyword)
    assert line in draft.prompt


def test_a_pronoun_in_a_cut_means_whom_the_scene_is_about(paragraph_form: Form) -> None:
    draft = paragraph_form.write(Ask(SCENES["girl"], "her bedroom at night", cut=True))
    assert draft.prompt.startswith("The scene shows the little girl's bedroom at night.")
    assert "Soft, dreamy style with pastel colors." in draft.prompt


def test_an_order_that_names_no_picture_is_not_echoed(paragraph_form: Form) -> None:
    with pytest.raises(NotUnderstood):
        paragraph_form.write(Ask(SCENES["girl"], "show it differently somehow"))


@pytest.mark.parametrize("keyword", ["slow push in", "slow pull back"])
def test_a_movement_of_the_camera_replaces_every_other(paragraph_form: Form, keyword: str) -> None:
    draft = paragraph_form.write(Ask(f"A red vase stands on a table. Close-up, {keyword}.", "tilt up"))
    assert draft.prompt.endswith("Close-up, slow tilt up.") or draft.prompt.endswith("Close-up, tilt up.")


def test_a_scene_that_shows_a_place_alone_may_move_to_another(paragraph_form: Form) -> None:
    ask = Ask(
        "The scene shows a narrow street at night. The mood is calm. Realistic style. Wide shot.", "move to a beach"
    )
    draft = paragraph_form.write(ask)
    assert paragraph_form.faults(draft, ask) == []
    assert says(draft.prompt, "a beach")
    assert not says(draft.prompt, "street")
