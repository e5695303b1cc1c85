"""One sentence as tokens with their parts of speech: its stretches, whom it brings in, what its verb lacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prompt_agent.paragraphs.english import join, sentence, tokens_of, verb_of
from prompt_agent.paragraphs.lexicon import lexicon
from prompt_agent.paragraphs.parts_of_speech import tags


@dataclass(slots=True)
class Parsed:
    """A sentence as tokens with their parts of speech. `opening`: it is the first of its scene."""

    tokens: list[str]
    parts: list[str]
    opening: bool = False

    @classmethod
    def of(cls, text: str, opening: bool = False) -> Parsed:
        """Any text."""
        tokens = tokens_of(text)
        return cls(tokens, tags(tokens), opening)

    @property
    def introduces(self) -> bool:
        """Whether it brings somebody in, who would be lost with it: `A man holds a hat.`"""
        known = self.tokens[0].lower() in _KNOWN or self.parts[0] == "R"
        return self.opening or not known

    def without(self, start: int, end: int, put: Sequence[str] = ()) -> str:
        """The sentence with other tokens in place of some."""
        return sentence(join([*self.tokens[:start], *put, *self.tokens[end:]]))


_KNOWN = frozenset({"the", "his", "her", "its", "their", "this", "that", "these", "those"})


def is_incomplete(text: str) -> bool:
    """Whether a sentence is a subject and a verb that lacks its object: `She puts.`"""
    if text.count(" ") > _LONGEST_INCOMPLETE:
        return False
    made = Parsed.of(text)
    verb = next((place for place, part in enumerate(made.parts) if part == "V"), 0)
    lacks = verb > 0 and verb_of(made.tokens[verb].lower()) in lexicon().words["incomplete"]
    return lacks and set(made.parts[:verb]) <= set("DANR") and set(made.parts[verb + 1 :]) <= {"M"}


_LONGEST_INCOMPLETE = 6  # blanks in a subject and its verb


def segment(made: Parsed, place: int) -> tuple[int, int]:
    """The stretch between marks and link words around a word."""
    start = place
    while start > 0 and made.parts[start - 1] != "M" and made.parts[start] != "L":
        start -= 1
    end = place + 1
    while end < len(made.tokens) and made.parts[end] not in "ML":
        end += 1
    return start, end
