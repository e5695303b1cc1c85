"""English requests pass as English, however short; others do not."""

from __future__ import annotations

import pytest

from prompt_agent.language import is_english

ENGLISH = ("make it rain", "stop", "zoom in", "snow", "jump", "it gets dark", "fog rolls in", "add a cat", "she smiles")
OTHERS = (
    "lass es schneien", "dreh dich um", "es wird Nacht", "que llueva", "quita el perro", "fais pleuvoir", "il neige",
    "la nuit tombe", "noche", "fai piovere", "下雨", "雨を降らせて", "비가 와요", "сделай дождь", "🙂", "123", "",
)  # fmt: skip


@pytest.mark.parametrize("text", ENGLISH)
def test_short_english_is_english(text: str) -> None:
    assert is_english(text)


@pytest.mark.parametrize("text", OTHERS)
def test_what_is_no_english_is_not_taken_for_it(text: str) -> None:
    assert not is_english(text)
