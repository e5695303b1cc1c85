"""A request read into one typed change, by the first kind of change that knows its wording."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from prompt_agent.expansion import NotUnderstood
from prompt_agent.paragraphs.change import Change, Kind
from prompt_agent.paragraphs.english import tokens_of
from prompt_agent.paragraphs.kinds import acts, additions, camera, looks, places, removal, states, swaps
from prompt_agent.paragraphs.parts_of_speech import tags
from prompt_agent.paragraphs.phrases import INDEFINITE, is_place
from prompt_agent.paragraphs.plain_request import NOT_ENGLISH, check_english, plain_request
from prompt_agent.paragraphs.scene import Scene, lemmas_in
from prompt_agent.validation import words_of

_READERS: tuple[Callable[[str, list[str], Scene], Change | None], ...] = (
    states.read_end,
    looks.read_switch,
    camera.read,
    states.read,
    removal.read,
    places.read,
    looks.read_recolour,
    swaps.read,
    states.read_style,
    additions.read_gift,
    looks.read,
    states.read_made,
    additions.read_put,
    acts.read,
    additions.read,
)
_TWO = re.compile(r"^(?P<first>.+?)(?:,|\s+(?P<link>with|and|while))\s+(?P<second>.+)$", re.IGNORECASE)
_THERE = re.compile(r"^(?P<first>.+)\s+(?P<second>(?:in|at|on)\s+.+)$", re.IGNORECASE)


@lru_cache(64)
def parse_change(request: str, scene: Scene, leaks: tuple[str, ...]) -> Change:
    """The change that a request names. Raises NotUnderstood, with what to say instead."""
    text = plain_request(request, leaks)
    if not re.search(r"[A-Za-z]{2}", text):
        if re.search(r"[^\W\d_]", request) and not request.isascii():
            raise NotUnderstood(NOT_ENGLISH)
        raise NotUnderstood(
            "These words name no change of the picture: say what should happen, such as 'make it rain'."
        )
    change = _two_in_one(text, scene) or _read(text, scene)
    if not change or not (change.states or change.cameras):
        check_english(text, request)
    return change or Change(Kind.other, words=text)


def _read(text: str, scene: Scene) -> Change | None:
    words = words_of(text)
    for read in _READERS if words else ():
        if change := read(text, words, scene):
            return change
    return None


def _two_in_one(text: str, scene: Scene) -> Change | None:
    """A state, and what comes with it: `at night with all the lanterns lit`, `a rainy evening in Tokyo`."""
    if states.states_of(text) and not _THERE.match(text):
        return None
    for pattern in (_TWO, _THERE):
        found = pattern.match(text)
        asked = states.states_of(found["first"]) if found else ()
        if not found or not asked or asked[0].attribute in ("mood", "style"):
            continue
        if any(state.attribute in ("light", "season") for state in asked) and INDEFINITE.match(text):
            continue
        second = found["second"]
        first = Change(Kind.state, words=found["first"], states=asked)
        if pattern is _THERE:
            where = second.split(maxsplit=1)[1]
            if not is_place(where) or lemmas_in(where) & lemmas_in(scene.text) - lemmas_in("the a in on at"):
                return None
            return Change(Kind.place, words=second, also=first)
        tokens = tokens_of(second)
        if tags(tokens)[-1] == "E" and len(tokens) > 1:
            second = f"{' '.join(tokens[:-1])} {'is' if INDEFINITE.match(second) else 'are'} {tokens[-1]}"
        if (also := _read(second, scene)) and also.kind not in (Kind.place, Kind.remove, Kind.swap):
            return replace(first, also=also)
    return None
