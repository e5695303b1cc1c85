"""One sentence in other words: another noun, another look, another weather."""

from __future__ import annotations

import re
from collections.abc import Sequence

from prompt_agent.paragraphs.english import inflected, is_plural, join, lemmas, plural, sentence, tokens_of, verb_of
from prompt_agent.paragraphs.lexicon import State, lexicon
from prompt_agent.paragraphs.parsed import Parsed, segment
from prompt_agent.paragraphs.parts_of_speech import tags
from prompt_agent.paragraphs.phrases import agreeing
from prompt_agent.paragraphs.subject import kind_of
from prompt_agent.paragraphs.surgery import cut_one
from prompt_agent.paragraphs.wording import says


def swap_noun(text: str, heads: frozenset[str], new: Sequence[str], number: bool) -> str:
    """Every noun phrase of the heads with other words: `a brown dog` becomes `a cat`."""
    made = Parsed.of(text)
    place = len(made.tokens) - 1
    while place >= 0:
        token = made.tokens[place]
        if lemmas(token) & heads and made.parts[place] in "NA":
            start = place
            while start > 0 and made.parts[start - 1] in "AN":
                start -= 1
            put = list(new)
            if is_plural(token.lower()) and not number:
                put[-1] = plural(put[-1])
            made.tokens[start : place + 1] = put
            made.parts[start : place + 1] = ["N"] * len(put)
            place = start
        place -= 1
    return sentence(join(made.tokens))


def give_look(text: str, heads: frozenset[str], new: Sequence[str], drop: frozenset[str]) -> str:
    """The adjectives of `drop` before every noun of the heads go, the new ones come; so do those behind `is`."""
    made = Parsed.of(text)
    place = len(made.tokens) - 1
    while place >= 0:
        if made.parts[place] in "NA" and lemmas(made.tokens[place]) & heads:
            after = place + 1
            if (
                after + 1 < len(made.tokens)
                and made.tokens[after].lower() in ("is", "are")
                and made.tokens[after + 1].lower() in drop
            ):
                made.tokens[after + 1 : after + 2] = list(new)
                made.parts[after + 1 : after + 2] = ["A"] * len(new)
            start = _start_of_look(made, place, drop)
            before = made.tokens[start:place]
            kept = [token for token in before if not _is_of(token, drop)]
            if len(kept) < len(before):
                kept = [token for token in kept if token.lower() not in ("and", ",")]
            at = next((each for each, token in enumerate(before) if _is_of(token, drop)), len(kept))
            at = min(at, len(kept))
            while at == len(kept) and at and (made.parts[start + at - 1] == "N" or kept[at - 1].endswith("ing")):
                at -= 1
            if at == len(kept) == len(before) and not set(new) & lexicon().words["colors"]:
                at = 0  # "an old rusty black train"
            if start == 0 and kept and not kept[0].isupper() and at == 0:
                kept = [kept[0][:1].lower() + kept[0][1:], *kept[1:]]
            if start == 0 and place == 0:
                made.tokens[0] = made.tokens[0][:1].lower() + made.tokens[0][1:]
            put = [*kept[:at], *new, *kept[at:]]
            made.tokens[start:place] = put
            made.parts[start:place] = ["A"] * len(put)
            place = start
        place -= 1
    return sentence(join(made.tokens))


def _start_of_look(made: Parsed, place: int, drop: frozenset[str]) -> int:
    """Where the adjectives of a noun begin: of `pink, red and blue signs` with the first colour."""
    start = place
    while start > 0:
        if made.parts[start - 1] in "AN":
            start -= 1
            continue
        link = made.tokens[start - 1].lower() in ("and", ",") and start > 1
        if link and _is_of(made.tokens[start - 2], drop) and _is_of(made.tokens[start], drop):
            start -= 2
            continue
        break
    return start


def _is_of(token: str, drop: frozenset[str]) -> bool:
    """Whether a word says a look, by itself or within another: `dark-green`."""
    return token.lower() in drop or ("-" in token and any(part in drop for part in token.lower().split("-")))


def restate(text: str, old: Sequence[State], new: State | None, used: set[str]) -> str:
    """A sentence that states nothing of the old values: said as the new value where there are words for it, else cut.

    `used` collects what the new value has said in the paragraph, so that it does not say it over and over.
    """
    for state in old:
        if text in state.lines:
            return ""
        if state.name == "sun":
            adjective = f"{new.adjective} " if new and new.adjective and new.adjective not in used else ""
            text = sentence(_BRIGHT.sub(adjective, text))
    terms: list[tuple[list[str], str]] = []
    for state in old:
        for group in ("phrases", "skies", "lights", "adjectives", "others"):
            terms.extend((tokens_of(term), group) for term in getattr(state, group) if says(text, term))
    terms.sort(key=lambda each: -len(each[0]))
    for words, group in terms:
        for _ in range(4):
            place = _find(tokens_of(text.lower()), words)
            if place < 0:
                break
            text = _restated(text, place, len(words), group, new, used)
            if not text:
                return ""
    return text


_BRIGHT = re.compile(r"\bbright (?=(?:day|morning|afternoon|weather)\b)")


def _find(tokens: list[str], words: list[str]) -> int:
    for place in range(len(tokens) - len(words) + 1):
        if tokens[place : place + len(words)] == words:
            return place
    return -1


def _restated(text: str, place: int, count: int, group: str, new: State | None, used: set[str]) -> str:
    made = Parsed.of(text)
    end = place + count
    if group == "phrases":
        put = _once(new.phrase if new else "", used)
        if not put and place == 0 and end < len(made.tokens) and made.tokens[end] == ",":
            end += 1
        return made.without(place, end, put)
    if group == "adjectives":
        return _other_adjective(made, place, new, used)
    if group in ("skies", "lights"):
        put = tokens_of((new.sky if group == "skies" else new.light) if new else "")
        if put and not _once(" ".join(put), used):
            put = put[-1:]
        start = place
        while start > 0 and made.parts[start - 1] in "AN":
            start -= 1
        if put:
            if start > 0 and made.tokens[start - 1].lower() in ("a", "an") and group == "lights":
                start -= 1
            return made.without(start, end, put)
    hit = {made.tokens[each].lower() for each in range(place, end) if made.parts[each] in "NGEV"} or {
        made.tokens[end - 1].lower()
    }
    wanted = made.tokens[end - 1].lower() if made.tokens[end - 1].lower() in hit else next(iter(hit))
    at = max(each for each in range(place, end) if made.tokens[each].lower() == wanted)
    before, after = made.parts[at - 1 : at], made.parts[at + 1 : at + 2]
    if count == 1 and made.parts[at] in "NA" and after == ["N"] and before and before[0] in "DAP":
        return made.without(at, at + 1)  # "the cold morning air": only the modifier goes
    low, _high = segment(made, at)
    left = cut_one(made, at)
    if low == 0 and not left:
        return ""
    return left


def _other_adjective(made: Parsed, place: int, new: State | None, used: set[str]) -> str:
    after = made.tokens[place + 1].lower() if place + 1 < len(made.tokens) else "."
    if new and new.attribute == "style" and after in _LOOKS:
        return cut_one(made, place)
    if after == "," and place > 0 and made.parts[place - 1] in "DA":
        return made.without(place, place + 2)
    fits = after in _TIMES or kind_of(after) == "place"
    if made.parts[place + 1 : place + 2] in (["N"], ["A"]):
        put = _once(new.adjective if new and fits else "", used)
        if not put and place > 1 and made.tokens[place - 1] == "," and made.parts[place - 2] == "A":
            return made.without(place - 1, place + 1)  # "soft, dreamy style"
        return made.without(place, place + 1, put)
    if new and new.adjective and place > 0 and made.parts[place - 1] in "X":
        return made.without(place, place + 1, [new.adjective])
    if place > 0 and made.parts[place - 1] == "X":
        return cut_one(made, place)
    start = place - 1 if place > 0 and made.parts[place - 1] in "C" else place
    end = place + 1
    if start == place and end < len(made.tokens) and made.parts[end] == "C":
        end += 1
    return made.without(start, end)


_LOOKS = frozenset(["style", "look", "painting", "film", "animation", "aesthetic", "art", "drawing"])
_TIMES = frozenset(
    ["day", "morning", "afternoon", "evening", "night", "weather", "sky", "street", "scene", "light", "landscape"]
)


def _once(text: str, used: set[str]) -> list[str]:
    if not text or text in used:
        return []
    used.add(text)
    return tokens_of(text)


def with_action(tokens: list[str], parts: list[str], at: int, words: str, plural: bool, family: str) -> str:
    """The sentence with another verb: what the old one needed goes or is put so that it fits."""
    new = tokens_of(words)
    families = lexicon().words
    old_verb = verb_of(tokens[at].lower())
    moving = new[0].lower() in families["moving"] or new[0].lower() in ("dance", "play")
    was_moving = old_verb in families["moving"]
    form = "VBG" if parts[at] == "G" else ("VBP" if plural else "VBZ")
    put = [inflected(new[0].lower(), form), *new[1:]] if form == "VBG" or plural else tokens_of(agreeing(words, plural))
    if parts[at] == "E":
        put = [inflected(new[0].lower(), "VBG"), *new[1:]]
    end = at + 1
    while end < len(tokens) and (
        parts[end] == "B"
        or (parts[end] in "A" and tokens[end].endswith("ly"))
        or (tokens[end].lower() in ("down", "up", "back", "forward") and parts[end + 1] not in "DAN")
    ):
        end += 1
    rest = tokens[end:]
    if family == "gazing":
        while end < len(tokens) and parts[end] in "PDAN":
            end += 1
        return sentence(join([*tokens[:at], *put, *tokens[end:]]))
    if rest and parts[end] == "P":
        stop = end + 1
        while stop < len(tokens) and parts[stop] in "PDAN":
            if parts[stop] == "P":
                break
            stop += 1
        noun = tokens[stop - 1].lower()
        prep = tokens[end].lower()
        has_own_place = any(part == "P" for part in tags(["he", *put])[2:]) and len(new) > 2
        if lemmas(noun) & {lemma for word in new for lemma in lemmas(word)} or (
            has_own_place and kind_of(noun) != "place"
        ):
            rest = tokens[stop:]
        elif not moving and was_moving and prep in families["motion_prepositions"]:
            rest = [_static(noun), *tokens[end + 1 :]]
        elif (
            moving
            and not was_moving
            and kind_of(noun) != "place"
            and prep in ("on", "at", "in", "against", "by", "over")
        ):
            rest = ["from" if {"away", "off"} & set(new) else "beside", *tokens[end + 1 :]]
    elif rest and parts[end] in "DAN" and was_moving and moving and new[0].lower() not in ("cross", "climb", "ride"):
        rest = ["across", *rest]
    elif rest and parts[end] in "DAN" and was_moving and not moving:
        stop = end
        while stop < len(tokens) and parts[stop] in "DAN":
            stop += 1
        rest = [_static(tokens[stop - 1].lower()), *rest]
    return sentence(join([*tokens[:at], *put, *rest]))


def _static(noun: str) -> str:
    inside = lexicon().inside
    if kind_of(noun) != "place":
        return "near"
    return next((how for how in ("on", "at") if lemmas(noun) & inside[how]), "in")
