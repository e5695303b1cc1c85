"""A sentence whose verb lacks its object is told from one that is complete."""

from __future__ import annotations

import pytest

from prompt_agent.paragraphs.parsed import is_incomplete


@pytest.mark.parametrize("text", ["She puts.", "The old man holds.", "A dog carries.", "The children look."])
def test_a_verb_that_lacks_its_object_is_incomplete(text: str) -> None:
    assert is_incomplete(text)


@pytest.mark.parametrize("text", ["She turns.", "She puts on a hat.", "He looks up.", "Realistic style.", "It rains."])
def test_a_verb_that_has_what_it_needs_is_complete(text: str) -> None:
    assert not is_incomplete(text)
