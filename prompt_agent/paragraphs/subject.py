"""Whom or what a sentence is about: a person, an animal, a place or a thing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from prompt_agent.paragraphs.english import CLOSED, is_plural, lemmas, readings, tokens_of
from prompt_agent.paragraphs.lexicon import lexicon
from prompt_agent.paragraphs.parts_of_speech import tags


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a scene is about. `phrase`: without an article, as `old fisherman`. `kind`: person, animal, thing, place."""

    phrase: str
    head: str
    plural: bool
    proper: bool
    kind: str

    @property
    def reference(self) -> str:
        """As a later sentence names it: `the old fisherman`."""
        words = self.phrase.split()
        if "and" in words:
            words = [word for word in words if word not in ("his", "her", "its", "their", "the")]
        elif len(words) > 3:
            words = words[-2:]  # a long name in every sentence is a repetition
        return " ".join(words) if self.proper else f"the {' '.join(words)}"


def find_subject(text: str) -> Subject | None:
    """Whom a sentence is about: the head of its first phrase that is no place, time or camera."""
    tokens = _without_frame(tokens_of(text))
    parts = tags(tokens)
    start = 0
    while start < len(tokens) and parts[start] == "P":  # "In a dark forest, a wolf"
        mark = next((place for place in range(start, len(tokens)) if tokens[place] == ","), None)
        if mark is not None:
            start = mark + 1
            continue
        start = next((place for place in range(start + 2, len(tokens)) if parts[place] == "D"), len(tokens))
    end = start
    while end < len(tokens) and parts[end] in "DAN":
        end += 1
        if parts[end - 1] == "N" and end < len(tokens) and parts[end] in "DA":
            break
    while end > start and parts[end - 1] != "N":
        end -= 1
    if end <= start:
        return None
    words = [word for word, part in zip(tokens[start:end], parts[start:end], strict=True) if part != "D"]
    if tokens[start].lower() in _COUNTS:
        words.insert(0, tokens[start].lower())
    head = words[-1]
    proper = is_name(tokens, end - 1) and parts[start] != "D"
    words = words if proper else [word if word[0].isupper() and word.isupper() else word.lower() for word in words]
    joined = end + 1 < len(tokens) and tokens[end] == "and" and parts[end + 1] in "DAN"
    number = is_plural(head) and tokens[start].lower() not in ("a", "an", "this", "that")
    if joined and not proper:
        rest = end + 1
        while rest < len(tokens) and parts[rest] in "DAN":
            rest += 1
        if rest < len(tokens) and parts[rest] not in "PM":
            tail = [word if word not in ("a", "an") else "the" for word in tokens[end + 1 : rest]]
            return Subject(" ".join([*words, "and", *tail]), head.lower(), True, False, kind_of(head))
    return Subject(" ".join(words), head.lower(), number, proper, _kind(head, proper))


def _kind(head: str, proper: bool) -> str:
    """Who has a name is somebody, if it is no place."""
    kind = kind_of(head)
    if head.lower() in ("train", "spaceship", "subway", "tram", "ship", "elevator", "tent"):
        return "thing"
    return "person" if proper and kind == "thing" else kind


_COUNTS = frozenset(["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "several"])


def _without_frame(tokens: list[str]) -> list[str]:
    lowered = " ".join(tokens).lower()
    for frame in lexicon().frames:
        if lowered.startswith(frame + " "):
            return tokens[len(tokens_of(frame)) :]
    return tokens


def is_name(tokens: Sequence[str], place: int) -> bool:
    word = tokens[place]
    return word[:1].isupper() and word.lower() not in CLOSED and (place > 0 or not readings(word.lower()))


@lru_cache(2048)
def kind_of(noun: str) -> str:
    """person, animal, place or thing."""
    words = lexicon().words
    forms = lemmas(noun.lower())
    for kind, family in (("person", words["persons"]), ("animal", words["animals"])):
        if forms & family:
            return kind
    return "place" if forms & (words["outdoor"] | words["indoor"] | words["place_names"]) else "thing"
