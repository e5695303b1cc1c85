"""What earlier changes have come to by the next: who came is there, who left is gone, what took a moment is over."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from prompt_agent.paragraphs.english import inflected, is_plural, join, lemmas, sentence, tokens_of, verb_of
from prompt_agent.paragraphs.lexicon import lexicon
from prompt_agent.paragraphs.parts_of_speech import tags
from prompt_agent.paragraphs.phrases import head_of, pronoun_of
from prompt_agent.paragraphs.scene import Scene, lemmas_in
from prompt_agent.validation import words_of

_LONGEST = 16  # words of a sentence that says one event


def brought_forward(scene: Scene, history: Sequence[str], request: str) -> Scene:
    """The scene at the moment of a request: the events that its history names are told by their outcome.

    What the request is about stays as it is, and so does all that the history does not name.
    """
    asked = lemmas_in(request)
    first, *others = [_by_name(text, scene, history) for text in scene.sentences] or [""]
    others = [_outcome(text, scene, history, asked) for text in others]
    return replace(scene, sentences=tuple(text for text in (first, *others) if text))


def _by_name(text: str, scene: Scene, history: Sequence[str]) -> str:
    """`She opens her eyes.` as the history has it: `The young woman opens her eyes.`"""
    pronoun = pronoun_of(scene)
    if not pronoun or not scene.subject or not text.startswith(f"{pronoun} "):
        return text
    rest = text[len(pronoun) :].rstrip(".!?")
    named = any(added.lower().endswith(rest.lower()) for added in history)
    return sentence(scene.subject.reference + text[len(pronoun) :]) if named else text


def _outcome(text: str, scene: Scene, history: Sequence[str], asked: frozenset[str]) -> str:
    if text in _camera_moves():
        return ""
    tokens = tokens_of(text)
    at = next((place for place, tag in enumerate(tags(tokens)) if tag in "VX"), 0)
    if not at or len(tokens) > _LONGEST or not any(tokens[at].lower() in words_of(added) for added in history):
        return text
    head = head_of(join(tokens[:at]))
    of_subject = scene.subject is not None and bool(lemmas(head) & lemmas(scene.subject.head))
    if lemmas(head) & asked and not of_subject:
        return text
    base, table = verb_of(tokens[at].lower()), lexicon().outcomes
    for count in (3, 2, 1):
        event = " ".join([base, *(token.lower() for token in tokens[at + 1 : at + count])])
        if event in table:
            return _told(tokens[:at], table[event], tokens[at + count :])
    return text


def _told(who: list[str], outcome: str, rest: list[str]) -> str:
    """Who it is, with the verb phrase of the outcome; what comes behind `and` was part of the event."""
    if not outcome:
        return ""
    verb, *how = outcome.split()
    behind = re.split(r"(?:^|\s+)(?:and|while|as)\s+|,|\.", join(rest))[0]
    return sentence(join([*who, inflected(verb, "VBP" if is_plural(head_of(join(who))) else "VBZ"), *how, behind]))


@cache
def _camera_moves() -> frozenset[str]:
    """Sentences that say how the camera begins to move; the keywords at the end say it from then on."""
    return frozenset(sentence(wording.say) for wording in lexicon().camera)
