"""Cuts in one sentence: the smallest grammatical unit around a word goes, and what is left is a sentence."""

from __future__ import annotations

from collections.abc import Callable

from prompt_agent.paragraphs.english import POSSESSIVES, inflected, is_plural, join, sentence, tokens_of, verb_of
from prompt_agent.paragraphs.lexicon import lexicon
from prompt_agent.paragraphs.parsed import Parsed, is_incomplete, segment
from prompt_agent.paragraphs.parts_of_speech import tags
from prompt_agent.paragraphs.subject import kind_of
from prompt_agent.validation import words_of


def cut_out(text: str, is_hit: Callable[[str], bool], opening: bool = False) -> str:
    """A sentence without the words that are hit: the smallest grammatical unit goes; empty if all does.

    `opening`: it is the first of its scene, which keeps whom it brings in.
    """
    if not any(map(is_hit, words_of(text))):
        return text
    for _ in range(8):
        made = Parsed.of(text, opening)
        hits = [place for place, token in enumerate(made.tokens) if is_hit(token.lower())]
        if not hits:
            return "" if is_incomplete(text) else text
        text = cut_one(made, hits[0])
        if len([part for part in tags(tokens_of(text)) if part in "NV"]) < 1:
            return ""
    return ""


def _phrase(made: Parsed, place: int, low: int, high: int) -> tuple[int, int]:
    """The noun phrase around a word, with what hangs on it by `of`."""
    start, end = place, place + 1
    while start > low and made.parts[start - 1] in "DAN":
        start -= 1
        if made.parts[start] == "D" and not (start > low and made.parts[start - 1] == "D"):
            break
    while (
        start - 2 >= low and made.parts[start] in "AN" and made.parts[start - 1] == "C" and made.parts[start - 2] == "A"
    ):
        start -= 2  # "pink and blue signs"
        while start > low and made.parts[start - 1] in "DA":
            start -= 1
    while end < high and made.parts[end] in "N":
        end += 1
    while end < high and made.tokens[end].lower() == "of":
        end += 1
        while end < high and made.parts[end] in "DAN":
            end += 1
    return start, end


def cut_one(made: Parsed, place: int) -> str:
    """The sentence without the smallest unit around one word that can go."""
    low, high = segment(made, place)
    tokens, parts = made.tokens, made.parts
    if parts[place] in "VG" and place > low and parts[place - 1] == "C":
        return made.without(place - 1, high)
    if parts[place] not in "NAR":
        if low > 0:
            return made.without(_before(made, low), high)
        return made.without(place, place + 1) if parts[place] in "BE" else _rest(made, high)
    start, end = _phrase(made, place, low, high)
    left = parts[start - 1] if start > low else "M"
    follows = tokens[end].lower() if end < len(tokens) else ""
    if left == "P" and start - 1 > low and tokens[start - 1].lower() == "of" and parts[start - 2] == "N":
        return cut_one(made, start - 2)  # "a cloud of smoke": the whole goes
    if follows in ("and", "or") and end + 1 < len(tokens) and parts[end + 1] in "DAN":
        if left == "M" and low > 0 and tokens[low - 1] == ",":
            return made.without(low - 1, end)  # "a cup, a book and a lamp"
        return _agreeing(made.without(start, end + 1), subject=start == 0)
    end = _with_what_hangs_on(made, end, high)
    if left == "C":
        if end < high and parts[end] in "VX" and "V" in parts[low : start - 1]:
            return made.without(start - 1, high)  # "and a few trees stand behind her"
        if end < high and parts[end] in "VX" and low > 0 and start - 1 == low:
            return made.without(_before(made, low), high)  # ", and a cat lies on the sill"
        if start - 2 >= 0 and parts[start - 2] == "M":
            start -= 1
        return _agreeing(made.without(start - 1, end), subject=all(part not in "VXP" for part in parts[: start - 1]))
    if left == "P":
        if follows == "," and parts[end + 1 : end + 2] and parts[end + 1] in "DAN" and "C" in parts[end:]:
            listed = parts[end + 1 : end + 1 + parts[end + 1 :].index("C")] if "C" in parts[end + 1 :] else ["V"]
            if not set(listed) & set("VXGEPR"):
                return made.without(start, end + 1)  # "with a cup, a book and a lamp"
        if tokens[start - 1].lower() == "of" and start >= 2 and parts[start - 2] == "A":
            return _rest(made, end)  # "is full of cars"
        if not _is_particle(made, start - 1):
            return _without_prepositional(made, start - 1, end, low)
        left = parts[start - 2]
    if left in "GE":
        first = start - 1 if parts[start - 1] == left else start - 2
        return _without_participle(made, first, end, low, high)
    if left in "VX" or (left == "B" and start - 2 >= low and parts[start - 2] == "V"):
        return _without_object(made, start, end, low, high)
    if low > 0 and tokens[low - 1] != "." and parts[low] != "V":
        return made.without(_before(made, low), high)
    return _rest(made, place)


def _before(made: Parsed, low: int) -> int:
    """Where a cut of a segment begins: with the mark before it."""
    return low - 1 if low > 0 and made.parts[low - 1] == "M" else low


def _with_what_hangs_on(made: Parsed, end: int, high: int) -> int:
    """The end of a noun phrase with its `with ...` and its participle."""
    if end < high and made.tokens[end].lower() == "with":
        end += 1
        while end < high and made.parts[end] in "DAN":
            end += 1
    if end < high and made.parts[end] in "GE":
        while end < high and made.parts[end] not in "VXCL":
            end += 1
    return end


def _without_prepositional(made: Parsed, start: int, end: int, low: int) -> str:
    tokens, parts = made.tokens, made.parts
    if tokens[start].lower() == "from":
        while end + 1 < len(tokens) and tokens[end].lower() in _WHERE and parts[end + 1] in "DAN":
            end += 1  # "from a pot on the stove": where the pot is
            while end < len(tokens) and parts[end] in "DAN":
                end += 1
    while start > low + 1 and parts[start - 1] in "PB" and tokens[start - 1].lower() != "up":
        start -= 1
    if start > low and parts[start - 1] in "E" and tokens[start].lower() == "by":
        start -= 1
    if (
        start > low
        and parts[start - 1] == "G"
        and tokens[start].lower() in ("at", "for", "after", "of", "by", "toward", "towards")
    ):
        start -= 1
    if start <= low:
        if low > 0:
            _, high = segment(made, low)
            return made.without(_before(made, low), high)
        if end < len(tokens) and tokens[end] == ",":
            end += 1
    return made.without(start, end)


_WHERE = frozenset({"on", "beside", "under", "behind", "by", "near"})


def _is_particle(made: Parsed, place: int) -> bool:
    """Whether a preposition belongs to the verb before it, as in `puts on a hat`: what follows is its object."""
    verb = verb_of(made.tokens[place - 1].lower()) if place and made.parts[place - 1] in "VGE" else ""
    return made.tokens[place].lower() in lexicon().particles.get(verb, ())


def _without_participle(made: Parsed, first: int, end: int, low: int, high: int) -> str:
    """Without `carrying a bag`; of two that are joined, the other stays."""
    tokens, parts = made.tokens, made.parts
    while end + 1 < high and parts[end] == "P" and tokens[end + 1].lower() in POSSESSIVES:
        end += 2  # "in her hand"
        while end < high and parts[end] in "AN":
            end += 1
    if first > low and parts[first - 1] == "C" and (end >= high or {"G", "E"} & set(parts[low : first - 1])):
        return made.without(first - 1, end)
    if end + 1 < high and parts[end] == "C" and parts[end + 1] in "GE":
        return made.without(first, end + 1)
    if first <= low and low > 0:
        return made.without(_before(made, low), high)
    return made.without(first, end)


def _without_object(made: Parsed, start: int, end: int, low: int, high: int) -> str:
    tokens, parts = made.tokens, made.parts
    verb = start - 1
    while parts[verb] not in "VX":
        verb -= 1
    if tokens[verb].lower() == "shows" and tokens[verb - 1].lower() == "scene":
        return _rest(made, end)
    if parts[verb] == "X" and verb > 0 and tokens[verb - 1].lower() in ("there", "it"):
        return _rest(made, end)
    rest = end
    while rest < high and parts[rest] in "PDANBGE":
        rest += 1
    if rest + 1 < high and parts[rest] == "C" and parts[rest + 1] in "VB":
        if {"it", "them"} & {token.lower() for token in tokens[rest + 1 : high]}:
            return _rest(made, high)  # "holds a gear and turns it"
        return made.without(verb, rest + 1)  # "carries a ball in its mouth and looks happy"
    if verb > low and parts[verb - 1] == "C":
        return made.without(verb - 1, end)
    if low > 0:
        return made.without(_before(made, low), high)
    if tokens[verb].lower() in ("has", "have") and [each.lower() for each in tokens[end : end + 2]] == [",", "with"]:
        return made.without(start, end + 2)  # "has a realistic style, with soft colours"
    words = lexicon().words
    base = verb_of(tokens[verb].lower())
    alone = words["moving"] | words["resting"] | words["lively"] | words["gazing"]
    if base in alone and not _is_particle(made, start - 1):
        return made.without(start, end)
    if not made.introduces:
        return _rest(made, end)  # "She carries a hat": nothing else is said
    while end < high and parts[end] in "PDANBGE" and not _names_place(made, end, high):
        end += 1  # "in its mouth" hangs on the verb
    plain = ["stand" if tokens[verb].lower() == base else "stands"]
    return made.without(verb, end, plain if end < high else [*plain, "in", "view"])


def _names_place(made: Parsed, place: int, high: int) -> bool:
    """Whether a phrase that begins with a preposition says where all of it is: `in a park`."""
    if made.parts[place] != "P":
        return False
    end = place + 1
    while end < high and made.parts[end] in "DAN":
        end += 1
    return end > place + 1 and kind_of(made.tokens[end - 1]) == "place"


def _rest(made: Parsed, start: int) -> str:
    """What is left once the main clause is gone: a clause behind `as` or `and`, if there is one."""
    for place in range(start, len(made.tokens)):
        if (
            made.parts[place] == "L"
            and made.tokens[place].lower() in ("as", "while", "when")
            and "V" in made.parts[place:]
        ):
            return sentence(join(made.tokens[place + 1 :]))
        mark = next((each for each in range(place, len(made.parts)) if made.parts[each] in "ML" and each > place), None)
        behind = made.parts[place + 1 : mark]
        if made.parts[place] == "C" and behind[:1] and behind[0] in "DAN" and "V" in behind:
            return sentence(join(made.tokens[place + 1 :]))
    return ""


def _agreeing(text: str, subject: bool) -> str:
    """After a subject lost its partner: `a boy run` becomes `a boy runs`."""
    if not subject:
        return text
    made = Parsed.of(text)
    nouns = [place for place, part in enumerate(made.parts) if part == "N"]
    if not nouns or is_plural(made.tokens[nouns[0]].lower()):
        return text
    for place in range(nouns[0] + 1, min(nouns[0] + 3, len(made.tokens))):
        word = made.tokens[place].lower()
        if made.parts[place] in "PM":
            return text
        if word in ("are", "have"):
            made.tokens[place] = {"are": "is", "have": "has"}[word]
            break
        if verb_of(word) == word and made.parts[place] in "VN":
            made.tokens[place] = inflected(word, "VBZ")
            break
    return sentence(join(made.tokens))


def setting_alone(text: str, clean: Callable[[str], str]) -> str:
    """A first sentence without who is in it: the place that it names, shown."""
    tokens = tokens_of(text)
    parts = tags(tokens)
    for place, (token, part) in enumerate(zip(tokens, parts, strict=True)):
        if part != "P" or token.lower() in ("with", "of", "by", "from", "like") or place + 1 >= len(tokens):
            continue
        end = place + 1
        while end < len(tokens) and parts[end] in "DAN":
            end += 1
        if end == place + 1 or kind_of(tokens[end - 1]) != "place":
            continue
        while end < len(tokens) and parts[end] == "P" and tokens[end].lower() not in ("with", "before"):
            end += 1
            while end < len(tokens) and parts[end] in "DAN":
                end += 1
            if end + 1 < len(tokens) and parts[end] == "C" and parts[end + 1] == "D" and "V" not in parts[end:]:
                end += 1
                while end < len(tokens) and parts[end] in "DAN":
                    end += 1
        shown = clean(sentence("The scene shows " + join(tokens[place + 1 : end])))
        if shown:
            return shown
    return "The scene shows an open view."
