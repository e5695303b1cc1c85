"""The plan of prompts: each at its chunk, one for each chunk, and everything that must be said about them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import pytest
import torch

from deployments.context import Context
from deployments.entries import (
    Mode,
    PromptCancelled,
    PromptExpanded,
    PromptRefused,
    PromptRequested,
    PromptScheduled,
)
from deployments.prompt_plan import NEWER, PlanFact, Prompt, PromptPlan
from longlive.switch import Blend, Clear, Keep, Recache, SwitchMode

EMBEDDINGS = torch.zeros(1, 1, 1)


def asked(prompt_id: str, at_frame: int | None = None) -> PromptRequested:
    return PromptRequested(prompt_id=prompt_id, text=prompt_id, at_frame=at_frame)


def scheduled(prompt_id: str, chunk: int) -> PromptScheduled:
    frame = 12 * chunk - 3 if chunk else 0
    return PromptScheduled(prompt_id=prompt_id, chunk=chunk, frame=frame, media_seconds=frame / 16)


def test_a_prompt_for_now_takes_hold_with_the_next_chunk_once_it_is_read() -> None:
    plan = PromptPlan(16)
    assert plan.add(asked("p"), 3) == []
    assert plan.holds(3)
    assert plan.read("p", EMBEDDINGS) == [scheduled("p", 3)]
    assert (plan.holds(3), plan.switches(3), plan.switches(4)) == (False, True, False)
    prompt, facts = plan.begin(3)
    assert prompt is not None
    assert (prompt.asked.prompt_id, facts) == ("p", [])
    assert plan.begin(4) == (None, [])


@pytest.mark.parametrize(("at_frame", "chunk"), [(0, 2), (21, 2), (22, 3), (33, 3), (129, 11)])
def test_a_timed_prompt_is_rounded_up_to_a_chunk_and_announced_at_once(at_frame: int, chunk: int) -> None:
    plan = PromptPlan(16)
    assert plan.add(asked("p", at_frame), 2) == [scheduled("p", chunk)]
    assert plan.read("p", EMBEDDINGS) == []
    for earlier in range(2, chunk):
        assert plan.begin(earlier) == (None, [])
    assert plan.begin(chunk)[0] is not None


def test_a_prompt_that_misses_its_chunk_is_announced_anew_once_it_is_read() -> None:
    plan = PromptPlan(16)
    plan.add(asked("p", 33), 0)
    assert [plan.begin(chunk) for chunk in range(5)] == [(None, [])] * 5
    assert plan.read("p", EMBEDDINGS) == [scheduled("p", 5)]
    assert plan.begin(5)[0] is not None


def test_of_two_prompts_for_a_chunk_the_older_is_refused() -> None:
    plan = PromptPlan(16)
    plan.add(asked("p"), 2)
    refused = PromptRefused(prompt_id="p", reason=NEWER)
    assert plan.add(asked("q", 21), 2) == [refused, scheduled("q", 2)]
    assert plan.read("p", EMBEDDINGS) == [], "what was refused is not announced"
    plan.add(asked("r", 33), 2)
    assert plan.begin(2) == (None, [PromptRefused(prompt_id="q", reason=NEWER)]), "q slipped to where r waits"
    plan.read("r", EMBEDDINGS)
    prompt, _ = plan.begin(3)
    assert prompt is not None
    assert prompt.asked.prompt_id == "r"


def test_prompts_take_hold_in_the_order_in_which_they_came_however_long_each_takes_to_read() -> None:
    plan = PromptPlan(16)
    plan.add(asked("slow"), 2)
    assert plan.add(asked("quick"), 2) == [PromptRefused(prompt_id="slow", reason=NEWER)]


def test_a_prompt_can_be_taken_back_while_it_waits_and_not_after() -> None:
    plan = PromptPlan(16)
    plan.add(asked("p"), 2)
    plan.read("p", EMBEDDINGS)
    assert plan.cancel("p") == [PromptCancelled(prompt_id="p")]
    assert plan.begin(2) == (None, [])
    assert plan.cancel("p") == plan.cancel("nobody") == []
    plan.add(asked("q"), 3)
    plan.read("q", EMBEDDINGS)
    plan.begin(3)
    assert plan.cancel("q") == []


def test_what_another_owner_announced_is_not_announced_again_unless_it_changes() -> None:
    plan = PromptPlan(16)
    assert plan.add(asked("p", 57), 3, said=5) == []
    assert plan.add(asked("q", 33), 4, said=3) == [scheduled("q", 4)]


def test_a_settled_prompt_stays_at_its_chunk_whatever_is_asked_later() -> None:
    plan = PromptPlan(16)
    plan.add(asked("p", 33), 3, said=3, settled=True)
    assert plan.add(asked("q", 33), 3) == [scheduled("q", 4)]
    assert plan.add(asked("r"), 3) == [PromptRefused(prompt_id="q", reason=NEWER)]
    assert plan.read("r", EMBEDDINGS) == [scheduled("r", 4)]
    assert plan.cancel("p") == plan.refuse("p", "no text encoder") == []
    assert [each.prompt_id for each in plan.unread(4)] == ["p"]
    assert plan.read("p", EMBEDDINGS) == []
    assert [prompt.asked.prompt_id for prompt, _ in map(plan.begin, (3, 4)) if prompt] == ["p", "r"]


def test_only_prompts_of_near_chunks_are_to_be_read() -> None:
    plan = PromptPlan(16)
    for chunk in range(20):
        plan.add(asked(f"p{chunk}", 12 * chunk), 0)
    assert [each.prompt_id for each in plan.unread(4)] == ["p0", "p1", "p2", "p3"]
    plan.read("p1", EMBEDDINGS)
    assert [each.prompt_id for each in plan.unread(4)] == ["p0", "p2", "p3"]


@pytest.mark.parametrize("slipped_first", [True, False])
def test_where_one_slips_to_anothers_chunk_the_one_accepted_later_stays(slipped_first: bool) -> None:
    plan = PromptPlan(16)
    for at_frame in (None, 33) if slipped_first else (33, None):
        plan.add(asked("slips" if at_frame is None else "there", at_frame), 2)
    loser = "slips" if slipped_first else "there"
    assert plan.begin(2) == (None, [PromptRefused(prompt_id=loser, reason=NEWER)])
    assert [each.prompt_id for each in plan.unread(3)] == ["there" if slipped_first else "slips"]


@pytest.mark.parametrize(
    ("mode", "seconds", "expected"),
    [
        ("recache", None, Recache()),
        ("keep", None, Keep()),
        ("cut", None, Clear()),
        ("blend", None, Blend(4)),
        ("blend", 0.75, Blend(1)),
        ("blend", 0.76, Blend(2)),
        ("blend", 6.0, Blend(8)),
        ("blend", 0.0, Blend(1)),
    ],
)
def test_a_mode_is_one_of_the_engines(mode: Mode, seconds: float | None, expected: SwitchMode) -> None:
    wish = PromptRequested(prompt_id="p", text="p", mode=mode, blend_seconds=seconds)
    assert Prompt(wish, EMBEDDINGS).mode(fps=16) == expected


def loose(prompt_id: str, at_frame: int | None = None) -> PromptRequested:
    return asked(prompt_id, at_frame).model_copy(update={"expand": True})


def expand(plan: PromptPlan, prompt_id: str, prompt: str, mode: Mode = "recache") -> list[PlanFact]:
    """Have it built on what is there by then."""
    context = plan.context(prompt_id)
    assert context is not None
    said = {"prompt_id": prompt_id, "prompt": prompt, "added": prompt_id, "source": "rules", "ms": 1, "mode": mode}
    expanded = PromptExpanded(**said, cut=mode == "cut", built_on=context.key)
    assert plan.expand(expanded) == [expanded]
    return [expanded]


class _Life:
    """A plan whose prompts come, are worded, read, taken back and late as the dice fall; notes the end of each."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self.plan = PromptPlan(16, "scene")
        self.names: list[str] = []
        self.ends: dict[str, str] = {}
        self.shown = Context("scene")

    def chunk(self, number: int) -> None:
        dice = self._dice
        for _ in range(dice.randrange(3)):
            self._ask(number)
        if self.names and dice.random() < 0.2:
            self._note(self.plan.cancel(dice.choice(self.names)))
        if dice.random() < 0.05:
            self.shown = Context(f"back to {number}", ("older",))
            self.plan.go_on_from(self.shown)
        for late in self.plan.unread(number - 1 + dice.randrange(4)):
            self._word_and_read(late)
        prompt, facts = self.plan.begin(number)
        self._note(facts)
        if prompt is not None:
            self._end(prompt.asked.prompt_id, "applied")
            self._check(prompt)
            self.shown = Context(prompt.asked.text, prompt.changes)

    def _ask(self, number: int) -> None:
        at_frame = self._dice.choice([None, 12 * self._dice.randrange(25)])
        make = self._dice.choice([asked, loose])
        self.names.append(f"{make.__name__}{len(self.names)}")
        self._note(self.plan.add(make(self.names[-1], at_frame), number))
        if make is asked and self._dice.random() < 0.7:
            self._note(self.plan.read(self.names[-1], EMBEDDINGS))

    def _word_and_read(self, late: PromptRequested) -> None:
        plan, name = self.plan, late.prompt_id
        if late.expand and plan.wording(name) is None and (context := plan.context(name)) is not None:
            cut = self._dice.random() < 0.2
            self._note(expand(plan, name, f"{context.scene}, {name}", "cut" if cut else "recache"))
        if plan.wording(name) is not None and self._dice.random() < 0.8:
            self._note(plan.read(name, EMBEDDINGS))

    def _check(self, prompt: Prompt) -> None:
        wording, name = prompt.asked, prompt.asked.prompt_id
        if not wording.expand:
            assert (wording.text, prompt.changes) == (name, ())
            return
        assert wording.text == f"{self.shown.scene}, {name}", "it is built on what the video shows, and nothing else"
        assert prompt.changes == (() if wording.mode == "cut" else self.shown.changes) + (name,)

    def _note(self, facts: Sequence[PlanFact]) -> None:
        for fact in facts:
            if isinstance(fact, PromptRefused | PromptCancelled):
                self._end(fact.prompt_id, fact.type)

    def _end(self, name: str, end: str) -> None:
        assert name not in self.ends
        self.ends[name] = end


def test_whatever_happens_each_prompt_has_one_end_and_builds_on_what_the_video_shows() -> None:
    ends: Counter[str] = Counter()
    for seed in range(300):
        life = _Life(seed)
        for chunk in range(30):
            life.chunk(chunk)
        waiting = {each for each in life.names if life.plan.cancel(each)}
        assert waiting | life.ends.keys() == set(life.names)
        assert not waiting & life.ends.keys()
        ends.update(f"{name.rstrip('0123456789')} {end}" for name, end in life.ends.items())
    assert len(ends) == 6, f"of either kind some are applied, refused and cancelled: {ends}"


def chunks_of(plan: PromptPlan, first: int, last: int) -> dict[int, str]:
    """What begins with each chunk."""
    begun = {chunk: plan.begin(chunk)[0] for chunk in range(first, last)}
    return {chunk: prompt.asked.text for chunk, prompt in begun.items() if prompt is not None}


def test_a_loose_prompt_changes_what_is_in_force_and_takes_hold_as_it_was_expanded() -> None:
    plan = PromptPlan(16, "a dog")
    plan.add(loose("rain"), 2)
    assert (plan.wording("rain"), plan.context("rain")) == (None, Context("a dog"))
    expand(plan, "rain", "a wet dog", "cut")
    plan.read("rain", EMBEDDINGS)
    prompt, _ = plan.begin(2)
    assert prompt is not None
    assert (prompt.asked.text, prompt.asked.mode, prompt.mode(16)) == ("a wet dog", "cut", Clear())


def test_loose_prompts_queue_and_each_builds_on_the_one_before() -> None:
    plan = PromptPlan(16, "a dog")
    assert plan.add(loose("rain"), 2) == plan.add(loose("night"), 2) == plan.add(loose("hat"), 2) == []
    assert plan.context("night") is None, "nobody knows yet what it is to change"
    expand(plan, "rain", "a wet dog")
    assert plan.context("night") == Context("a wet dog", ("rain",))
    expand(plan, "night", "a wet dog at night")
    assert plan.context("hat") == Context("a wet dog at night", ("rain", "night"))
    expand(plan, "hat", "a wet dog in a hat at night")
    for prompt_id in ("rain", "night", "hat"):
        plan.read(prompt_id, EMBEDDINGS)
    assert chunks_of(plan, 2, 6) == {2: "a wet dog", 3: "a wet dog at night", 4: "a wet dog in a hat at night"}


def test_a_loose_prompt_that_is_late_does_not_let_the_next_one_pass() -> None:
    plan = PromptPlan(16, "a dog")
    plan.add(loose("rain"), 2)
    plan.add(loose("night"), 2)
    assert chunks_of(plan, 2, 5) == {}
    for prompt_id in ("rain", "night"):
        expand(plan, prompt_id, prompt_id)
        plan.read(prompt_id, EMBEDDINGS)
    assert chunks_of(plan, 5, 8) == {5: "rain", 6: "night"}


def test_what_was_said_of_a_loose_prompt_is_said_anew_where_it_makes_room() -> None:
    plan = PromptPlan(16, "a dog")
    assert plan.add(loose("later", 33), 2) == [scheduled("later", 3)]
    plan.add(loose("rain"), 2)
    assert plan.begin(2) == (None, [scheduled("later", 4)]), "rain is late, and still comes first"
    for prompt_id in ("rain", "later"):
        expand(plan, prompt_id, prompt_id)
        plan.read(prompt_id, EMBEDDINGS)
    assert chunks_of(plan, 3, 5) == {3: "rain", 4: "later"}


def test_a_whole_prompt_takes_the_place_of_a_loose_one_and_the_other_way_round() -> None:
    plan = PromptPlan(16, "a dog")
    plan.add(loose("rain"), 2)
    assert plan.add(asked("a cat"), 2) == [PromptRefused(prompt_id="rain", reason=NEWER)]
    assert plan.add(loose("snow"), 2) == [PromptRefused(prompt_id="a cat", reason=NEWER)]


def test_a_loose_prompt_builds_on_a_whole_one_before_it() -> None:
    plan = PromptPlan(16, "a dog")
    plan.add(loose("rain", 33), 2)
    plan.add(asked("a cat"), 2)
    assert plan.context("rain") == Context("a cat")
    plan.read("a cat", EMBEDDINGS)
    assert plan.begin(2)[0] is not None
    assert plan.context("rain") == Context("a cat")


def test_what_was_built_on_a_cancelled_prompt_is_expanded_anew() -> None:
    plan = PromptPlan(16, "a dog")
    for prompt_id in ("rain", "night"):
        plan.add(loose(prompt_id), 2)
        expand(plan, prompt_id, prompt_id)
        plan.read(prompt_id, EMBEDDINGS)
    plan.cancel("rain")
    assert (plan.wording("night"), plan.context("night")) == (None, Context("a dog"))
    assert [each.prompt_id for each in plan.unread(3)] == ["night"]
    expand(plan, "night", "a dog at night")
    plan.read("night", EMBEDDINGS)
    assert chunks_of(plan, 2, 5) == {3: "a dog at night"}


def test_what_waits_is_built_on_what_the_video_goes_back_to() -> None:
    plan = PromptPlan(16, "a dog")
    plan.add(loose("rain"), 2)
    expand(plan, "rain", "a wet dog")
    plan.go_on_from(Context("a cat"))
    assert (plan.wording("rain"), plan.context("rain")) == (None, Context("a cat"))


def test_what_does_not_wait_is_not_expanded() -> None:
    plan = PromptPlan(16, "a dog")
    gone = PromptExpanded(prompt_id="rain", prompt="a wet dog", added="rain", source="rules", ms=1)
    assert (plan.expand(gone), plan.context("rain")) == ([], None)


def test_loose_prompts_go_past_a_whole_one_that_has_a_time_of_its_own() -> None:
    plan = PromptPlan(16, "a dog")
    plan.add(asked("finale", 33), 2)
    for prompt_id in ("rain", "night"):
        assert plan.add(loose(prompt_id), 2) == []
    for prompt_id in ("rain", "night"):
        expand(plan, prompt_id, prompt_id)
    for prompt_id in ("rain", "finale", "night"):
        plan.read(prompt_id, EMBEDDINGS)
    assert chunks_of(plan, 2, 6) == {2: "rain", 3: "finale", 4: "night"}


def test_a_loose_prompt_that_is_late_goes_past_a_whole_one_that_has_a_time_of_its_own() -> None:
    plan = PromptPlan(16, "a dog")
    plan.add(asked("finale", 33), 2)
    plan.read("finale", EMBEDDINGS)
    plan.add(loose("rain"), 2)
    assert plan.begin(2) == (None, [])
    assert chunks_of(plan, 3, 4) == {3: "finale"}
    assert plan.context("rain") == Context("finale")


@pytest.mark.parametrize(
    ("before", "context"),
    [(loose("rain"), Context("a wet dog", ("rain",))), (asked("a cat"), Context("a cat"))],
)
def test_what_comes_before_an_expanded_prompt_has_it_expanded_anew(before: PromptRequested, context: Context) -> None:
    plan = PromptPlan(16, "a dog")
    plan.add(loose("night", 57), 2)
    expand(plan, "night", "a dog at night")
    plan.read("night", EMBEDDINGS)
    plan.add(before, 2)
    if before.expand:
        expand(plan, "rain", "a wet dog")
    assert (plan.wording("night"), plan.context("night")) == (None, context)


def test_what_was_made_of_a_prompt_holds_where_it_is_built_on_the_same_after_all() -> None:
    plan = PromptPlan(16, "a dog")
    plan.add(loose("night", 57), 2)
    expand(plan, "night", "a dog at night")
    plan.add(loose("rain"), 2)
    plan.refuse("rain", "nobody makes anything of it")
    wording = plan.wording("night")
    assert wording is not None
    assert wording.text == "a dog at night"


def test_a_whole_prompt_that_is_late_makes_loose_ones_wait() -> None:
    plan = PromptPlan(16, "a dog")
    plan.add(asked("a cat"), 2)
    plan.add(loose("rain", 33), 2)
    assert plan.begin(2)[0] is None
    plan.read("a cat", EMBEDDINGS)
    assert plan.context("rain") == Context("a cat")
    expand(plan, "rain", "a wet cat")
    plan.read("rain", EMBEDDINGS)
    assert chunks_of(plan, 3, 5) == {3: "a cat", 4: "a wet cat"}
