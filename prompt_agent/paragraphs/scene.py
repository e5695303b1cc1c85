"""A paragraph taken apart: its sentences, who it is about, whether it is inside, and the camera keywords at its end."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from prompt_agent.paragraphs.english import (
    AUXILIARIES,
    CLOSED,
    POSSESSIVES,
    inflected,
    is_plural,
    join,
    lemmas,
    readings,
    sentence,
    tags,
    tokens_of,
)
from prompt_agent.paragraphs.lexicon import lexicon
from prompt_agent.paragraphs.wording import spaced
from prompt_agent.validation import words_of

_LONGEST_WORD = 30
_LONGEST_TEXT = 4000  # characters that are read of a scene


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
    sentences, tail = _without_tail(sentences, camera)
    if not tail:
        # Keywords that a viewer's scene says in its middle stay there, and are said at the end as well.
        tail = _keywords(plain, camera)
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


def _without_tail(sentences: list[str], camera: tuple[str, ...]) -> tuple[list[str], tuple[str, ...]]:
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


def _keywords(text: str, camera: tuple[str, ...]) -> tuple[str, ...]:
    """The camera phrases that a text says, in their order; of two that overlap the longer one."""
    left = spaced(text)
    found: list[tuple[int, str]] = []
    for phrase in sorted(camera, key=len, reverse=True):
        words = spaced(phrase)
        if (place := left.find(words)) >= 0:
            found.append((place, phrase))
            left = left.replace(words, " " + "_" * (len(words) - 2) + " ")
    return tuple(phrase for _, phrase in sorted(found))


def _shown(text: str, first: bool) -> str:
    """A first sentence without a verb becomes one: `The scene shows a dog.`"""
    tokens = tokens_of(text)
    if not first or len(tokens) > 8 or any(tag in "VGEXM" for tag in tags(tokens)[:-1]) or len(tokens) < 2:
        return text
    if tokens[0].lower() in ("the", "a", "an", "two", "three", "some", "many", "several") or len(tokens) <= 8:
        start = tokens[0] if _is_name(tokens, 0) else tokens[0].lower()
        return sentence(join(["The", "scene", "shows", start, *tokens[1:]]))
    return text


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
    proper = _is_name(tokens, end - 1) and parts[start] != "D"
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


def _is_name(tokens: Sequence[str], place: int) -> bool:
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
    return bool({"he", "she", "it", "they", "him", "them", *POSSESSIVES} & set(words_of(text)))


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
