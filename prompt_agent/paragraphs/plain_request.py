"""What a viewer typed, as plain words: without politeness and carriers, in dictionary spelling, names with capitals."""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import cache, lru_cache

from prompt_agent.expansion import NotUnderstood
from prompt_agent.language import is_english
from prompt_agent.paragraphs.english import CLOSED, is_known, readings
from prompt_agent.paragraphs.lexicon import lexicon
from prompt_agent.paragraphs.scene import cleaned, scrubbed
from prompt_agent.validation import words_of

NOT_ENGLISH = (
    "This seems not to be English, and the rules write only English: say it in English, such as 'make it rain'."
)
_ENDS = " .!?,;:'-"
_LEAST_LETTERS = 4  # of a word whose spelling is put right
_LIKENESS = 0.84


@lru_cache(256)
def plain_request(request: str, leaks: tuple[str, ...]) -> str:
    """The words of a request that say what to change."""
    text = scrubbed(cleaned(request), leaks).strip(_ENDS)
    text = re.sub(r"[A-Za-z0-9'/]+", lambda found: _spelled(found[0]), text)
    text = _full_names().sub(lambda found: lexicon().full_names[found[0].lower()], text)
    begins, ends = _politeness()
    before = None
    while before != text:
        before = text
        text = ends.sub("", begins.sub("", text)).strip(_ENDS)
    return text


def check_english(text: str, request: str) -> None:
    """Raises NotUnderstood unless every word is in a dictionary, or the request looks like English, or says a name."""
    words = words_of(text)
    if not any(word in CLOSED or readings(word) for word in words):
        raise NotUnderstood(NOT_ENGLISH)
    if all(map(is_known, words)) or is_english(request):
        return
    unknown = [word for word in words if not is_known(word)]
    named = len(words) > 2 and unknown[0].capitalize() in text.split()
    if not (request.isascii() and len(unknown) == 1 and len(words) > 1 and (words[0] in _FRAMES or named)):
        raise NotUnderstood(NOT_ENGLISH)


_FRAMES = frozenset({"add", "show", "make", "put", "give", "remove", "a", "an", "the", "bring", "turn", "let"})


@cache
def _politeness() -> tuple[re.Pattern[str], re.Pattern[str]]:
    words = lexicon().words

    def any_of(phrases: frozenset[str]) -> str:
        return "|".join(sorted(map(re.escape, phrases), key=len, reverse=True))

    begins = re.compile(rf"^(?:{any_of(words['polite'])})(?![\w'])[\s,:]*", re.IGNORECASE)
    ends = re.compile(
        rf"(?:[\s,]+(?:{any_of(words['polite_end'])})|\s*,\s*(?:{any_of(words['vocatives'])}))$", re.IGNORECASE
    )
    return begins, ends


@cache
def _full_names() -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, lexicon().full_names))})\b", re.IGNORECASE)


@lru_cache(4096)
def _spelled(word: str) -> str:
    """As a dictionary has it: `nite` is night, `germany` is Germany, and one wrong letter of a weather is put right."""
    lower = word.lower()
    if lower in lexicon().spelling:
        return lexicon().spelling[lower]
    if word == lower and lower.removesuffix("'s") in lexicon().names:
        return word[:1].upper() + word[1:]
    if len(lower) < _LEAST_LETTERS or is_known(lower) or word[:1].isupper():
        return word
    return (get_close_matches(lower, _asked_words(), n=1, cutoff=_LIKENESS) or [word])[0]


@cache
def _asked_words() -> tuple[str, ...]:
    """Words by which states are asked for, and orders."""
    asks = {ask for state in lexicon().states.values() for ask in state.ask if " " not in ask}
    return tuple(sorted({ask for ask in asks | lexicon().words["orders"] if len(ask) >= _LEAST_LETTERS}))
