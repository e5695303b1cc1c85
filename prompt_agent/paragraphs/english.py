"""Small English: tokens, parts of speech guessed from a dictionary and the neighbours, inflection, articles."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import inflect
from lemminflect import getAllLemmas, getInflection

from prompt_agent.paragraphs.lexicon import lexicon

_ENGINE = inflect.engine()
_GRAMMAR = lexicon().grammar

DETERMINERS = _GRAMMAR["determiners"]
POSSESSIVES = _GRAMMAR["possessives"]
PREPOSITIONS = _GRAMMAR["prepositions"]
PRONOUNS = _GRAMMAR["pronouns"]
CONJUNCTIONS = _GRAMMAR["conjunctions"]
LINKS = _GRAMMAR["links"]
AUXILIARIES = _GRAMMAR["auxiliaries"]
ADVERBS = _GRAMMAR["adverbs"]
CLOSED = DETERMINERS | PREPOSITIONS | PRONOUNS | CONJUNCTIONS | LINKS | AUXILIARIES | ADVERBS
MARKS = frozenset(",;:.!?%")
_TOKEN = re.compile(r"[A-Za-z0-9]+(?:['/.&-][A-Za-z0-9]+)*'?|[,;:.!?%]")


def tokens_of(text: str) -> list[str]:
    """Words and marks. `join` gives the text back, but for spaces."""
    return _TOKEN.findall(text)


def join(tokens: Sequence[str]) -> str:
    """Tokens as text, with marks set close, doubled marks and dangling commas gone, and articles put right."""
    kept: list[str] = []
    for token in tokens:
        if token in MARKS and (not kept or kept[-1] in ",;:"):
            if kept:
                kept[-1] = token
            continue
        if token in MARKS and kept[-1] in MARKS:
            continue
        if token in MARKS and kept[-1].lower() in CONJUNCTIONS:
            kept[-1] = token
            continue
        kept.append(token)
    for place, (article, word) in enumerate(pairwise(kept)):
        if article.lower() in ("a", "an") and word not in MARKS:
            right = article_of(word)
            kept[place] = right.capitalize() if article[0].isupper() else right
    return re.sub(r" ([,;:.!?%])", r"\1", " ".join(kept))


def sentence(text: str) -> str:
    """With a capital and a full stop."""
    text = join(tokens_of(text)).strip(" ,;:")
    return text[:1].upper() + text[1:] + ("" if text[-1:] in ".!?" else ".") if text else ""


@lru_cache(4096)
def article_of(word: str) -> str:
    """`a` or `an`."""
    if not word.isascii() or not word[0].isalnum():
        return "a"
    return str(_ENGINE.a(word)).split()[0]


@lru_cache(8192)
def readings(word: str) -> dict[str, tuple[str, ...]]:
    """What the dictionary knows of a lower-case word: its lemmas by part of speech, none if it is unknown."""
    return dict(getAllLemmas(word))


@lru_cache(8192)
def lemmas(word: str) -> frozenset[str]:
    """Every form a word may come from, itself included; `dogs` and `dog's` give dog."""
    word = word.lower().removesuffix("'s").removesuffix("'")
    found = {word}
    for forms in readings(word).values():
        found.update(forms)
    if word not in CLOSED and not found - {word} and len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        found.add(word[:-1])
    return frozenset(found)


@lru_cache(4096)
def verb_of(word: str) -> str:
    """The verb that a word may be a form of; empty if it is none."""
    found = readings(word.lower()).get("VERB", ())
    return found[0] if found else ""


@lru_cache(4096)
def inflected(verb: str, tag: str) -> str:
    """A base verb's form by Penn tag (VBZ, VBG, VBN)."""
    if verb == "be":
        return {"VBZ": "is", "VBG": "being", "VBN": "been", "VBP": "are"}[tag]
    forms = getInflection(verb, tag) if tag != "VBP" else (verb,)
    return forms[0] if forms else verb


@lru_cache(4096)
def is_plural(noun: str) -> bool:
    """Whether a noun is a plural."""
    noun = noun.lower()
    if noun in lexicon().names:
        return False
    if noun in ("people", "police", "cattle", "fireworks"):
        return True
    found = readings(noun).get("NOUN", ())
    return (bool(found) and noun not in found) or (not found and noun.endswith("s") and not noun.endswith("ss"))


@lru_cache(4096)
def plural(noun: str) -> str:
    """Of a singular noun."""
    return str(_ENGINE.plural_noun(noun))


@lru_cache(4096)
def is_known(word: str) -> bool:
    """Whether a word is English as far as a dictionary tells."""
    word = word.lower().removesuffix("'s").removesuffix("'")
    if word in CLOSED or word in _KNOWN or word.isdigit():
        return True
    parts = word.split("-")
    return all(part in CLOSED or bool(readings(part)) or part.isdigit() for part in parts)


_KNOWN = frozenset(["please", "let", "let's", "it's", "there's", "isn't", "don't", "doesn't", "b&w", "3d"])


def warm_up() -> None:
    """Loads what inflection loads when it first meets a word that no dictionary has: half a second, better now."""
    for tag in ("VBZ", "VBG"):
        inflected("zorble", tag)
    article_of("zorble")
    plural("zorble")
