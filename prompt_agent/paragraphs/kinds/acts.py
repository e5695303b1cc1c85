"""What somebody does: said of them by name; what they did instead, and what it undoes, goes."""

from __future__ import annotations

import re

from prompt_agent.paragraphs.change import Change, Edit, Kind
from prompt_agent.paragraphs.english import (
    CLOSED,
    inflected,
    is_plural,
    join,
    lemmas,
    readings,
    sentence,
    tokens_of,
    verb_of,
)
from prompt_agent.paragraphs.kinds.conflicts import (
    ANOTHER,
    Actor,
    departs,
    group_of,
    undone,
    without,
    without_conflicts,
    without_undone,
)
from prompt_agent.paragraphs.kinds.removal import family, named
from prompt_agent.paragraphs.lexicon import lexicon
from prompt_agent.paragraphs.parts_of_speech import tags
from prompt_agent.paragraphs.phrases import (
    INDEFINITE,
    PRONOUN,
    agreeing,
    bare,
    head_of,
    is_subject,
    of_the_scene,
    with_article,
)
from prompt_agent.paragraphs.scene import Scene, mentions
from prompt_agent.paragraphs.subject import kind_of
from prompt_agent.paragraphs.surgery import cut_out

_LET = re.compile(r"^(?:let|make|have|get|tell|cause|force|ask|order|show|see|watch)\s+(?P<rest>.+)$", re.IGNORECASE)
_STARTS = re.compile(
    r"^(?:(?:starts?|begins?|tries|try|wants?|goes|go|keeps?|decides?|needs?|has|have|comes?|gets?)\s+(?:to"
    r"\s+)?(?=\w+)|"
    r"(?:should|will|can|must|could|would|may|might|to|going to)\s+(?:be\s+)?|(?:is|are|be)\s+(?=\w+ing\b))",
    re.IGNORECASE,
)
_ON_FIRE = re.compile(r"^(?:set|light|put) (?:(?P<a>.+) (?:on fire|ablaze|alight)|fire to (?P<b>.+))$", re.IGNORECASE)


def read(text: str, words: list[str], scene: Scene) -> Change | None:
    """`he sits down`, `make her smile`, `look up`, `let the dog run`."""
    let = _LET.match(text)
    body = let["rest"] if let else text
    tokens = tokens_of(body)
    if not tokens:
        return None
    lower = [token.lower() for token in tokens]
    if re.fullmatch(PRONOUN, lower[0]) and len(tokens) > 1 and not (lower[0] == "her" and _owns(lower)):
        return _doing("", tokens[1:])
    verbs = _verbs()
    if fire := _ON_FIRE.match(text):
        return Change(Kind.act, thing=fire["a"] or fire["b"], words="be on fire")
    if happening := _happening(lower, tokens, scene):
        return happening
    order = lower[0] in lexicon().words["orders"] and (not scene.subject or lower[0] not in _BOTH)
    if not let and not order and (lower[0] in verbs or _is_imperative(lower)):
        return _doing("", tokens)
    end = _phrase_end(tokens, bool(let))
    if end and end < len(tokens):
        who = join(tokens[:end])
        if INDEFINITE.match(who) or (end == 1 and is_plural(lower[0]) and not mentions(scene.text, lemmas(lower[0]))):
            verb = _doing("", tokens[end:])
            where = agreeing(verb.words, is_plural(head_of(bare(who)))) if verb else ""
            return Change(Kind.add, thing=bare(who), words=who, where=where) if verb else None
        return _doing(who, tokens[end:])
    return None


def _happening(lower: list[str], tokens: list[str], scene: Scene) -> Change | None:
    """`open the door`, `flood the kitchen`, where nobody is there who would do it."""
    words = lexicon().words
    person = scene.subject is not None and scene.subject.kind == "person"
    if len(tokens) < 2 or lower[1] not in ("the", "his", "her", "its", "all"):
        return None
    if lower[0] in words["worldly"] and not (person and lower[0] in ("clean", "cover", "lock", "unlock")):
        return Change(Kind.act, thing=join(tokens[1:]), words=f"be {inflected(lower[0], 'VBN')}")
    return (
        Change(Kind.act, thing=join(tokens[1:]), words=lower[0])
        if lower[0] in words["ergative"] and not person
        else None
    )


_BOTH = frozenset({"turn", "move", "take", "switch", "draw", "paint"})  # orders, but also what somebody does


def _owns(lower: list[str]) -> bool:
    return len(lower) > 2 and "NOUN" in readings(lower[1]) and (verb_of(lower[2]) != "" or lower[2] in ("is", "are"))


def _verbs() -> frozenset[str]:
    words = lexicon().words
    return words["moving"] | words["resting"] | words["lively"] | words["gazing"] | words["expressing"] | words["acts"]


def _is_imperative(lower: list[str]) -> bool:
    first = lower[0]
    if first in CLOSED or verb_of(first) != first:
        return bool(verb_of(first)) and first.endswith("ing") and "NOUN" not in readings(first)
    if "NOUN" not in readings(first) and "ADJ" not in readings(first):
        return True
    return len(lower) > 1 and (lower[1] in CLOSED - {"and"} or lower[1].endswith("ly"))


def _phrase_end(tokens: list[str], let: bool) -> int:
    """Where the first noun phrase ends and its verb begins; 0 if there is none."""
    lower = [token.lower() for token in tokens]
    parts = tags(tokens)
    seen = False
    for place, (word, part) in enumerate(zip(lower, parts, strict=True)):
        last = place == len(parts) - 1
        if seen and part in "VX":
            return place
        if seen and (part == "G" or (part == "E" and (last or (not let and parts[place - 1] == "N")))):
            return place
        verb = verb_of(word) if seen else ""
        if verb and (
            (let and verb == word and (word in _verbs() or last or lower[place + 1] in CLOSED))
            or word in ("start", "starts", "begin", "begins")
            or (verb != word and word.endswith("s") and verb in _verbs())
            or (
                verb != word
                and word.endswith("s")
                and not last
                and lower[place + 1] in CLOSED
                and parts[place - 1] == "N"
            )
        ):
            return place
        if part == "N":
            seen = True
        elif part == "M":
            return 0
    return 0


def _doing(who: str, tokens: list[str]) -> Change | None:
    """What somebody does: the verb in its base form, and all that follows."""
    rest = join(tokens)
    shorter = _STARTS.sub("", rest)
    if shorter != rest and shorter and _is_verb(tokens_of(shorter)):
        rest = shorter
    tokens = tokens_of(rest)
    if not tokens:
        return None
    first = tokens[0].lower()
    at = 0
    while at + 1 < len(tokens) and tokens[at].lower().endswith("ly") and "VERB" not in readings(tokens[at].lower()):
        at += 1
    first = tokens[at].lower()
    verb = "be" if first in ("is", "are", "be") else "have" if first in ("has", "have") else verb_of(first)
    if not verb or (at and first in CLOSED):
        return None
    return Change(Kind.act, thing=who, words=join([verb, *tokens[at + 1 :], *tokens[:at]]))


def _is_verb(tokens: list[str]) -> bool:
    first = tokens[0].lower()
    if first.endswith("ly") and len(tokens) > 1:
        first = tokens[1].lower()
    return first in ("be", "have") or (bool(verb_of(first)) and first not in CLOSED)


def edit(scene: Scene, change: Change, added: str = "") -> Edit:
    """The action, by name of who does it."""
    actor = _actor(scene, change.thing)
    words = of_the_scene(change.words, scene)
    verb = tokens_of(words)[0].lower()
    if words == "stop" and kind_of(actor.name.split()[-1]) in ("person", "animal"):
        words = "stop and stand motionless"
    sentences = undone(without_undone(list(scene.sentences), words, actor), words, actor)
    if departs(words) and not ANOTHER & set(tokens_of(actor.name.lower())) and not is_subject(actor.name, scene):
        actor = _as_known(actor, scene)
        sentences = without(sentences, actor)
    said = sentence(f"{actor.name} {agreeing(words, actor.plural)}")
    name = said.rstrip(".")
    if not (scene.subject and scene.subject.proper):
        name = name[:1].lower() + name[1:]
    if stopped := re.match(r"^stop (\w+ing)\b", words):
        ended = verb_of(stopped[1])
        sentences = [cut_out(text, lambda word: verb_of(word) == ended) or text for text in sentences]
    elif group := group_of(verb):
        sentences, replaced = without_conflicts(sentences, group, words, actor)
        if replaced:
            at = next((place for place, text in enumerate(sentences) if place and text not in scene.sentences), 0)
            news = (sentences.pop(at),) if at else ()
            return Edit(scene.with_sentences(sentences), news, added or name)
    kept = [text for text in sentences if text != said]
    if len(kept) < len(sentences):
        said = sentence(said.rstrip(".") + ", lively and easy to see")
        kept = [text for text in kept if text != said]
    return Edit(scene.with_sentences(kept), (said,), added or name)


def _as_known(actor: Actor, scene: Scene) -> Actor:
    """`the dog` by the words that the scene has for it: `the small brown dog`."""
    known = named(scene, actor.heads)
    plain = re.fullmatch(r"the [\w-]+", actor.name, re.IGNORECASE)
    same = bool(known) and is_plural(known.split()[-1]) == actor.plural
    return Actor(f"the {known}", actor.plural, actor.heads) if plain and same else actor


def _actor(scene: Scene, thing: str) -> Actor:
    subject = scene.subject
    if thing:
        head = head_of(bare(thing))
        if not subject or _MANY.match(thing) or not is_subject(thing, scene):
            number, heads = is_plural(head), lemmas(head)
            if re.match(r"^(?:the|his|her|its|their|an?|this|that|all|everyone|everybody|one)\b", thing, re.IGNORECASE):
                return Actor(thing, number, heads)
            if thing[0].isupper() and not readings(thing.lower().split()[0]):
                return Actor(thing, False, heads)
            return Actor(f"the {thing}" if mentions(scene.text, heads) else with_article(thing), number, heads)
    if not subject:
        return Actor("somebody in view", False, frozenset({"somebody"}))
    return Actor(subject.reference, subject.plural, lemmas(subject.head) | _kinds(subject.head))


_MANY = re.compile(r"^(?:all|every|everyone|everybody|everything|one|nobody|somebody|something)\b", re.IGNORECASE)


def _kinds(head: str) -> frozenset[str]:
    """What an animal of this name is called as well: a retriever is a dog."""
    return family(head) & lexicon().words["animals"]
