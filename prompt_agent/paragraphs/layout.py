"""Sentences into form: the change behind the first, shortened or padded to the words allowed, the camera at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from zlib import crc32

from prompt_agent.paragraphs.english import CLOSED, lemmas, sentence, tokens_of
from prompt_agent.paragraphs.lexicon import lexicon
from prompt_agent.paragraphs.parts_of_speech import tags
from prompt_agent.paragraphs.phrases import pronoun_of
from prompt_agent.paragraphs.scene import Scene, is_impersonal, mentions
from prompt_agent.paragraphs.subject import Subject, find_subject
from prompt_agent.profile import ParagraphProfile
from prompt_agent.validation import words_of

_EMPTY = "The scene shows a calm, open view."


@dataclass(slots=True)
class _Line:
    """A sentence of the paragraph; the higher its `worth`, the later it is given up."""

    text: str
    worth: float


def lay_out(
    scene: Scene,
    news: Sequence[str],
    effects: Sequence[str],
    profile: ParagraphProfile,
    history: Sequence[str] = (),
    before: Sequence[str] | None = None,
) -> str:
    """A paragraph of the profile's length. The first sentence and the news are never given up.

    `before`: the sentences before the change; one that is not among them is worth more, for it shows the change.
    """
    tail = tail_of(scene.tail, profile)
    known = {line for lines in lexicon().padding.values() for line in lines}
    first = scene.sentences[0] if scene.sentences else _EMPTY
    lines = [_Line(first, _KEEP)]
    for text in scene.sentences[1:]:
        if text not in known and text not in news:
            changed = before is not None and text not in before
            lines.append(_Line(text, _worth(text, scene, history) + _CHANGED * changed))
    at = 1
    for text in news:
        behind = _behind(text, lines)
        lines.insert(behind or at, _Line(text, _KEEP))
        at += behind in (0, at)
    padding = [text for text in scene.sentences[1:] if text in known]
    _without_repetition(lines, tail, scene)
    room = profile.max_words - len(tail.split())
    _shorten(lines, room, scene, history)
    _by_pronoun(lines, scene)
    for effect in effects:
        if all(line.text != effect for line in lines) and _count(lines) + len(effect.split()) <= room:
            lines.insert(at, _Line(effect, 0))
            at += 1
    for text in (*padding, *fitting_padding(scene, (*scene.sentences, *news))):
        if _count(lines) >= profile.min_words - len(tail.split()):
            break
        if _count(lines) + len(text.split()) <= room and all(line.text != text for line in lines):
            lines.append(_Line(text, 0))
    return " ".join([*(line.text for line in lines), tail])


def _behind(news: str, lines: Sequence[_Line]) -> int:
    """Where news stands that names somebody whom another sentence brings in: behind it. 0 if there is none."""
    known = {noun for article, noun in _phrases(news) if article in _KNOWN}
    if not known:
        return 0
    for place in range(len(lines) - 1, 0, -1):
        if known & {noun for article, noun in _phrases(lines[place].text) if article not in _KNOWN}:
            told = place + 1
            while told < len(lines) and known & {noun for _, noun in _phrases(lines[told].text)}:
                told += 1  # what is told of them already comes first
            return told
    return 0


_KNOWN = frozenset({"the", "his", "her", "its", "their"})


@lru_cache(1024)
def _phrases(text: str) -> tuple[tuple[str, str], ...]:
    """The noun phrases of a sentence that begin with a determiner: that, and the noun. Lower case."""
    tokens = tokens_of(text)
    found: list[tuple[str, str]] = []
    article = ""
    for place, (token, part) in enumerate(zip(tokens, parts := tags(tokens), strict=True)):
        if part == "D":
            article = token.lower()
        elif part == "N" and parts[place + 1 : place + 2] != ["N"]:
            found += [(article, token.lower())] if article else []
            article = ""
        elif part not in "AN":
            article = ""
    return tuple(found)


_KEEP = 1000.0
_CHANGED = 200.0
_FIRST = 70.0  # what a part of the first sentence is worth more: above what the history adds
_NEWS = 20.0  # what a part of the sentence that says the change is worth more


def tail_of(tail: Sequence[str], profile: ParagraphProfile) -> str:
    """The camera keywords as the last sentence; the profile's first two where there are none."""
    parts = list(tail) or list(profile.camera[:2])
    kept: list[str] = []
    for part in parts:
        if sum(len(each.split()) for each in [*kept, part]) <= _LONGEST_TAIL:
            kept.append(part)
    return sentence(", ".join(dict.fromkeys(kept or parts[:1])))


_LONGEST_TAIL = 20


def fitting_padding(scene: Scene, said: Sequence[str]) -> list[str]:
    """Sentences that fit whoever and whatever is in the scene; those that say what it says anyway come last."""
    table = lexicon().padding
    subject = scene.subject
    kind = subject.kind if subject else "place"
    group = "people" if kind == "person" and subject and subject.plural else kind
    if kind == "animal" and subject and subject.plural:
        group = "place"
    place = "indoor" if scene.indoor else "outdoor" if mentions(scene.text, lexicon().words["outdoor"]) else ""
    general = list(table["any"])
    start = crc32((subject.head if subject else "").encode()) % len(general)
    general = general[start:] + general[:start]
    special = [*table.get(group, ()), *table.get(place, ())]
    mixed: list[str] = []
    while general or special:
        mixed += [general.pop(0)] if general else []
        mixed += [special.pop(0)] if special else []
    return [text for text in mixed if text not in said]


def _count(lines: Sequence[_Line]) -> int:
    return sum(len(line.text.split()) for line in lines)


def _worth(text: str, scene: Scene, history: Sequence[str]) -> float:
    """How much would be lost with a sentence or a part of one."""
    if text in lexicon().effects:
        return 0.5
    worth = 1.0
    if text in lexicon().lines:
        worth += 60
    words = lexicon().words
    for age, added in enumerate(history):
        content = {lemma for word in words_of(added) if word not in CLOSED for lemma in lemmas(word)}
        content -= lemmas(scene.subject.head) if scene.subject else frozenset()
        if content and mentions(text, content):
            worth += 50 + age
            break
    if mentions(text, words["style_names"]):
        worth += _STYLE
    elif mentions(text, _MOODS):
        worth += _MOOD
    elif mentions(text, words["style_words"]):
        worth += 6
    if mentions(text, words["outdoor"] | words["indoor"]):
        worth += 4
    if scene.subject and mentions(text, lemmas(scene.subject.head)):
        worth += 4
    if set(words_of(text)) & words["light_words"]:
        worth += 1
    return worth + 0.5 * sum(tag == "N" for tag in tags(tokens_of(text)))


_STYLE, _MOOD = 100.0, 80.0  # above what the history adds: no row of changes may cost a scene its style or its mood
_MOODS = frozenset({"mood", "atmosphere", "energy", "feeling", "feel", "tone"})


def _shorten(lines: list[_Line], room: int, scene: Scene, history: Sequence[str]) -> None:
    """Gives up the least that is enough: a part between commas or a sentence."""
    while (excess := _count(lines) - room) > 0:
        options: list[tuple[float, int, int]] = []
        for at, line in enumerate(lines):
            if line.worth < _KEEP:
                options.append((line.worth + 0.02 * max(0, len(line.text.split()) - excess), at, 0))
            parts = _parts(line.text)
            for part in range(1, len(parts)):
                if at == 0 and len(lines[0].text.split()) < 12:
                    continue
                kept = _FIRST if at == 0 else _NEWS if line.worth >= _KEEP else 0
                lost = _worth(parts[part], scene, history) + kept - 0.5 * (part == len(parts) - 1)
                options.append((lost + 0.02 * max(0, len(parts[part].split()) - excess), at, part))
        if not options:
            _cut_down(lines, room)
            return
        _, at, part = min(options)
        if part:
            parts = _parts(lines[at].text)
            del parts[part]
            lines[at].text = sentence(", ".join(parts))
        else:
            del lines[at]


def _parts(text: str) -> list[str]:
    """A sentence between its commas; adjectives in a row stay together: `a gentle, thoughtful mood`."""
    parts: list[str] = []
    for part in text.rstrip(".!?").split(", "):
        if parts and tags(tokens_of(f"{parts[-1]},"))[-2:][0] in "AD":
            parts[-1] += f", {part}"
        else:
            parts.append(part)
    return parts


def _cut_down(lines: list[_Line], room: int) -> None:
    """The longest sentence loses its end, at a preposition or a conjunction if there is one."""
    longest = max(lines, key=lambda line: len(line.text.split()))
    keep = len(longest.text.split()) - (_count(lines) - room)
    tokens = tokens_of(" ".join(longest.text.split()[: max(keep, 3)]))
    parts = tags(tokens)
    end = len(tokens)
    while end > 3 and parts[end - 1] in "DPCLMXA":
        end -= 1
    longest.text = sentence(" ".join(tokens[:end]))
    if _count(lines) > room and len(lines) > 1:
        lines.pop()
        _cut_down(lines, room) if _count(lines) > room else None


def _without_repetition(lines: list[_Line], tail: str, scene: Scene) -> None:
    """Later sentences that repeat a run of words say the subject as a pronoun, or go."""
    said = words_of(lines[0].text)
    ending = words_of(tail)
    at = 1
    while at < len(lines):
        words = words_of(lines[at].text)
        if _repeats([*said, *words, *ending]):
            again = _with_pronoun(lines[at].text, scene.subject)
            if again and not _repeats([*said, *words_of(again), *ending]):
                lines[at].text = again
            elif lines[at].worth < _KEEP or set(words) <= {*said, "all", "is", "are", "the", "around"}:
                del lines[at]
                continue
        said += words_of(lines[at].text)
        at += 1


def _repeats(words: Sequence[str]) -> bool:
    runs = {tuple(words[start : start + _RUN]) for start in range(len(words) - _RUN + 1)}
    return len(runs) < len(words) - _RUN + 1


_RUN = 5  # so many words in a row twice are a repetition, as `validation` has it


def _by_pronoun(lines: Sequence[_Line], scene: Scene) -> None:
    """A sentence about the subject says a pronoun, where nobody else was spoken of since the subject was."""
    subject, pronoun = scene.subject, pronoun_of(scene)
    if not subject or not pronoun:
        return
    clear = True
    for line in lines[1:]:
        named = line.text.lower().startswith(f"{subject.reference.lower()} ")
        if named and clear:
            line.text = pronoun + line.text[len(subject.reference) :]
        if named or (line.text.startswith(f"{pronoun} ") and not is_impersonal(line.text)):
            clear = True
        elif pronoun in ("It", "They") or ((other := find_subject(line.text)) and other.kind in ("person", "animal")):
            clear = False


def _with_pronoun(text: str, subject: Subject | None) -> str:
    """`The old fisherman wears a hat.` as `He wears a hat.`; empty if it begins otherwise."""
    if not subject or not text.lower().startswith(subject.reference.lower() + " "):
        return ""
    families = lexicon().words
    pronoun = "They" if subject.plural else "It"
    if subject.head in families["women"]:
        pronoun = "She"
    elif subject.head in families["men"]:
        pronoun = "He"
    elif subject.kind == "person" and not subject.plural:
        pronoun = f"This {subject.head}"
    return pronoun + text[len(subject.reference) :]
