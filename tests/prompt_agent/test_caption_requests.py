"""What people type, and the caption that has to come of it."""

from __future__ import annotations

import random

import pytest

from longlive.tiny.world import Scene
from prompt_agent.captions.form import CaptionForm
from prompt_agent.captions.lexicon import Lexicon
from prompt_agent.captions.reading import read_scene
from prompt_agent.captions.sentence import caption
from prompt_agent.expansion import Ask, NotUnderstood
from prompt_agent.profile import CaptionProfile

DRY = {"colour": "red", "kind": "ball", "motion": "left", "place": "meadow", "time": "day", "weather": "clear"}
WET = {"colour": "blue", "kind": "cube", "motion": "right", "place": "city", "time": "night", "weather": "rain"}

# A request of the dry scene, and the values that change.
OF_THE_DRY_SCENE = {
    "make it rain": {"weather": "rain"},
    "rain please": {"weather": "rain"},
    "pls make it rain thx": {"weather": "rain"},
    "RAIN!!!": {"weather": "rain"},
    "a storm is coming": {"weather": "rain"},
    "it's pouring": {"weather": "rain"},
    "it rains cats and dogs": {"weather": "rain"},
    "I'd like some heavy rain right now": {"weather": "rain"},
    "let it snow": {"weather": "snow"},
    "can you make it snow?": {"weather": "snow"},
    "blizzard": {"weather": "snow"},
    "snow, not rain": {"weather": "snow"},
    "let snowflakes fall": {"weather": "snow"},
    "now it is night": {"time": "night"},
    "let there be night": {"time": "night"},
    "it gets dark": {"time": "night"},
    "night falls": {"time": "night"},
    "turn off the lights": {"time": "night"},
    "under the stars": {"time": "night"},
    "no more daylight": {"time": "night"},
    "turn day into night": {"time": "night"},
    "sunset": {"time": "sunset"},
    "the sun goes down": {"time": "sunset"},
    "in the evening": {"time": "sunset"},
    "turn around": {"motion": "right"},
    "go back": {"motion": "right"},
    "the other way": {"motion": "right"},
    "go in the opposite direction": {"motion": "right"},
    "reverse": {"motion": "right"},
    "u-turn!": {"motion": "right"},
    "go right": {"motion": "right"},
    "run to the right": {"motion": "right"},
    "from left to right": {"motion": "right"},
    "bounce": {"motion": "hops"},
    "jump": {"motion": "hops"},
    "have it hop": {"motion": "hops"},
    "let the ball bounce up and down": {"motion": "hops"},
    "stop moving": {"motion": "still"},
    "stop": {"motion": "still"},
    "stop the ball": {"motion": "still"},
    "don't move": {"motion": "still"},
    "freeze": {"motion": "still"},
    "stop moving left": {"motion": "still"},
    "stop going left and hop": {"motion": "hops"},
    "paint it blue": {"colour": "blue"},
    "make the ball green": {"colour": "green"},
    "change the red ball to a blue one": {"colour": "blue"},
    "blue instead of red": {"colour": "blue"},
    "the colour should be pink": {"colour": "pink"},
    "make it yellow right now": {"colour": "yellow"},
    "teal": {"colour": "cyan"},
    "turn it dark blue": {"colour": "blue"},
    "turn it into a cube": {"kind": "cube"},
    "turn the ball into a cube": {"kind": "cube"},
    "not a ball but a cube": {"kind": "cube"},
    "replace it with a donut": {"kind": "donut"},
    "a doughnut instead of a ball": {"kind": "donut"},
    "remove the ball and put a pyramid": {"kind": "pyramid"},
    "take it to the beach": {"place": "sea"},
    "on the ocean": {"place": "sea"},
    "go to town": {"place": "city"},
    "take it downtown": {"place": "city"},
    "put it in the sand": {"place": "desert"},
    "move from the meadow to the desert": {"place": "desert"},
    "make it rian": {"weather": "rain"},
    "snowww": {"weather": "snow"},
    "jmup": {"motion": "hops"},
    # Several at once.
    "a blue cube at night": {"colour": "blue", "kind": "cube", "time": "night"},
    "rain, night, city": {"weather": "rain", "time": "night", "place": "city"},
    "it should stop moving and turn blue": {"motion": "still", "colour": "blue"},
    "take the ball to the sea and make it blue": {"place": "sea", "colour": "blue"},
    "make it night and let it rain while the ball turns pink": {"time": "night", "weather": "rain", "colour": "pink"},
    "the ball in the desert turns blue": {"place": "desert", "colour": "blue"},
    "red sky at night": {"time": "night"},
    # What is so already.
    "make it a ball": {},
    "go left": {},
    "keep moving": {},
    "don't stop": {},
}
OF_THE_WET_SCENE = {
    "stop the rain": {"weather": "clear"},
    "no rain": {"weather": "clear"},
    "remove the snow": {"weather": "clear"},
    "no rain or snow": {"weather": "clear"},
    "it stops raining": {"weather": "clear"},
    "the rain stops": {"weather": "clear"},
    "the rain is over": {"weather": "clear"},
    "rain go away": {"weather": "clear"},
    "turn the rain off": {"weather": "clear"},
    "don't let it rain": {"weather": "clear"},
    "let the rain and snow stop": {"weather": "clear"},
    "clear the sky": {"weather": "clear"},
    "sunny": {"weather": "clear"},
    "stop raining and start snowing": {"weather": "snow"},
    "instead of rain let it snow": {"weather": "snow"},
    "the rain stops and it jumps": {"weather": "clear", "motion": "hops"},
    "no rain make it day": {"weather": "clear", "time": "day"},
    "keep the rain but make it noon": {"time": "day"},
    "it is no longer dark": {"time": "day"},
    "end the night": {"time": "day"},
    "let there be light": {"time": "day"},
    "turn around": {"motion": "left"},
    "the cube stops": {"motion": "still"},
    "stop in the desert": {"motion": "still", "place": "desert"},
    "still raining": {},
    # The viewer calls it a ball; it is not asked to be one.
    "make the ball green": {"colour": "green"},
    "let the red one jump": {"motion": "hops"},
}


@pytest.mark.parametrize(
    ("before", "request_text", "changes"),
    [(DRY, *case) for case in OF_THE_DRY_SCENE.items()] + [(WET, *case) for case in OF_THE_WET_SCENE.items()],
)
def test_a_request_changes_what_it_names_and_nothing_else(
    caption_profile: CaptionProfile,
    caption_form: CaptionForm,
    before: dict[str, str],
    request_text: str,
    changes: dict[str, str],
) -> None:
    ask = Ask(caption(caption_profile, before), request_text)
    draft = caption_form.write(ask)
    assert draft.prompt == caption(caption_profile, before | changes)
    assert caption_form.faults(draft, ask) == []


@pytest.mark.parametrize("pattern", ["{}", "and now please make it {}!"])
def test_every_wording_of_every_value_is_asked_for_from_every_other_value(
    caption_profile: CaptionProfile, caption_form: CaptionForm, pattern: str
) -> None:
    asked = 0
    for name, attribute in caption_profile.attributes.items():
        for value, wording in wordings(caption_profile, name):
            for before in attribute.captions:
                scene = DRY | {"motion": "hops", "place": "city", "time": "night", "weather": "rain", name: before}
                ask = Ask(caption(caption_profile, scene), pattern.format(wording))
                draft = caption_form.write(ask)
                assert draft.prompt == caption(caption_profile, scene | {name: value}), ask.request
                assert caption_form.faults(draft, ask) == []
                assert draft.left_out == (), ask.request
                asked += 1
    assert asked > 1000


def wordings(caption_profile: CaptionProfile, name: str) -> list[tuple[str, str]]:
    """Value and wording of each plain wording that has no other meaning."""
    every = [each for other in caption_profile.attributes.values() for words in other.words.values() for each in words]
    return [
        (value, wording.removesuffix(" ."))
        for value, words in caption_profile.attributes[name].words.items()
        for wording in words
        if every.count(wording) == 1
    ]


def test_sunny_clears_the_sky_and_of_a_clear_night_it_makes_a_day(
    caption_profile: CaptionProfile, caption_form: CaptionForm
) -> None:
    night = caption(caption_profile, WET)
    clear = caption_form.write(Ask(night, "make it sunny")).prompt
    assert clear == caption(caption_profile, WET | {"weather": "clear"})
    assert caption_form.write(Ask(clear, "make it sunny")).prompt == caption(
        caption_profile, WET | {"weather": "clear", "time": "day"}
    )


@pytest.mark.parametrize("before", ["hops", "still"])
@pytest.mark.parametrize("request_text", ["turn around", "move", "start moving"])
def test_what_does_not_move_sideways_moves_left_when_it_is_told_to_move(
    caption_profile: CaptionProfile, caption_form: CaptionForm, before: str, request_text: str
) -> None:
    draft = caption_form.write(Ask(caption(caption_profile, DRY | {"motion": before}), request_text))
    assert draft.prompt == caption(caption_profile, DRY | {"motion": "left"})
    assert draft.added == "it moves left"


@pytest.mark.parametrize(
    ("request_text", "names"),
    [
        ("make it purple", ("purple", "red", "pink")),
        ("make the ball purple", ("purple", "red", "pink")),
        ("add a dog", ("dog", "ball", "donut")),
        ("in the forest", ("forest", "in the meadow", "on the sea")),
        ("fog", ("fog", "in the rain", "in the snow")),
        ("faster", ("faster", "moves left", "hops")),
        ("at dawn", ("dawn", "at sunset")),
        ("remove the ball", ("cube", "donut")),
        ("add a cube", ("ball", "pyramid")),
        ("two balls", ("ball", "pyramid")),
        ("not red", ("yellow", "pink")),
        ("sing a song", ("moves right", "hops")),
        ("stop the music", ("red", "at night", "make it rain")),
        ("make the sky red", ("red", "at night")),
        ("make the water green", ("red", "at night")),
        ("make it bigger", ("red", "at night")),
        ("hello", ("red", "at night")),
        ("", ("make it rain",)),
    ],
)
def test_what_the_world_lacks_is_not_guessed_and_the_viewer_learns_what_it_has(
    caption_profile: CaptionProfile, caption_form: CaptionForm, request_text: str, names: tuple[str, ...]
) -> None:
    with pytest.raises(NotUnderstood) as caught:
        caption_form.write(Ask(caption(caption_profile, DRY), request_text))
    message = str(caught.value)
    assert [name for name in names if name not in message] == []
    assert "\n" not in message


def test_every_value_that_the_profile_lacks_is_refused_by_name(
    caption_profile: CaptionProfile, caption_form: CaptionForm
) -> None:
    for attribute in caption_profile.attributes.values():
        for wording in attribute.lacking:
            with pytest.raises(NotUnderstood, match=r"^There is no '"):
                caption_form.write(Ask(caption(caption_profile, DRY), wording))


@pytest.mark.parametrize(
    "request_text", ["lass es regnen", "mach den Ball blau", "que llueva", "让它下雨", "la pelota rosa ahora"]
)
def test_a_request_in_another_language_is_told_that_english_is_understood(
    caption_profile: CaptionProfile, caption_form: CaptionForm, request_text: str
) -> None:
    with pytest.raises(NotUnderstood, match="Only English"):
        caption_form.write(Ask(caption(caption_profile, DRY), request_text))


@pytest.mark.parametrize(
    ("request_text", "left_out"),
    [
        ("a purple cube", ("purple",)),
        ("make it rain on the dog", ("dog",)),
        ("a beach at night with kids playing", ("kids", "playing")),
        ("make it rain harder", ("harder",)),
        ("make it rain and remove the ball", ("ball",)),
        ("make the sky red at night", ("red",)),
        ("let it snow please", ()),
    ],
)
def test_words_that_nothing_was_made_of_are_left_out_by_name(
    caption_profile: CaptionProfile, caption_form: CaptionForm, request_text: str, left_out: tuple[str, ...]
) -> None:
    assert caption_form.write(Ask(caption(caption_profile, DRY), request_text)).left_out == left_out


@pytest.mark.parametrize(
    ("scene", "request_text", "prompt"),
    [
        ("a red ball", "make it rain", "a red ball in the rain"),
        ("a crimson sphere is bouncing", "at sea", "a red ball hops on the sea"),
        ("it rains", "make it blue", "a blue thing in the rain"),
        ("something golden", "turn it into a box", "a yellow cube"),
        ("a dragon over the hills", "go left", "it moves left"),
        ("", "night", "at night"),
    ],
)
def test_what_the_scene_never_said_stays_unsaid(
    caption_form: CaptionForm, scene: str, request_text: str, prompt: str
) -> None:
    ask = Ask(scene, request_text)
    draft = caption_form.write(ask)
    assert draft.prompt == prompt
    assert caption_form.faults(draft, ask) == []


@pytest.mark.parametrize(
    ("text", "scene"),
    [
        (
            "A crimson sphere is bouncing through the desert. It's night & it rains.",
            Scene("ball", "red", "hops", "desert", "night", "rain"),
        ),
        (
            "Daytime; snowy town: some teal doughnut doesn't move",
            Scene("donut", "cyan", "still", "city", "day", "snow"),
        ),
        (
            "a red ball, no: a blue box drifts to the left at sea at dusk under a clear blue sky",
            Scene("cube", "blue", "left", "sea", "sunset", "clear"),
        ),
        (
            "a pink pyramid goes right right now in the meadow at noon, without rain",
            Scene("pyramid", "pink", "right", "meadow", "day", "clear"),
        ),
    ],
)
def test_a_scene_is_read_in_loose_words(caption_lexicon: Lexicon, text: str, scene: Scene) -> None:
    assert read_scene(caption_lexicon, text) == scene.values()


def test_a_cut_takes_its_words_as_a_scene_and_keeps_what_they_do_not_say(
    caption_profile: CaptionProfile, caption_form: CaptionForm
) -> None:
    scene = caption(caption_profile, DRY)
    assert caption_form.write(Ask(scene, "the cube on the sea", cut=True)).prompt == caption(
        caption_profile, DRY | {"kind": "cube", "place": "sea"}
    )
    assert caption_form.write(Ask(scene, "the cube on the sea")).prompt == caption(
        caption_profile, DRY | {"place": "sea"}
    )


def test_ten_changes_in_a_row_leave_the_scene_that_they_ask_for(
    caption_profile: CaptionProfile, caption_form: CaptionForm
) -> None:
    rng = random.Random(6)
    for _ in range(20):
        scene = dict(DRY)
        prompt = caption(caption_profile, scene)
        for _ in range(10):
            name = rng.choice(caption_profile.order)
            value, wording = rng.choice(wordings(caption_profile, name))
            scene[name] = value
            prompt = caption_form.write(Ask(prompt, wording)).prompt
        assert prompt == caption(caption_profile, scene)
