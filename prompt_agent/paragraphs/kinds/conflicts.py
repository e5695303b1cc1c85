"""What an action undoes, and which earlier action of the same actor it replaces."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from prompt_agent.paragraphs.english import join, lemmas, sentence, tokens_of, verb_of
from prompt_agent.paragraphs.kinds.removal import family
from prompt_agent.paragraphs.lexicon import lexicon
from prompt_agent.paragraphs.parts_of_speech import tags
from prompt_agent.paragraphs.phrases import bare, head_of, is_place
from prompt_agent.paragraphs.rewording import with_action
from prompt_agent.paragraphs.surgery import cut_out
from prompt_agent.validation import words_of

_TAKES_OFF = re.compile(
    r"^(?:take|pull|slip|throw)\s+(?:off\s+)?(?P<thing>(?:the|his|her|its|their)\s+.+?)(?:\s+off)?$"
)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: as a sentence names them; `heads`: the lemmas that find them."""

    name: str
    plural: bool
    heads: frozenset[str]


def _apart(text: str, actor: Actor) -> list[str]:
    """A sentence that was joined of two short actions of the actor, as the two."""
    start = sentence(actor.name).rstrip(".")
    found = re.match(rf"^({re.escape(start)}) ([^,]+) and (\w+s\b[^,]*)$", text) if text.startswith(start) else None
    if not found or not verb_of(found[3].split()[0].rstrip(".").lower()) or len(text.split()) > _JOINED:
        return [text]
    return [sentence(f"{found[1]} {found[2]}"), sentence(f"{found[1]} {found[3]}")]


_JOINED = 16


@dataclass(frozen=True, slots=True)
class _Deed:
    """What is done, as `put on`, and the lemmas of what it is done to: none where that is nothing."""

    action: str
    to: frozenset[str]


def _deed(words: str) -> _Deed:
    """Of a verb phrase: `puts a hat on` and `put on the hat` are the same."""
    tokens = tokens_of(words.rstrip(".!?").lower())
    verb, rest = verb_of(tokens[0]) if tokens else "", tokens[1:]
    action = verb
    particle = next((token for token in (*rest[:1], *rest[-1:]) if token in lexicon().particles.get(verb, ())), "")
    if particle:
        rest.remove(particle)
        action = f"{verb} {particle}"
    thing = head_of(bare(join(rest))) if rest else ""
    return _Deed(action, lemmas(thing) if thing else frozenset())


def without_undone(sentences: list[str], words: str, actor: Actor) -> list[str]:
    """Without the earlier actions of the actor that this one undoes: who closes an umbrella has it open no more."""
    deed = _deed(words)
    opposites = lexicon().undone_by(deed.action)
    if not opposites or not deed.to:
        return sentences
    start = sentence(actor.name).rstrip(".")
    out = sentences[:1]
    for text in sentences[1:]:
        pieces = _apart(text, actor)
        done = [_deed(piece.removeprefix(f"{start} ")) if piece.startswith(f"{start} ") else None for piece in pieces]
        kept = [
            piece
            for piece, each in zip(pieces, done, strict=True)
            if not (each and each.action in opposites and each.to & deed.to and len(piece.split()) <= _JOINED)
        ]
        out += [text] if len(kept) == len(pieces) else kept
    return out


def departs(words: str) -> bool:
    """Whether who does so is gone: `leaves`, `flies away`, but not `leaves a bag on the bench`."""
    tokens, departing = tokens_of(words.lower()), lexicon().words["departing"]
    if tokens[0] in departing:
        return len(tokens) < 2 or is_place(join(tokens[1:])) or tags(tokens)[1] != "D"
    return len(tokens) > 1 and tokens[1] in departing and lexicon().outcomes.get(" ".join(tokens[:2])) == ""


def without(sentences: list[str], actor: Actor) -> list[str]:
    """Without what is told of somebody; the first sentence only so far as something is left of it."""
    return _cut(sentences, actor.heads, range(len(sentences)))


def _cut(sentences: list[str], heads: frozenset[str], where: Sequence[int]) -> list[str]:
    """The sentences of these places without what the lemmas name; the first is never empty."""
    left = list(sentences)
    for place in where:
        cut = cut_out(sentences[place], lambda word: bool(lemmas(word) & heads), opening=not place)
        left[place] = cut if cut or place else sentences[0]
    return left


def undone(sentences: list[str], words: str, actor: Actor) -> list[str]:
    """Without what the action undoes: eyes are not closed that she opens, and who takes off a hat wears none."""
    if off := _TAKES_OFF.match(words):
        gone = family(head_of(bare(off["thing"])))
        if "off" in words.split():
            return _cut(sentences, gone, range(len(sentences)))
    deed = _deed(words)
    if deed.to and "hold" in lexicon().undone_by(deed.action):
        return _cut(sentences, deed.to, [place for place, text in enumerate(sentences) if _holds(text, place)])
    tokens = tokens_of(words)
    at = (
        2 if len(tokens) > 2 and tokens[1].lower() in ("the", "his", "her", "its", "their", "both", "one", "all") else 0
    )
    if not at:
        return sentences
    heads = lemmas(head_of(join(tokens[at:])))
    conditions = lexicon().words["conditions"] | lexicon().words["postures"]
    out = []
    for text in sentences:
        parts = tokens_of(text.lower())
        hit = next(
            (
                parts[place + 2]
                for place in range(len(parts) - 2)
                if lemmas(parts[place]) & heads and parts[place + 1] in ("is", "are") and parts[place + 2] in conditions
            ),
            "",
        )
        for condition in sorted(conditions):  # "with closed eyes"
            if not hit and any(a == condition and lemmas(b) & heads for a, b in pairwise(parts)):
                hit = condition
        out.append(cut_out(text, hit.__eq__) if hit else text)
    return [text or ("" if place else sentences[0]) for place, text in enumerate(out)]


def _holds(text: str, place: int) -> bool:
    """Whether somebody holds something; of the first sentence, what is said of it by the way: `carrying a bag`."""
    held = {token for token in words_of(text) if verb_of(token) in _HELD}
    return any(token.endswith("ing") for token in held) if place == 0 else bool(held)


_HELD = frozenset({"hold", "carry", "grip", "clutch", "clasp"})


def group_of(verb: str) -> str:
    words = lexicon().words
    if verb in words["momentary"]:
        return ""
    if verb in words["moving"] | words["resting"] | words["lively"]:
        return "body"
    return next((name for name in ("gazing", "expressing") if verb in words[name]), "")


def without_conflicts(sentences: list[str], group: str, words: str, actor: Actor) -> tuple[list[str], bool]:
    """The sentences with the earlier action of the same kind replaced in the first, and gone from the others."""
    out: list[str] = []
    replaced = False
    for place, text in enumerate(sentences):
        pieces = _apart(text, actor)
        other = [piece for piece in pieces if group_of(_base_verb(piece, actor)) != group]
        if len(pieces) > 1 and len(other) < len(pieces):
            out += other
            continue
        tokens = tokens_of(text)
        parts = tags(tokens)
        at = _verb_of_actor(tokens, parts, actor.heads, place > 0)
        if at < 0 or group_of(verb_of(tokens[at].lower())) != group:
            out.append(text)
            continue
        if place and len(tokens) <= 14 and "," not in tokens:
            continue  # a sentence that says this action alone
        if replaced:
            out.append(text)
            continue
        out.append(with_action(tokens, parts, at, words, actor.plural, group))
        replaced = True
    return out, replaced


ANOTHER = frozenset({"another", "other", "second", "third", "one"})


def _base_verb(text: str, actor: Actor) -> str:
    words = text[len(actor.name) :].split()
    return verb_of(words[0].strip(".").lower()) if words else ""


def _verb_of_actor(tokens: list[str], parts: list[str], heads: frozenset[str], start_only: bool) -> int:
    """Where the verb of the actor stands; -1 if they do nothing."""
    at = next((place for place, token in enumerate(tokens) if parts[place] == "N" and lemmas(token) & heads), -1)
    if at < 0 or (start_only and at > 5) or (start_only and ANOTHER & {token.lower() for token in tokens[:at]}):
        return -1
    for place in range(at + 1, min(len(tokens), at + 16)):
        if (
            parts[place] == "V"
            or (parts[place] == "G" and parts[place - 1] in "NX")
            or (parts[place] == "E" and parts[place - 1] == "N")
        ):
            return place
        if parts[place] == "M" and tokens[place] != ",":
            return -1
    return -1
