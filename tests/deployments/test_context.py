"""What a video shows with a prompt in force, and what of the changes before still holds there."""

from __future__ import annotations

import pytest

from deployments.context import Context
from deployments.entries import Mode, PromptExpanded, PromptRequested
from prompt_agent.expansion import MAX_HISTORY

ASKED = PromptRequested(prompt_id="p", text="a wet dog")


def expanded(added: str, source: str = "rules", mode: Mode = "recache", *, cut: bool = False) -> PromptExpanded:
    return PromptExpanded(prompt_id="p", prompt="a wet dog", added=added, source=source, ms=1, mode=mode, cut=cut)


@pytest.mark.parametrize(
    ("made", "changes"),
    [
        (expanded("rain"), ("a hat", "rain")),
        (expanded("", source="stock"), ("a hat",)),
        (expanded("", source="stock", mode="cut"), ("a hat",)),
        (expanded("rain", mode="cut"), ("a hat", "rain")),
        (expanded("a beach", mode="cut", cut=True), ("a beach",)),
        (expanded("a beach", mode="blend", cut=True), ("a beach",)),
        (expanded("", source="raw"), ()),
        (None, ()),
    ],
)
def test_a_scene_of_its_own_has_none_of_the_changes_before(
    made: PromptExpanded | None, changes: tuple[str, ...]
) -> None:
    assert Context("a dog", ("a hat",)).after(ASKED, made) == Context("a wet dog", changes)


def test_only_the_newest_changes_are_kept() -> None:
    context = Context("a dog")
    for number in range(MAX_HISTORY + 5):
        context = context.after(ASKED, expanded(f"change {number}"))
    assert len(context.changes) == MAX_HISTORY
    assert context.changes[-1] == f"change {MAX_HISTORY + 4}"


def test_different_contexts_have_different_keys() -> None:
    contexts = [Context("a"), Context("a", ("b",)), Context("a", ("b", "c")), Context("a", ("b, c",)), Context("ab")]
    assert len({context.key for context in contexts}) == len(contexts)
    assert Context("a", ("b",)).key == Context("a", ("b",)).key
