"""A text as the words that matter in it: lower case, polite and grammatical words skipped, clauses ended."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

from lemminflect import getAllLemmas
from pydantic import BaseModel, ConfigDict

END = "."  # the word that stands at the end of every clause


class English(BaseModel):
    """How people ask for things, whatever is asked for; each field is explained in `english.toml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    headings: frozenset[str]
    sayings: tuple[str, ...]
    skipped: frozenset[str]
    breaks: frozenset[str]
    definite: frozenset[str]
    towards: tuple[str, ...]
    negations: tuple[str, ...]
    endings: tuple[str, ...]
    exclusions: tuple[str, ...]
    additions: tuple[str, ...]
    reversals: tuple[str, ...]
    conjunctions: tuple[str, ...]
    locations: tuple[str, ...]
    scenery: tuple[str, ...]
    copulas: tuple[str, ...]
    links: tuple[str, ...]


ENGLISH = English.model_validate(
    tomllib.loads((resources.files("prompt_agent.captions") / "english.toml").read_text(encoding="utf-8"))
)
_SAYINGS = re.compile(
    rf"(\b[a-z]+\s+)?\b(?:{'|'.join(sorted(map(re.escape, ENGLISH.sayings), key=len, reverse=True))})\b"
)


@dataclass(frozen=True, slots=True)
class Word:
    """A word, or the end of a clause. `forms`: itself and what it may be an inflection of. `definite`: behind "the"."""

    text: str
    forms: frozenset[str]
    definite: bool = False


def words_that_matter(text: str) -> list[Word]:
    """The words of a text without those that are skipped. Two ends never follow one another; one is last."""
    words: list[Word] = []
    definite = False
    for token in re.findall(r"[a-z0-9]+|[.,;:!?()\n]", _plain(text)):
        if not token.isalnum() or token in ENGLISH.breaks:
            _end(words)
            definite = False
        elif token in ENGLISH.skipped:
            definite = token in ENGLISH.definite or (definite and token not in ("a", "an"))
        else:
            words.append(Word(token, forms_of(token), definite))
            definite = False
    _end(words)
    return words


def _end(words: list[Word]) -> None:
    if words and words[-1].text != END:
        words.append(Word(END, frozenset((END,))))


def _plain(text: str) -> str:
    """Lower case, contractions undone, sayings gone."""
    text = _SAYINGS.sub(_without_saying, text.lower().replace("’", "'"))
    text = re.sub(r"\bwon't\b", "will not", text)
    text = re.sub(r"\bcan(?:'?t|not)\b", "can not", text)
    text = re.sub(r"\b(do|does|did|is|are|was|should|would|must|has|have)n'?t\b", r"\1 not", text)
    return re.sub(r"'(?:s|re|ll|d|ve|m)\b", "", text)


def _without_saying(match: re.Match[str]) -> str:
    before = match[1] or ""
    return match[0] if before.strip() in ENGLISH.headings else f"{before} "


@lru_cache(maxsize=4096)
def forms_of(word: str) -> frozenset[str]:
    """The word and every word that it may be an inflection of."""
    return frozenset((word, *(lemma for lemmas in getAllLemmas(word).values() for lemma in lemmas)))
