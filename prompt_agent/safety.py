"""The safety hook: what may be said to a model. By default a list of words that an operator edits."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class SafetyError(Exception):
    """A list of words that cannot be used: what is wrong with it, and what to do."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`text` is what may be said: as it was, or rewritten. With a `reason` nothing may: it is refused."""

    text: str
    reason: str = ""


class SafetyHook(Protocol):
    """Judges every text before a model sees it, whoever wrote it."""

    async def judge(self, text: str) -> Verdict: ...


class _Refusal(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: str = Field(min_length=1)
    words: tuple[str, ...] = Field(min_length=1)


class _Words(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    refuse: tuple[_Refusal, ...] = ()
    rewrite: dict[str, str] = {}


class WordList:
    """Refuses texts with certain words, and rewrites others. Judges words, not what they mean together."""

    def __init__(self, path: Path | None = None) -> None:
        """From a TOML file as `words.toml` in this package, which is the default. Raises SafetyError."""
        source = path or resources.files("prompt_agent") / "words.toml"
        try:
            words = _Words.model_validate(tomllib.loads(source.read_text(encoding="utf-8")))
        except OSError as error:
            raise SafetyError(f"The list of words {source} cannot be read: {error.strerror}.") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SafetyError(f"The list of words {source} is no TOML: {error}.") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise SafetyError(f"The list of words {source} is wrong at {where}: {first['msg']}.") from None
        self._refusals = [_Rule(each) for each in words.refuse]
        self._rewrites = [(_pattern(word), instead) for word, instead in words.rewrite.items()]

    async def judge(self, text: str) -> Verdict:
        """The first refusal that fits; else the text, with its words replaced."""
        plain = _plain(text)
        for rule in self._refusals:
            if rule.hits(plain):
                return Verdict("", rule.reason)
        rewritten = text
        for pattern, instead in self._rewrites:
            rewritten = pattern.sub(instead, rewritten)
        return Verdict(text if rewritten == text else " ".join(rewritten.split()))


class _Rule:
    """One reason, and the words for it: single ones, and sets of which all must be there."""

    def __init__(self, refusal: _Refusal) -> None:
        self.reason = refusal.reason
        entries = [entry.split(" ... ") for entry in refusal.words]
        single = [_source(entry[0]) for entry in entries if len(entry) == 1]
        self._single = re.compile("|".join(single) or r"(?!)", re.IGNORECASE)
        self._together = [[_pattern(part) for part in entry] for entry in entries if len(entry) > 1]

    def hits(self, text: str) -> bool:
        if self._single.search(text):
            return True
        return any(all(pattern.search(text) for pattern in patterns) for patterns in self._together)


def _pattern(words: str) -> re.Pattern[str]:
    return re.compile(_source(words), re.IGNORECASE)


def _source(words: str) -> str:
    parts = [re.escape(word.removesuffix("*")) + (r"\w*" if word.endswith("*") else "") for word in words.split()]
    return r"\b" + r"[\s_-]+".join(parts) + r"\b"


def _plain(text: str) -> str:
    """The letters that a reader sees: no accents, nothing invisible."""
    split = unicodedata.normalize("NFKD", text)
    return "".join(letter for letter in split if unicodedata.category(letter) not in ("Mn", "Cf"))
