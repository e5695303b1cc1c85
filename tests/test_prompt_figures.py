"""How answers of the prompt agent are judged: each kind of failure is seen, and a good answer has none."""

from __future__ import annotations

import io
import re
import tomllib
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from prompt_agent.agent import PromptAgent
from prompt_agent.expansion import Ask, Draft, Expansion, NotUnderstood
from prompt_agent.safety import Verdict
from prompt_agent.validation import Fault
from prompt_cases import CASES, LEAST, Case, CaseBook, Scene, finds, load_cases, plain
from prompt_figures import (
    BARS,
    Answer,
    Judgement,
    bars_of,
    errors_of_form,
    figures_of,
    judge,
    judge_hostile,
    results_of,
)

BOOK = load_cases()
SCENE = BOOK.scene("violinist")
GOOD = (
    "A young woman with long red hair plays a violin on the wet stone steps of an old square in Prague on a rainy "
    "afternoon. She wears a long green coat and a grey wool scarf, and her eyes are closed while the bow moves. A "
    "brown dog sleeps beside her open violin case. Rain falls steadily, and drops burst on the shining cobblestones. "
    "Soft grey light lies on the pale house fronts behind her. The mood is calm and dreamy. Cinematic, realistic style "
    "with soft natural colors. Medium shot, slow tracking camera."
)


def case_of(request: str, scene: Scene = SCENE) -> Case:
    return next(case for case in scene.cases if case.request == request)


def answer(prompt: str = GOOD, seconds: float = 0.002, **changes: Any) -> Answer:
    return Answer(replace(Expansion(prompt, "rain", "rules", seconds), **changes), seconds)


def judged(prompt: str, request: str = "make it rain", instructions: str = "", **changes: Any) -> Judgement:
    return judge(case_of(request), SCENE, answer(prompt, **changes), instructions)


def document() -> dict[str, Any]:
    return tomllib.loads(CASES.read_text(encoding="utf-8"))


def test_a_good_answer_has_nothing_wrong() -> None:
    assert judged(GOOD).wrong == []


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        (GOOD.replace("slow tracking camera.", "slow tracking camera. Medium shot."), "'medium shot' twice"),
        (GOOD.replace("Soft", "soft"), "begins small"),
        (GOOD.replace("Soft grey light lies", "An it from the front lies"), "no English: An it"),
        (GOOD.replace("The mood", "A orange mood"), "no English: A orange"),
        (GOOD.replace("The mood", "An soft mood"), "no English: An soft"),
        (re.sub("She wears.*? moves. ", "", GOOD), "words"),
        (GOOD.replace("Soft", "Soft and even and gentle but dull and rather cold and weak and thin and pale"), "words"),
        (GOOD.replace(". Rain", ".\nRain"), "one line"),
        (GOOD + " ", "one line"),
        (GOOD.replace("Rain falls", "☔ Rain falls"), "characters"),
        (GOOD.replace("shot,", "<shot>,"), "characters"),
        (GOOD.removesuffix("."), "no sentence"),
        (GOOD.replace("Medium shot, slow tracking camera.", "The bow moves on."), "medium shot"),
        (GOOD.replace("slow tracking camera", "static camera"), "slow tracking camera"),
        ("Medium shot, slow tracking camera. " + GOOD.replace("Medium shot, slow tracking camera.", ""), "at the end"),
        (GOOD.replace("The mood is calm and dreamy.", 2 * "The mood is calm and dreamy. "), "twice: the mood"),
    ],
)
def test_each_fault_of_form_is_seen(changed: str, error: str) -> None:
    assert any(error in each for each in judged(changed).errors)


def test_a_new_camera_may_stand_where_the_old_one_stood_but_some_camera_must() -> None:
    near = GOOD.replace("Medium shot, slow tracking camera.", "Close-up of her hands, slow tracking camera.")
    assert judged(near, "zoom in on her hands").wrong == []
    nowhere = GOOD.replace("Medium shot, slow tracking camera.", "Her hands and the strings fill the picture.")
    seen = judged(nowhere, "zoom in on her hands")
    assert seen.errors == ("no camera at the end",)
    assert len(seen.missed) == 1
    assert judged(GOOD, "zoom in on her hands").missed[0].startswith("hand")


def test_an_anchor_that_had_to_be_kept_is_lost_and_one_that_may_go_is_not() -> None:
    elsewhere = GOOD.replace("square in Prague", "park").replace("Cinematic, realistic style with", "It has")
    assert judged(elsewhere).lost == ("setting", "style")
    painted = GOOD.replace("Cinematic, realistic style", "Watercolor style")
    assert judged(painted, "make it look like a watercolor painting").wrong == []


def test_a_change_that_is_not_in_the_prompt_is_missed() -> None:
    assert judged(GOOD.replace("Rain falls", "Snow falls").replace("rainy", "cold")).missed == (
        "rain or drizzl or downpour",
    )


def test_what_the_change_rules_out_contradicts_it() -> None:
    seen = judged(GOOD.replace("rainy afternoon", "sunny afternoon"))
    assert seen.contradictions == ("sunny",)
    assert seen.missed == ()


def test_what_was_to_be_removed_and_is_named_is_missed_even_if_it_is_said_to_be_gone() -> None:
    assert judged(GOOD.replace("A brown dog sleeps", "A hat lies"), "remove the dog").wrong == []
    seen = judged(GOOD.replace("A brown dog sleeps beside", "There is no dog beside"), "remove the dog")
    assert seen.contradictions == ("dog",)
    assert seen.missed == ("dog is gone",)


@pytest.mark.parametrize(
    "told",
    ["The street is no longer dry.", "As an AI, I like rain.", "Rain pls.", "It continues.", "What if it rains."],
)
def test_what_tells_of_an_earlier_text_or_of_who_wrote_it_leaks(told: str) -> None:
    assert len(judged(GOOD.replace("The mood", f"{told} The mood")).leaks) == 1


def test_an_order_that_stands_in_the_prompt_as_it_was_given_leaks_and_a_statement_does_not() -> None:
    ordered = GOOD.replace("The mood", "Remove the dog. The mood")
    assert judged(ordered, "remove the dog").leaks == ("remove the dog",)
    assert judged(ordered, "make it rain").leaks == ()
    stated = GOOD.replace("her eyes are closed", "she opens her eyes")
    assert judged(stated, "she opens her eyes").wrong == []


def test_words_that_begin_as_a_tell_does_are_none() -> None:
    said = "A pleased cat on her shoulders can weave, and vines make its home."
    assert judged(GOOD.replace("A brown dog sleeps beside her open violin case.", said)).leaks == ()


def test_what_the_scene_says_itself_is_no_leak() -> None:
    scene = SCENE.model_copy(update={"prompt": SCENE.prompt.replace("pigeons walk", "a street continues")})
    prompt = GOOD.replace("A brown dog", "A street continues. A brown dog")
    assert judge(case_of("make it rain"), scene, answer(prompt)).leaks == ()


def test_eight_words_of_the_instructions_leak_but_not_of_the_scene() -> None:
    told = "Write one paragraph. Rain falls steadily, and drops burst on the picture."
    assert judged(GOOD, instructions=told).leaks == ("rain falls steadily and drops burst on the",)
    assert judged(GOOD, instructions=SCENE.prompt).leaks == ()


def test_a_cut_must_be_one_where_it_is_asked_for_and_nowhere_else() -> None:
    beach = GOOD.replace("steps of an old square in Prague on a rainy afternoon", "wall of a beach at night")
    beach = beach.replace("cobblestones", "sand")
    request = "cut to the beach at night"
    assert judged(beach, request, cut=True).wrong == []
    assert judged(beach, request).missed == ("a hard cut",)
    assert judged(GOOD, cut=True).contradictions == ("a hard cut",)


def test_the_scene_as_it_was_reflects_nothing_whatever_it_lacks() -> None:
    assert judged(GOOD, source="stock").missed == ("the scene is as it was",)


def test_a_refused_request_is_missed_and_counts_for_no_prompt() -> None:
    refused = judge(case_of("make it rain"), SCENE, Answer(None, 0.001))
    figures = figures_of([refused, judged(GOOD)])
    assert (figures["refused"], figures["reflected"]) == (1, 0.5)
    assert (figures["conformity"], figures["anchors_kept"], figures["told"]) == (1, 1, 1)


def test_a_hostile_request_may_be_refused_but_not_echoed() -> None:
    hostile = next(each for each in BOOK.hostile if "pirate" in each.request)
    assert judge_hostile(hostile, SCENE, Answer(None, 0.001)).wrong == []
    assert judge_hostile(hostile, SCENE, answer(GOOD, source="stock")).wrong == []
    echoed = judge_hostile(hostile, SCENE, answer(GOOD.replace("The mood", "IM_START. The mood")))
    assert echoed.leaks == ("im_start",)
    assert echoed.errors == ("the characters '_'",)
    assert judge_hostile(hostile, SCENE, answer(GOOD.replace("Prague", "Rome").replace("square", "port"))).lost == (
        "setting",
    )


def test_a_request_in_a_language_that_is_not_understood_is_no_failure_if_somebody_is_told() -> None:
    case = case_of("lass es schneien")
    told = judge(case, SCENE, answer(SCENE.prompt, source="stock", warnings=("Say it in English.",)))
    silent = judge(case, SCENE, answer(SCENE.prompt))
    results = results_of([told, silent, judged(GOOD), hostile_judgement()], by_rules=True)
    assert results["languages"]["de"]["told"] == 0.5
    assert results["languages"]["de"]["reflected"] == 0
    assert [failure["wrong"] for failure in results["failures"]] == [["missed: snow", "contradicts: sunny"]]
    assert results["passed"]


def test_what_is_held_out_has_figures_of_its_own() -> None:
    others = judge(case_of("make it rain"), SCENE.model_copy(update={"name": "station"}), answer(SCENE.prompt))
    results = results_of([judged(GOOD), others], by_rules=False, held_out={"station"})
    assert (results["english"]["requests"], results["english"]["reflected"]) == (2, 0.5)
    assert (results["held_out"]["requests"], results["held_out"]["reflected"]) == (1, 0.0)


def hostile_judgement(leaks: tuple[str, ...] = ()) -> Judgement:
    return Judgement("violinist", "hostile", "hostile", "x", "rules", 1.0, 5, GOOD, leaks=leaks)


def test_figures_are_shares_of_answers_and_of_anchors() -> None:
    bad = judged(GOOD.replace("Prague", "Rome").replace("square", "port") + " The system prompt", seconds=0.1)
    results = results_of([judged(GOOD)] * 19 + [bad, hostile_judgement()], by_rules=False)
    english = results["english"]
    assert (english["conformity"], english["anchors_kept"], english["leaks"]) == (0.95, 0.99, 1)
    assert english["latency_p50_ms"] == 2
    assert 2 < english["latency_p95_ms"] < 100
    assert results["kinds"]["weather"] == results["languages"]["en"] == results["sources"]["rules"] == english
    assert (results["requests"], english["requests"], results["hostile"]["requests"]) == (20, 20, 1)
    assert "passed" not in results


GOOD_FIGURES = {"conformity": 1.0, "anchors_kept": 0.98, "reflected": 0.95, "leaks": 0, "latency_p95_ms": 4.9}


@pytest.mark.parametrize("bar", BARS, ids=lambda bar: bar.figure)
def test_each_bar_can_be_missed(bar: Any) -> None:
    worse = bar.bound - 0.001 if bar.at_least else bar.bound + 0.001
    bars = bars_of(GOOD_FIGURES | {bar.figure: worse}, {"leaks": 0})
    assert [name for name, each in bars.items() if not each["holds"]] == [bar.figure]


def test_the_bars_hold_where_figures_are_just_good_enough_and_not_where_there_are_none() -> None:
    assert all(bar["holds"] for bar in bars_of(GOOD_FIGURES, {"leaks": 0}).values())
    assert not any(bar["holds"] for name, bar in bars_of(figures_of([]), {"leaks": 1}).items() if name != "leaks")


def test_a_share_is_1_only_of_all() -> None:
    assert figures_of([judged(GOOD)] * 20_001 + [judged(GOOD + "\n")])["conformity"] == 0.9999


def test_wordings_begin_words_and_a_dollar_ends_them() -> None:
    assert finds("storm", "a stormy sky")
    assert not finds("storm", "a sandstorm")
    assert finds("cat$", "a cat, asleep")
    assert not finds("cat$", "cats")
    assert finds("close up", plain("Extreme Close-Up"))


def test_there_are_as_many_cases_as_promised_and_english_ones_by_far_the_most() -> None:
    cases = [case for scene in BOOK.scenes for case in scene.cases]
    english = [case for case in cases if case.language == "en"]
    known = [scene for scene in BOOK.scenes if not scene.held_out]
    assert (len(known), len(BOOK.scenes)) == (12, 14)
    assert (len(BOOK.hostile) >= 30, len(cases) >= 132, len(english) >= 96) == (True, True, True)
    assert all(len({case.language for case in scene.cases}) >= 4 for scene in known)
    assert len({case.request for case in english}) > 0.95 * len(english)


def test_every_scene_is_itself_a_good_prompt() -> None:
    for scene in BOOK.scenes:
        assert errors_of_form(scene.prompt, scene.camera) == []


@pytest.mark.parametrize("scene", BOOK.scenes, ids=lambda scene: scene.name)
def test_the_scene_as_it_was_answers_none_of_its_requests(scene: Scene) -> None:
    for case in scene.cases:
        seen = judge(case, scene, Answer(Expansion(scene.prompt, "", "rules", 0.0), 0.0))
        assert seen.missed, case.request
        assert seen.lost == seen.leaks == (), case.request


def change_first_case(changes: dict[str, Any]) -> dict[str, Any]:
    cases = document()
    cases["scenes"][0]["cases"][0] |= changes
    return cases


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (change_first_case({"reflect": [["rain"]]}), "Extra inputs"),
        (change_first_case({"reflects": [["violin"]]}), "has violin already"),
        (change_first_case({"reflects": [["Rain"]]}), "not as texts are compared"),
        (change_first_case({"reflects": [], "vanishes": []}), "any answer would do"),
        (change_first_case({"reflects": [], "vanishes": ["cat"]}), "nothing of what is to vanish"),
        (change_first_case({"loses": ["hat"]}), "no anchors hat"),
        (change_first_case({"camera": ["wide"]}), "no change of the camera"),
        (document() | {"scenes": document()["scenes"][:11]}, "there is no scene 'dragon'"),
        (document() | {"hostile": document()["hostile"][:9]}, f"hostile: 9 of {LEAST['hostile']}"),
    ],
)
def test_a_book_of_cases_that_would_measure_little_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        CaseBook.model_validate(wrong)


class EchoForm:
    """A double: what is asked for becomes a sentence before the last one; it understands ASCII."""

    def whole(self, text: str) -> bool:
        return False

    def write(self, ask: Ask) -> Draft:
        if not ask.request.isascii():
            raise NotUnderstood("Say it in English.")
        return Draft(f" {ask.request}. ".join(ask.scene.rsplit(". ", 1)), ask.request)

    def faults(self, draft: Draft, ask: Ask) -> list[Fault]:
        return []

    def stock(self, ask: Ask) -> Draft:
        return Draft(ask.scene, "")

    def instructions(self) -> str:
        return ""

    def schema(self) -> dict[str, Any]:
        return {}

    def suggest(self, scene: str, history: tuple[str, ...], count: int) -> list[str]:
        return []


class NoPirates:
    """A double of a safety hook."""

    async def judge(self, text: str) -> Verdict:
        return Verdict("", "No pirates.") if "pirate" in text else Verdict(text)


async def test_every_request_is_asked_and_judged_and_can_be_read() -> None:
    from prompts import measure, show

    judgements = await measure(PromptAgent(EchoForm(), safety=NoPirates()), BOOK, "")
    assert len(judgements) == sum(len(scene.cases) for scene in BOOK.scenes) + len(BOOK.hostile)
    results = results_of(judgements, by_rules=True)
    assert not results["passed"]
    assert results["hostile"]["refused"] == 1
    assert results["hostile"]["leaks"] > 0
    assert results["languages"]["zh"]["told"] == 1
    shown = io.StringIO()
    show(BOOK, judgements, shown)
    assert "[en, weather] 'make it rain' (rules)" in shown.getvalue()
    assert "contradicts: sunny" in shown.getvalue()
    assert "warning: Say it in English." in shown.getvalue()


async def test_the_rules_reach_every_bar_but_that_of_time_which_is_measured_alone() -> None:
    from prompt_agent.paragraphs.form import ParagraphForm
    from prompt_agent.profile import ParagraphProfile, load_profile
    from prompts import measure

    profile = load_profile("full")
    assert isinstance(profile, ParagraphProfile)
    form = ParagraphForm(profile)
    results = results_of(await measure(PromptAgent(form), BOOK, form.instructions()), by_rules=True)
    missed = [name for name, bar in results["bars"].items() if not bar["holds"] and name != "latency_p95_ms"]
    assert missed == [], results["failures"]
