"""A cut: another scene from a viewer's words, in the style of the scene before it and with its camera."""

from __future__ import annotations

import re
from dataclasses import replace

from prompt_agent.expansion import NotUnderstood
from prompt_agent.language import is_english
from prompt_agent.paragraphs.change import Edit
from prompt_agent.paragraphs.english import is_known, lemmas, sentence, tokens_of
from prompt_agent.paragraphs.lexicon import State, lexicon
from prompt_agent.paragraphs.parts_of_speech import tags
from prompt_agent.paragraphs.phrases import small, with_article
from prompt_agent.paragraphs.plain_request import plain_request
from prompt_agent.paragraphs.scene import Scene, has_verb, mentions, parse_scene
from prompt_agent.paragraphs.subject import kind_of
from prompt_agent.paragraphs.wording import says
from prompt_agent.profile import ParagraphProfile
from prompt_agent.validation import words_of

_TO = re.compile(r"^(?:(?:cut|switch|jump|go|change|move|take us|bring us|show)\s+)?(?:to|into)\s+", re.IGNORECASE)
_LATER = re.compile(
    r"^(?:(?:\w+|a few)\s+)?(?:second|minute|hour|day|week|month|year|moment|century|centurie|decade)s?\s+(?:later|"
    r"after|before|ago)[\s,:]*(?=\S)",
    re.IGNORECASE,
)
_IN_STYLE = re.compile(
    r"\b(?:in|with|has|have)\s+(?P<style>(?:an?|the)\s+[^.]*?\b(?:style|look|aesthetic))\b", re.IGNORECASE
)
_SIGHTS = frozenset({"moon", "stars", "sun"})  # which a scene may show at any time, or may be on
_MIDDLE = ("cinematic", "documentary", "dreamy", "nostalgic")


def cut_to(request: str, scene: Scene, profile: ParagraphProfile) -> Edit:
    """The scene that the words name. Raises NotUnderstood where they name none."""
    text = _LATER.sub("", _TO.sub("", plain_request(request, profile.leaks)))
    words = words_of(text)
    if not words or not re.search(r"[A-Za-z]{2}", text):
        raise NotUnderstood("These words name no scene: say what is to be seen, such as 'a beach at night'.")
    if not all(map(is_known, words)) and not is_english(request) and not _names_only(text):
        raise NotUnderstood(
            "This seems not to be English, and the rules write only English: say it in English, such as 'a beach at "
            "night'."
        )
    tokens = tokens_of(_with_subject(text, scene))[: profile.max_words // 2]
    told = " ".join(tokens)
    first = sentence(told)
    if not any(tag in "VX" for tag in tags(tokens)):
        first = sentence(f"The scene shows {with_article(small(told))}")
    other = parse_scene(first, profile.camera, profile.leaks)
    effects = tuple(
        effect
        for state in lexicon().states.values()
        if state.attribute in ("weather", "time") and _says_state(first, state)
        for effect in (state.effects_indoor if other.indoor else state.effects)
    )
    made = replace(other, sentences=other.sentences or (first,), tail=scene.tail)
    return Edit(made, style_of(scene), " ".join(text.split()[:8]), effects[:1])


def _names_only(text: str) -> bool:
    """Whether what no dictionary has are names, with their capital."""
    unknown = [word for word in text.split() if not is_known(word.lower().strip(",.;:'"))]
    return all(word[:1].isupper() for word in unknown) and len(unknown) < len(text.split())


def _with_subject(text: str, scene: Scene) -> str:
    """`her classroom` as `the young teacher's classroom`: who reads the other scene has read nothing else."""
    subject = scene.subject
    if not subject or subject.kind == "place":
        return text
    tokens = tokens_of(text)
    parts = tags(tokens)
    out: list[str] = []
    for place, token in enumerate(tokens):
        lower = token.lower()
        if kind_of(lower) in ("person", "animal") and parts[place] == "N":
            return " ".join([*out, *tokens[place:]])
        owns = lower in ("his", "their", "its") or (lower == "her" and parts[place] == "D")
        if owns:
            name = subject.reference
            out.append(name + ("'" if name.endswith("s") else "'s"))
            return " ".join([*out, *tokens[place + 1 :]])
        if lower in ("he", "she", "they", "him", "her", "them", "it"):
            return " ".join([*out, subject.reference, *tokens[place + 1 :]])
        out.append(token)
    return " ".join(out)


def style_of(scene: Scene) -> tuple[str, ...]:
    """What a scene says of its style, as sentences: in its own words where they stand by themselves."""
    names = lexicon().words["style_names"]
    found: list[str] = []
    for text in scene.sentences:
        if not mentions(text, names):
            continue
        if text in lexicon().lines or (not has_verb(text) and len(text.split()) <= _LONGEST_STYLE):
            found.append(text)
        elif said := _IN_STYLE.search(text):
            found.append(sentence(f"The picture has {said['style']}"))
    if not found:
        last = [part for text in scene.sentences for part in re.split(r"[,.]\s*", text)]
        parts = [
            part for part in last if part and mentions(part, names) and len(part.split()) <= 4 and not has_verb(part)
        ]
        words = [word for word in words_of(scene.text) if lemmas(word) & names]
        style = parts[-1] if parts else words[0] if words else ""
        style = style or next((word for word in _MIDDLE if says(scene.text, word)), "")
        if style:
            style = style if re.search(r"\b(?:style|look|film|painting|animation)$", style) else f"{style} style"
            found.append(sentence(f"The picture has {with_article(small(re.sub('^in ', '', style)))}"))
    return tuple(found[:2])


_LONGEST_STYLE = 18


def _says_state(text: str, state: State) -> bool:
    return any(says(text, term) for term in (*state.says, state.name) if term not in _SIGHTS)
