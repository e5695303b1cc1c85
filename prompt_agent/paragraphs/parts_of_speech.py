"""Parts of speech, guessed from a dictionary and the neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache

from prompt_agent.paragraphs.english import (
    ADVERBS,
    AUXILIARIES,
    CLOSED,
    CONJUNCTIONS,
    DETERMINERS,
    LINKS,
    MARKS,
    POSSESSIVES,
    PREPOSITIONS,
    PRONOUNS,
    is_plural,
    lemmas,
    readings,
    verb_of,
)
from prompt_agent.paragraphs.lexicon import lexicon


@lru_cache(8192)
def _may_noun(word: str) -> bool:
    if word in CLOSED or word in MARKS:
        return False
    found = readings(word)
    return not found or "NOUN" in found or "PROPN" in found


@lru_cache(8192)
def _may_modify(word: str) -> bool:
    if word in CLOSED or word in MARKS:
        return False
    return "ADJ" in readings(word) or word in _adjectives() or (word.endswith("ed") and bool(verb_of(word)))


@cache
def _adjectives() -> frozenset[str]:
    words = lexicon().words
    return words["adjectives"] | words["colors"] | words["sizes"] | words["ages"] | words["shades"]


def tags(tokens: Sequence[str]) -> list[str]:
    """A part of speech for each token.

    D determiner, A adjective or modifier, N noun, V finite verb, G present participle, E past participle, X auxiliary,
    P preposition, R pronoun, B adverb, C conjunction, L link word, M mark.
    """
    return list(_tags(tuple(tokens)))


@lru_cache(4096)
def _tags(tokens: tuple[str, ...]) -> tuple[str, ...]:
    lower = [token.lower() for token in tokens]
    found: list[str] = []
    plural_before = False  # what a verb would agree with
    said = joined = inside = False  # said: there is a verb; inside: behind a preposition, where no subject is
    joined_before = False  # what `joined` was at the last conjunction
    for place, word in enumerate(lower):
        before = found[-1] if found else "M"
        after = lower[place + 1] if place + 1 < len(lower) else "."
        tag = _tag(word, before, after, lower, place, (plural_before or joined) and not said)
        if tag in "MVXL":
            plural_before = joined = inside = False
            said = tag == "V" or (said and tag == "X")
        elif tag == "C" and said:
            plural_before = inside = joined = said = False  # perhaps another clause: "and a few trees stand behind her"
        elif inside:
            pass
        elif tag == "P":
            inside = True
        elif tag == "N":
            plural_before = is_plural(word) or (word in _EITHER and before not in "DA")
        elif tag == "C" and before == "N":
            joined_before, joined = joined, True
        elif tag in "GE" and before == "C":
            joined = joined_before  # "wearing a coat and carrying a bag" joins no subjects
        elif tag == "R":
            plural_before = word in ("they", "we", "you", "i")
        elif tag == "D":
            plural_before = word in ("two", "three", "four", "five", "several", "many", "both")
        found.append(tag)
    return tuple(found)


_EITHER = frozenset({"sheep", "deer", "fish", "cattle", "buffalo", "salmon", "moose"})  # one or many


def _tag(word: str, before: str, after: str, lower: Sequence[str], place: int, plural_before: bool) -> str:
    if word in MARKS:
        return "M"
    if word == "her" and not (_may_noun(after) or _may_modify(after)):
        return "R"
    for group, tag in _CLOSED_TAGS:
        if word in group:
            return tag
    if word.endswith("ly") and "NOUN" not in readings(word) and "VERB" not in readings(word):
        return "A" if "ADV" not in readings(word) else "B"
    if word.endswith("'s") or word.endswith("s'"):
        return "D"
    found = readings(word)
    in_phrase = before in "DAP"
    verb_follows = in_phrase and after in lexicon().words["verbs"] and after not in lexicon().words["nouns"]
    modifies = not verb_follows and (_may_noun(after) or _may_modify(after))
    if word in _adjectives() and (
        modifies or before in "NXV" or after in MARKS or word not in lexicon().words["nouns"]
    ):
        return "A" if modifies or not in_phrase or "NOUN" not in found else "N"
    verb = verb_of(word)
    if verb and word.endswith("ing") and word != verb and word not in lexicon().words["nouns"]:
        return "A" if in_phrase and modifies else "G"
    if verb and word != verb and not word.endswith("s") and not is_plural(word):
        return _participle(before, after, modifies, in_phrase, found)
    if verb and word.endswith("s") and word != verb:
        return _third_person(word, before, after, found, lower, place, plural_before)
    if verb and word == verb and before in "NRBG" and plural_before and after not in AUXILIARIES:
        return "V"
    if verb and "NOUN" not in found and "ADJ" not in found:
        return "V"
    if "ADJ" in found and ((modifies and before != "N") or "NOUN" not in found):
        return "A"
    if "ADV" in found and "NOUN" not in found:
        return "B"
    return "N"


_CLOSED_TAGS: tuple[tuple[frozenset[str], str], ...] = (
    (DETERMINERS - {"that", "one"}, "D"),
    (LINKS, "L"),
    (AUXILIARIES, "X"),
    (CONJUNCTIONS, "C"),
    (PREPOSITIONS, "P"),
    (PRONOUNS, "R"),
    (ADVERBS, "B"),
    (frozenset({"one"}), "D"),
)


def _participle(before: str, after: str, modifies: bool, in_phrase: bool, found: dict[str, tuple[str, ...]]) -> str:
    if before == "X":
        return "E"
    if "NOUN" in found and "ADJ" not in found and before in "DA":
        return "N"
    if (in_phrase or before in "MCB") and modifies:
        return "A"
    if before in "NB" and (after in DETERMINERS or after in POSSESSIVES):
        return "V"
    return "E"


def _third_person(
    word: str,
    before: str,
    after: str,
    found: dict[str, tuple[str, ...]],
    lower: Sequence[str],
    place: int,
    plural_before: bool,
) -> str:
    if "NOUN" not in found or word in ("is", "has", "does"):
        return "V"
    if before == "R":
        return "V"
    if before in "NB" and word in lexicon().words["verbs"]:
        return "V"
    if before in "DAPMX":
        return "N"
    if before == "N" and _counted(lower, place) and verb_of(word) not in _MOVING:
        return "N"  # "some hot air balloons"
    of_somebody = before == "N" and not lemmas(lower[place - 1]).isdisjoint(_living())
    if word in lexicon().words["nouns"] and (
        before != "N" or (after in MARKS and not (of_somebody and word == "leaves"))
    ):
        return "N"
    if word in lexicon().words["nouns"] and not of_somebody:
        return "N"  # "autumn leaves", but "the man leaves"
    if before in "NB" and not plural_before:
        follows = verb_of(after) if after not in CLOSED else ""
        ends_phrase = after in MARKS or after in PREPOSITIONS or after in DETERMINERS or after in CLOSED
        if ends_phrase or after.endswith("ly") or after.endswith("ing"):
            return "V"
        modifier = "ADJ" in readings(after) and after == follows
        return "N" if not modifier and ((follows and after == follows) or (after.endswith("s") and follows)) else "V"
    if before == "C":  # "walks and whistles"
        return "V" if any(verb_of(each) and each.endswith("s") for each in lower[:place]) and after not in "," else "N"
    return "N"


@cache
def _living() -> frozenset[str]:
    return lexicon().words["persons"] | lexicon().words["animals"]


_MOVING = lexicon().words["moving"] | lexicon().words["lively"] | lexicon().words["resting"]


def _counted(lower: Sequence[str], place: int) -> bool:
    """Whether a phrase that ends here began with a word for many."""
    start = place - 1
    while start > 0 and lower[start] not in CLOSED and lower[start] not in MARKS:
        start -= 1
    many = {"some", "two", "three", "four", "five", "six", "several", "many", "few", "these", "those", "all"}
    return lower[start] in many and not any(is_plural(word) for word in lower[start:place])
