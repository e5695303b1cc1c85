"""Every phrase that a profile and English give a meaning, and where a text holds them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from prompt_agent.captions.english import END, ENGLISH, Word, forms_of, words_that_matter
from prompt_agent.profile import CaptionProfile, ProfileError

_LONG_ENOUGH = 4  # letters; of fewer, a swap makes too many other words
LACKING = ""  # the value of what the world has not


class Role(Enum):
    """What a phrase does to others; `english.toml` explains each."""

    negation = auto()
    ending = auto()
    exclusion = auto()
    addition = auto()
    reversal = auto()
    conjunction = auto()
    location = auto()
    towards = auto()
    scenery = auto()
    copula = auto()
    link = auto()


@dataclass(frozen=True, slots=True)
class Meaning:
    """A value of an attribute; one that the world lacks has the value LACKING."""

    attribute: str
    value: str


@dataclass(frozen=True, slots=True)
class Found:
    """A phrase in a text, or a word without meaning, or (`text` is END) the end of a clause."""

    text: str
    meanings: tuple[Meaning, ...] = ()
    roles: frozenset[Role] = frozenset()
    definite: bool = False

    @property
    def end(self) -> bool:
        return self.text == END

    def says(self, attribute: str) -> bool:
        return any(meaning.attribute == attribute for meaning in self.meanings)


@dataclass(slots=True)
class _Phrase:
    words: tuple[str, ...]
    meanings: list[Meaning] = field(default_factory=list)
    roles: set[Role] = field(default_factory=set)


_ROLES: Mapping[Role, Iterable[str]] = {
    Role.negation: ENGLISH.negations,
    Role.ending: ENGLISH.endings,
    Role.exclusion: ENGLISH.exclusions,
    Role.addition: ENGLISH.additions,
    Role.reversal: ENGLISH.reversals,
    Role.conjunction: ENGLISH.conjunctions,
    Role.location: ENGLISH.locations,
    Role.towards: ENGLISH.towards,
    Role.scenery: ENGLISH.scenery,
    Role.copula: ENGLISH.copulas,
    Role.link: ENGLISH.links,
}


class Lexicon:
    """What the words of a profile mean. Raises ProfileError for a profile that contradicts itself.

    `without`: what is when a value is taken away; `opposite`: what a value is turned into. Both are partial.
    """

    def __init__(self, profile: CaptionProfile) -> None:
        self.order = profile.order
        self.without: dict[Meaning, str] = {}
        self.opposite: dict[Meaning, str] = {}
        self._phrases: dict[tuple[str, ...], _Phrase] = {}
        if sorted(profile.order) != sorted(profile.attributes):
            raise ProfileError(f"The prompt profile {profile.name} must have each of its attributes in `order` once.")
        for name in profile.order:
            attribute = profile.attributes[name]
            tables = (attribute.words, attribute.without, attribute.opposite)
            values = {value for table in tables for value in table}
            values |= {value for table in tables[1:] for value in table.values()}
            if strange := values - set(attribute.captions):
                raise ProfileError(f"The prompt profile {profile.name} has no caption for {name} {min(strange)!r}.")
            self.without |= {Meaning(name, value): then for value, then in attribute.without.items()}
            self.opposite |= {Meaning(name, value): then for value, then in attribute.opposite.items()}
            for value, wordings in ({LACKING: attribute.lacking} | attribute.words).items():
                for wording in wordings:
                    self._learn(Meaning(name, value), wording)
        for role, phrases in _ROLES.items():
            for wording in phrases:
                self._phrase(wording).roles.add(role)
        self._values = {word for phrase in self._phrases.values() if phrase.meanings for word in phrase.words}
        self._known = {word for words in self._phrases for word in words}
        self._by_first: defaultdict[str, list[_Phrase]] = defaultdict(list)
        for phrase in self._phrases.values():
            self._by_first[phrase.words[0]].append(phrase)

    def find(self, text: str) -> list[Found]:
        """The text as phrases, in its order: at each word the longest one, the more literal of two."""
        words = [self._spelled(word) for word in words_that_matter(text)]
        found, at = [], 0
        while at < len(words):
            phrase = self._longest(words[at:])
            count = 1 if phrase is None else len(phrase.words) - (phrase.words[-1] == END and len(phrase.words) > 1)
            here = " ".join(word.text for word in words[at : at + count])
            if phrase is None:
                found.append(Found(here, definite=words[at].definite))
            else:
                found.append(Found(here, tuple(phrase.meanings), frozenset(phrase.roles), words[at].definite))
            at += count
        return found

    def _spelled(self, word: Word) -> Word:
        """The word; where nothing knows it, one of the profile's with two letters swapped or one typed again."""
        if len(word.text) < _LONG_ENOUGH or word.forms & self._known:
            return word
        for text in _respellings(word.text):
            if (forms := forms_of(text)) & self._values:
                return Word(text, forms, word.definite)
        return word

    def _longest(self, words: Sequence[Word]) -> _Phrase | None:
        candidates = [
            phrase
            for form in words[0].forms
            for phrase in self._by_first.get(form, ())
            if len(phrase.words) <= len(words)
            and all(said in word.forms for said, word in zip(phrase.words, words, strict=False))
        ]
        literal = {word.text for word in words}
        return max(candidates, key=lambda each: (len(each.words), len(literal & {*each.words})), default=None)

    def _learn(self, meaning: Meaning, wording: str) -> None:
        meanings = self._phrase(wording).meanings
        if meaning not in meanings:
            meanings.append(meaning)

    def _phrase(self, wording: str) -> _Phrase:
        words = tuple(word.text for word in words_that_matter(wording))
        if not wording.endswith(END):
            words = words[:-1]
        if not words or words == (END,):
            raise ProfileError(f"The wording {wording!r} says nothing: all its words are skipped.")
        return self._phrases.setdefault(words, _Phrase(words))


def _respellings(word: str) -> Iterator[str]:
    """Without letters that are typed again and again, then with two neighbours swapped."""
    yield re.sub(r"(.)\1{2,}", r"\1\1", word)
    yield re.sub(r"(.)\1+", r"\1", word)
    for at in range(len(word) - 1):
        yield word[:at] + word[at + 1] + word[at] + word[at + 2 :]
