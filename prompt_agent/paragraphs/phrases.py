"""Noun phrases and verb phrases: the noun in one, with and without its article, said of somebody else."""

from __future__ import annotations

import re

from prompt_agent.paragraphs.english import (
    DETERMINERS,
    article_of,
    inflected,
    is_plural,
    join,
    lemmas,
    readings,
    tokens_of,
    verb_of,
)
from prompt_agent.paragraphs.lexicon import lexicon
from prompt_agent.paragraphs.parts_of_speech import tags
from prompt_agent.paragraphs.scene import Scene
from prompt_agent.paragraphs.subject import kind_of
from prompt_agent.validation import words_of

PRONOUN = r"(?:it|him|her|them|he|she|they|himself|herself|itself|themselves)"
INDEFINITE = re.compile(
    r"^(?:an?|some|two|three|four|five|six|seven|eight|nine|ten|several|many|more|another|a few|a couple of|lots of|"
    r"a lot of|plenty of|dozens of|hundreds of|a flock of|a bunch of)\b",
    re.IGNORECASE,
)
_ARTICLE = re.compile(
    r"^(?:(?:the|an?|this|that|these|those|some|all|any|his|her|its|their|my|your|our|every|each|of)\s+)+",
    re.IGNORECASE,
)
_DOING = ("moving", "resting", "lively", "gazing", "expressing", "acts")


def bare(phrase: str) -> str:
    """A noun phrase without its article."""
    return _ARTICLE.sub("", phrase.strip())


def head_of(phrase: str) -> str:
    """The noun of a noun phrase: the last before a preposition, a participle or a verb. Lower case."""
    tokens = tokens_of(phrase)
    found = ""
    for token, tag in zip(tokens, tags(["the", *tokens])[1:], strict=True):
        if tag == "N" or (tag == "A" and not found):
            found = token.lower()
        elif tag not in "DA" and found:
            break
    return found or (tokens[-1].lower() if tokens else "")


def with_article(phrase: str, definite: bool = False) -> str:
    """A noun phrase with an article where it needs one."""
    tokens = tokens_of(phrase)
    if not tokens or tokens[0].lower() in DETERMINERS:
        return phrase
    head = head_of(phrase)
    named = tokens[0][0].isupper() and (tokens[0].lower() == head or not readings(head))
    if named or tokens[0].lower() in ("more", "another", "lots", "plenty", "dozens", "hundreds"):
        return phrase
    if is_plural(head) or head in lexicon().words["mass"] or head in lexicon().words["place_names"]:
        return phrase
    return f"{'the' if definite and len(tokens) == 1 else article_of(tokens[0])} {phrase}"


def indefinite(phrase: str, plural: bool, proper: bool) -> str:
    """As it is first named: `an old fisherman`."""
    return phrase if proper or plural else f"{article_of(phrase.split()[0])} {phrase}"


def are(head: str) -> str:
    """`is` or `are`."""
    return "are" if is_plural(head) else "is"


def small(text: str) -> str:
    """Without the capital of a sentence; names keep theirs."""
    first = text.split()[0] if text.split() else ""
    word = first.lower().removesuffix("'s")
    name = (not readings(word) and not set(words_of(word)) & DETERMINERS) or word in lexicon().names
    return text if name or (first.isupper() and len(first) > 1) else text[:1].lower() + text[1:]


def agreeing(words: str, plural: bool) -> str:
    """A verb phrase in its base form, for a third person: `smile and wave` as `smiles and waves`."""
    tokens = tokens_of(words)
    if not tokens:
        return ""
    made = [inflected(tokens[0].lower(), "VBP" if plural else "VBZ"), *tokens[1:]]
    families = lexicon().words
    for at in range(2, len(made)):
        word = made[at].lower()
        known = any(word in families[family] for family in _DOING)
        if not plural and made[at - 1] == "and" and verb_of(word) == word and ("NOUN" not in readings(word) or known):
            made[at] = inflected(word, "VBZ")
    return join(made)


def of_the_scene(text: str, scene: Scene) -> str:
    """`your hand` as his, hers or theirs; `us` is the camera."""
    text = re.sub(r"\b(?:me|us|you|the viewers?|the audience)\b", "the camera", text, flags=re.IGNORECASE)
    return re.sub(r"\b(?:your|my|our)\b", possessive(scene), text, flags=re.IGNORECASE)


def possessive(scene: Scene) -> str:
    """Of the scene's subject: his, her, its or their."""
    subject = scene.subject
    if not subject:
        return "the"
    if subject.plural:
        return "their"
    words = set(words_of(scene.text))
    families = lexicon().words
    if subject.head in families["women"] or (
        subject.head not in families["men"] and words & {"she", "her"} and not words & _HIS
    ):
        return "her"
    if subject.head in families["men"] or words & _HIS:
        return "his"
    return "its" if subject.kind in ("animal", "thing") else "their"


_HIS = frozenset({"he", "his", "him"})


def pronoun_of(scene: Scene) -> str:
    """For the scene's subject at the start of a sentence: He, She, It or They; empty where none is sure to fit."""
    subject = scene.subject
    if not subject or subject.kind == "place":
        return ""
    if subject.plural:
        return "They"
    return {"her": "She", "his": "He", "its": "It"}.get(possessive(scene), "")


def is_place(phrase: str) -> bool:
    """Whether a noun phrase names a place."""
    words = words_of(phrase)
    return kind_of(head_of(bare(phrase))) == "place" or any(kind_of(word) == "place" for word in words[-1:])


def is_subject(who: str, scene: Scene) -> bool:
    """Whether a phrase means whom the scene is about, or the scene as a whole."""
    if _WHOLE.fullmatch(who.strip()):
        return True
    if INDEFINITE.match(who) or not scene.subject:
        return False
    heads = lemmas(head_of(bare(who)))
    kinds = {kind for head in heads for kind in lexicon().synonyms.get(head, ())}
    return bool((heads | kinds) & lemmas(scene.subject.head))


_WHOLE = re.compile(
    rf"{PRONOUN}|us|everything|everyone|everybody|me|this|that|(?:the|this) (?:scene|action|story|camera|shot|whole "
    r"scene|whole thing|picture|video)|(?:it|them) all|(?:the )?(?:main )?(?:subject|character)",
    re.IGNORECASE,
)
