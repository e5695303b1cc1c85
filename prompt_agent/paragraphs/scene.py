"""A paragraph taken apart: its sentences, who it is about, whether it is inside, and the camera keywords at its end."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

from prompt_agent.paragraphs.camera_keywords import keywords_in, without_keywords
from prompt_agent.paragraphs.english import AUXILIARIES, POSSESSIVES, join, lemmas, readings, sentence, tokens_of
from prompt_agent.paragraphs.lexicon import lexicon
from prompt_agent.paragraphs.parts_of_speech import tags
from prompt_agent.paragraphs.subject import Subject, find_subject, is_name
from prompt_agent.validation import words_of

_LONGEST_WORD = 30
_LONGEST_TEXT = 4000  # characters that are read of a scene


@dataclass(frozen=True, slots=True)
class Scene:
    """Sentences without the camera keywords at the end; those by themselves, lower case, as `medium shot`."""

    sentences: tuple[str, ...]
    tail: tuple[str, ...]
    subject: Subject | None
    indoor: bool

    def with_sentences(self, sentences: Iterable[str]) -> Scene:
        """The same scene told otherwise."""
        return replace(self, sentences=tuple(each for each in sentences if each))

    @property
    def text(self) -> str:
        """Its sentences, without the camera."""
        return " ".join(self.sentences)


@lru_cache(64)
def parse_scene(text: str, camera: tuple[str, ...], leaks: tuple[str, ...]) -> Scene:
    """Any text as a scene. `camera` and `leaks` are the profile's. Text that no prompt may have is left out."""
    plain = scrubbed(cleaned(text[:_LONGEST_TEXT]), leaks)
    sentences = list(dict.fromkeys(map(_unrepeated, split_sentences(plain))))
    sentences, tail = without_keywords(sentences, camera)
    if not tail:
        # Keywords that a viewer's scene says in its middle stay there, and are said at the end as well.
        tail = keywords_in(plain, camera)
    sentences = list(dict.fromkeys(_shown(each, first=not place) for place, each in enumerate(sentences)))
    subject = find_subject(sentences[0]) if sentences else None
    if subject and subject.kind == "thing" and {"he", "she", "his", "him"} & set(words_of(" ".join(sentences[:2]))):
        subject = replace(subject, kind="person")
    return Scene(tuple(each for each in sentences if each), tail, subject, is_indoor(" ".join(sentences)))


def cleaned(text: str) -> str:
    """Plain ASCII words and marks on one line; what cannot be said so is left out."""
    text = unicodedata.normalize("NFKD", text.replace("’", "'").replace("‘", "'"))
    text = re.sub(r"<[^<>]*>", " ", text)
    text = re.sub(r"\s+[-–—]+\s+|[–—]|\s*[()\[\]]\s*", ", ", text)
    text = "".join(each for each in text if each.isascii() or each.isspace())
    text = re.sub(r"[^A-Za-z0-9 .,;:!?'%&/-]", " ", text)
    text = re.sub(r"([.!?])[.!?,;]+", r"\1", text)
    words = [word for word in text.split() if len(word) <= _LONGEST_WORD]
    return " ".join(words)


def scrubbed(text: str, leaks: tuple[str, ...]) -> str:
    """Without phrases that tell of an earlier text: said otherwise where there is a way, else left out."""
    table = lexicon().scrub

    def put(found: re.Match[str]) -> str:
        said = table.get(re.sub(r"[\s,/-]+", " ", found[0].lower()), table.get(found[0].lower(), ""))
        return said[:1].upper() + said[1:] if found[0][:1].isupper() else said

    text = _leaking(leaks).sub(put, text)
    return re.sub(r"\s+([,.;:!?])", r"\1", re.sub(r"\s+", " ", text)).strip()


@lru_cache(8)
def _leaking(leaks: tuple[str, ...]) -> re.Pattern[str]:
    """Any phrase of the profile or of the table, the longest first."""
    phrases = sorted({*lexicon().scrub, *leaks}, key=len, reverse=True)
    wordings = (r"[\s,/-]+".join(map(re.escape, phrase.split())) for phrase in phrases)
    return re.compile(rf"(?<![\w'-])(?:{'|'.join(wordings)})(?![\w-])", re.IGNORECASE)


def split_sentences(text: str) -> list[str]:
    """Sentences, each with a capital and a mark at its end."""
    parts = re.split(r"(?<=[.!?])\s+", text.strip())
    return [made for part in parts if re.search(r"[A-Za-z]", part) and (made := sentence(part))]


def _unrepeated(text: str) -> str:
    """A sentence up to where it begins to repeat itself."""
    tokens = tokens_of(text)
    seen: set[tuple[str, ...]] = set()
    words: list[str] = []
    for place, token in enumerate(tokens):
        if token[0].isalnum():
            words.append(token.lower())
        run = tuple(words[-5:])
        if len(run) == 5 and token[0].isalnum():
            if run in seen:
                kept = tokens[: max(place - 4, 1)]
                return sentence(join(kept if len(set(words)) > 5 else kept[:1]))
            seen.add(run)
    return text


def _shown(text: str, first: bool) -> str:
    """A first sentence without a verb becomes one: `The scene shows a dog.`"""
    tokens = tokens_of(text)
    if not first or len(tokens) > 8 or any(tag in "VGEXM" for tag in tags(tokens)[:-1]) or len(tokens) < 2:
        return text
    if tokens[0].lower() in ("the", "a", "an", "two", "three", "some", "many", "several") or len(tokens) <= 8:
        start = tokens[0] if is_name(tokens, 0) else tokens[0].lower()
        return sentence(join(["The", "scene", "shows", start, *tokens[1:]]))
    return text


@lru_cache(256)
def is_indoor(text: str) -> bool:
    """Whether a scene plays inside: more of its nouns are of rooms than of open places."""
    words = lexicon().words
    found = [lemmas(word) for word in words_of(text)]
    if {"inside", "indoors", "interior", "indoor"} & set(words_of(text)[:12]):
        return True
    inside = sum(bool(each & words["indoor"]) for each in found)
    return inside > sum(bool(each & words["outdoor"]) for each in found)


def mentions(text: str, words: frozenset[str] | set[str]) -> bool:
    """Whether a text has one of the words, in any inflection."""
    return not lemmas_in(text).isdisjoint(words)


@lru_cache(1024)
def lemmas_in(text: str) -> frozenset[str]:
    """Every form that a word of a text may come from."""
    return frozenset().union(*(lemmas(word) for word in words_of(text)))


def has_pronoun(text: str) -> bool:
    """Whether a text speaks of somebody named before."""
    return bool({"he", "she", "it", "they", "him", "them", *POSSESSIVES} & set(words_of(_personal(text))))


def starts_with_pronoun(text: str) -> bool:
    """Whether a sentence is about somebody named before."""
    return words_of(_personal(text))[:1] in (["it"], ["its"], ["he"], ["she"], ["his"], ["her"], ["they"], ["their"])


def is_impersonal(text: str) -> bool:
    """Whether a sentence begins with an `it` that stands for nobody: `It is night.`"""
    return words_of(text)[:1] != words_of(_personal(text))[:1]


@lru_cache(1024)
def _personal(text: str) -> str:
    """A text without each `it` that stands for nobody: `It is night`, `while it rains`."""
    return _IMPERSONAL.sub(lambda found: found["told"] if _tells_of_weather(found["told"]) else found[0], text)


_IMPERSONAL = re.compile(r"\bit(?: |'s )(?P<told>[^.,;:!?]+)", re.IGNORECASE)
_BECOMING = frozenset({"is", "was", "be", "get", "become", "grow", "turn", "begin", "start", "to"})


def _tells_of_weather(told: str) -> bool:
    """Whether what is said of `it` is weather, time or light: `rains`, `is late autumn`, `gets very dark outside`."""
    tokens = tokens_of(told.lower())
    start = next((place for place, token in enumerate(tokens) if not lemmas(token) & _BECOMING), len(tokens))
    end = start
    parts = tags(tokens)
    while end < len(tokens) and parts[end] not in "PCLMX":
        end += 1
    phrase, words = tokens[start:end], lexicon().words
    of_a_thing = phrase[:1] in (["a"], ["an"], ["the"]) or not words["colors"].isdisjoint(phrase)
    named = phrase[-1:] if of_a_thing else phrase  # "a dark horse" and "dark brown" are somebody
    return any(lemmas(token) & words["impersonal"] for token in named)


def has_verb(text: str) -> bool:
    """Whether a text has a finite verb."""
    return any(tag in "VX" for tag in tags(tokens_of(text))) or bool(AUXILIARIES & set(words_of(text)))


def nouns_of(text: str) -> list[str]:
    """The nouns of a text in their order, as dictionary forms."""
    tokens = tokens_of(text)
    found = []
    for token, part in zip(tokens, tags(tokens), strict=True):
        if part == "N":
            base = readings(token.lower()).get("NOUN", (token.lower(),))
            found.append(base[0])
    return list(dict.fromkeys(found))
