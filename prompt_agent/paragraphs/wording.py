"""Whether a text has a wording, as whole words in a row; both sides are remembered, for they are asked for often."""

from __future__ import annotations

from functools import lru_cache

from prompt_agent.validation import words_of


@lru_cache(8192)
def spaced(text: str) -> str:
    """The words of a text, each between blanks."""
    return f" {' '.join(words_of(text))} "


def says(text: str, wording: str) -> bool:
    """Whether a text has a wording."""
    return spaced(wording) in spaced(text)


def without(words: str, wording: str, mark: str = "|") -> str:
    """Spaced words with a mark in place of a wording, wherever it stands."""
    return words.replace(spaced(wording), f" {mark} ")
