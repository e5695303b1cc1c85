"""Camera keywords: what a paragraph ends with, told from what it shows."""

from __future__ import annotations

import re
from functools import lru_cache

from prompt_agent.paragraphs.english import AUXILIARIES, inflected, lemmas, readings, sentence
from prompt_agent.paragraphs.lexicon import lexicon
from prompt_agent.paragraphs.wording import spaced
from prompt_agent.validation import words_of


def without_keywords(sentences: list[str], camera: tuple[str, ...]) -> tuple[list[str], tuple[str, ...]]:
    """The sentences before the camera keywords, and those, as they are said; two sentences may hold them."""
    kept = list(sentences)
    tail: tuple[str, ...] = ()
    while kept and len(tail) < _MOST_KEYWORDS:
        parts = [part.strip(" .!?") for part in re.split(r"[,;]", kept[-1])]
        ending: list[str] = []
        short = len(kept[-1].split()) <= _LONGEST_TAIL and is_camera(parts[0], camera)
        while parts and (is_camera(parts[-1], camera) or (short and _names_camera(parts[-1]))):
            ending.insert(0, parts.pop())
        tail = (*(part[:1].lower() + part[1:] for part in ending if part), *tail)
        if parts:
            if ending:
                kept[-1] = sentence(", ".join(parts))
            break
        kept.pop()
    return kept, tuple(dict.fromkeys(tail))


_MOST_KEYWORDS = 6
_LONGEST_TAIL = 14
_FEW = 6


def _names_camera(part: str) -> bool:
    """Whether a part beside camera keywords is about the camera too, in words of its own."""
    words = set(words_of(part))
    return bool(words & lexicon().words["camera_core"]) and len(part.split()) <= _FEW and not words & AUXILIARIES


@lru_cache(2048)
def is_camera(part: str, camera: tuple[str, ...]) -> bool:
    """Whether a part between commas says nothing but the camera: a keyword, or how the camera follows somebody."""
    words = words_of(part)
    if not 0 < len(words) <= _LONGEST_KEYWORD:
        return False
    core = lexicon().words["camera_core"]
    begins = [word for word in words[:3] if word not in ("the", "a", "an")]
    if all(word in _camera_words(camera) or _says_how(word) for word in words):
        return any(word in core for word in words) or any(spaced(phrase) in spaced(part) for phrase in camera)
    carried = next((word for word in begins if word in ("camera", "drone", "gimbal", "steadicam")), "")
    moves = lexicon().words["camera_moves"]
    return bool(carried) and any(moves & lemmas(word) for word in words)


_LONGEST_KEYWORD = 12


def _says_how(word: str) -> bool:
    """Whether a word only says how: `circular` in `slow circular pan`."""
    known = readings(word)
    return ("ADJ" in known and "NOUN" not in known) or (word.endswith("ly") and "ADV" in known)


@lru_cache(8)
def _camera_words(camera: tuple[str, ...]) -> frozenset[str]:
    words = lexicon().words
    moves = {form for verb in words["camera_moves"] for form in (verb, inflected(verb, "VBG"), inflected(verb, "VBZ"))}
    return words["camera_helpers"] | words["camera_core"] | moves | {word for each in camera for word in words_of(each)}


def keywords_in(text: str, camera: tuple[str, ...]) -> tuple[str, ...]:
    """The camera phrases that a text says, in their order; of two that overlap the longer one."""
    left = spaced(text)
    found: list[tuple[int, str]] = []
    for phrase in sorted(camera, key=len, reverse=True):
        words = spaced(phrase)
        if (place := left.find(words)) >= 0:
            found.append((place, phrase))
            left = left.replace(words, " " + "_" * (len(words) - 2) + " ")
    return tuple(phrase for _, phrase in sorted(found))
