"""What is wrong with a prompt that somebody wrote: the checks that hold for every family of models."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache


class FaultKind(StrEnum):
    """Why a draft is rejected; a label of metrics."""

    not_one_line = "not-one-line"
    characters = "characters"
    length = "length"
    unfinished = "unfinished"
    leak = "leak"
    repetition = "repetition"
    lost_anchor = "lost-anchor"
    lost_camera = "lost-camera"
    not_reflected = "not-reflected"
    contradiction = "contradiction"
    unread_words = "unread-words"
    unsafe = "unsafe"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong, and where; `detail` is for people."""

    kind: FaultKind
    detail: str


def words_of(text: str) -> list[str]:
    """Its words, lower case, without punctuation: `the dog's, wet` has three."""
    return _WORD.findall(text.lower())


def form_faults(text: str, min_words: int, max_words: int, leaks: Iterable[str]) -> list[Fault]:
    """Faults of any prompt: more than a line, characters that no prompt has, too long or short, phrases that leak."""
    faults = []
    if len(text.splitlines()) != 1 or text != text.strip():
        faults.append(Fault(FaultKind.not_one_line, "it is not one line of text"))
    if strange := sorted(set(re.findall(r"[^A-Za-z0-9 .,;:!?'’\"“”()%&/–—-]", text))):
        faults.append(Fault(FaultKind.characters, f"it holds {' '.join(ascii(each) for each in strange[:5])}"))
    if (longest := max(map(len, text.split()), default=0)) > _LONGEST_WORD:
        faults.append(Fault(FaultKind.characters, f"it has a word of {longest} letters"))
    if not min_words <= (count := len(text.split())) <= max_words:
        faults.append(Fault(FaultKind.length, f"it has {count} words, not {min_words} to {max_words}"))
    words = words_of(text)
    spaced = f" {' '.join(words)} "
    for phrase in leaks:
        if _spaced(phrase) in spaced:
            faults.append(Fault(FaultKind.leak, f"it says {phrase!r}"))
    if repeated := _repeated(words):
        faults.append(Fault(FaultKind.repetition, f"it says {repeated!r} again and again"))
    return faults


_WORD = re.compile(r"[a-z0-9]+(?:['’-][a-z0-9]+)*")
_LONGEST_WORD = 30
_RUN = 5


@cache
def _spaced(phrase: str) -> str:
    """Of a profile's phrases, which are few."""
    return f" {' '.join(words_of(phrase))} "


def _repeated(words: Sequence[str]) -> str:
    """A run of words that comes more than once."""
    seen: set[tuple[str, ...]] = set()
    for start in range(len(words) - _RUN + 1):
        run = tuple(words[start : start + _RUN])
        if run in seen:
            return " ".join(run)
        seen.add(run)
    return ""
