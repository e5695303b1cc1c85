"""Something goes: it, its synonyms and what hangs on it are not named any more."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache

from prompt_agent.expansion import NotUnderstood
from prompt_agent.paragraphs.change import Change, Edit, Kind
from prompt_agent.paragraphs.english import is_plural, join, lemmas, tokens_of
from prompt_agent.paragraphs.lexicon import lexicon
from prompt_agent.paragraphs.parts_of_speech import tags
from prompt_agent.paragraphs.phrases import PRONOUN, bare, is_subject
from prompt_agent.paragraphs.scene import Scene, has_pronoun, mentions, starts_with_pronoun
from prompt_agent.paragraphs.subject import find_subject
from prompt_agent.paragraphs.surgery import cut_out, setting_alone
from prompt_agent.validation import words_of

_FROM = (
    r"(?:\s+(?:from|out of|off)\s+(?:the\s+)?(?:scene|picture|image|video|view|frame|background|shot|here|there|way|"
    r"screen|place))?"
)
_OUT = r"(?:\s+(?:off|away|out|gone|disappear|vanish|go away|go|leave))?"
_REMOVE = re.compile(
    r"^(?:remove|delete|erase|get rid of|take away|take out|take off|take|clear away|clear out|clear|eliminate|lose|"
    r"no more|no|without|throw away|throw out|banish|cut out|stop showing|stop|hide|drop|ditch|scrap|omit|leave out|"
    r"skip|chase away|chase off|kick out|send away|wipe out|wipe away|dissolve|strip away|do away with|we don't need|"
    r"i don't want|i don't like|don't want|don't show|do not show|don't need|get|put away|there (?:is|are) no|"
    r"there (?:should|must) be no|i do not want|we do not need)\s+"
    rf"(?:(?:all|any|every|each)\s+(?:of\s+)?)?(?P<thing>.+?){_OUT}{_FROM}$",
    re.IGNORECASE,
)
_LEAVING = re.compile(
    rf"\s(?:off|away|out|gone|disappear|vanish|go away)(?:\s+of\s+(?:here|there|it|the \w+))?{_FROM}$", re.IGNORECASE
)
_VANISH = re.compile(
    r"^(?:make\s+|let\s+|have\s+)?(?P<thing>.+?)\s+(?:disappears?|vanish(?:es)?|goes? away|is gone|are gone|be gone|"
    r"has to go|have to go|must go|should go|should leave|needs? to go|should be gone|should disappear|"
    r"(?:is|are|gets?|should be|to be) (?:removed|deleted|erased|taken out|taken away))$",
    re.IGNORECASE,
)
_EMPTY = re.compile(r"^(?:empty|clear)\s+(?:the|this|his|her)\s+[\w -]+?(?:\s+of\s+(?P<thing>.+))?$", re.IGNORECASE)
_EVERYBODY = frozenset({"people", "person", "everyone", "everybody", "others", "crowd"})
_CROWDS = frozenset(
    [
        "people",
        "person",
        "pedestrians",
        "pedestrian",
        "bystanders",
        "crowd",
        "everyone",
        "everybody",
        "persons",
        "others",
        "shoppers",
        "shopper",
        "tourists",
        "customers",
        "guests",
        "spectators",
        "passersby",
        "visitors",
    ]
)


def read(text: str, words: list[str], scene: Scene) -> Change | None:
    """`remove the dog`, `get all the shoppers out of there`, `the dog should go`."""
    if emptied := _EMPTY.match(text):
        return Change(Kind.remove, thing=bare(emptied["thing"] or "people"))
    found = _REMOVE.match(text)
    if found and words[0] in ("take", "get", "clear") and words[:2] not in _WHOLE_VERBS:
        found = found if _LEAVING.search(text) else None
    if found and words[0] in ("drop", "hide", "skip") and not re.match(r"^\w+\s+(?:the|all|any|every)\b", text, re.I):
        found = None
    if found and words[0] == "no" and len(words) > 6:
        found = None
    if found and words[0] == "stop" and words[1:2] != ["showing"]:
        stopped = found["thing"]
        if re.match(r"^\w+ing\b", stopped):
            return Change(Kind.act, words=f"stop {stopped}")
        return Change(Kind.act, thing="" if is_subject(stopped, scene) else stopped, words="stop")
    found = found or _VANISH.match(text)
    if not found:
        return None
    thing = re.sub(r"\s+(?:of|from)$", "", found["thing"])
    if re.fullmatch(PRONOUN, thing, re.IGNORECASE):
        return Change(Kind.remove)
    return Change(Kind.remove, thing=bare(thing))


_WHOLE_VERBS = (["get", "rid"], ["take", "away"], ["take", "out"], ["take", "off"], ["clear", "away"], ["clear", "out"])


def edit(scene: Scene, change: Change) -> Edit:
    """The scene without the thing. Raises NotUnderstood if it is not there."""
    subject = scene.subject
    head = change.head if change.thing else (subject.head if subject else "")
    if not head:
        raise NotUnderstood("It is not clear what should be removed: name the thing, such as 'remove the dog'.")
    gone = family(head)
    crowd = head in _CROWDS or lemmas(head) & _CROWDS
    if crowd and head in _EVERYBODY:
        gone |= lexicon().words["persons"]
    if subject and (crowd or "other" in words_of(change.thing)):
        gone -= lemmas(subject.head)  # who asks for the people to go means the others
    if not mentions(scene.text, gone):
        verb = "are" if is_plural(head) else "is"
        raise NotUnderstood(
            f"There {verb} no {bare(change.thing).lower() or head} in the scene to remove: name something "
            f"that is in it."
        )
    if crowd:
        gone |= lexicon().words["crowding"]
    whole = bool(subject and lemmas(subject.head) & gone)
    name = _named(scene, head, gone) if change.thing else (subject.phrase if subject else head)
    made = _without(scene, gone, whole)
    left = made.sentences[0] if made.sentences else ""
    news: tuple[str, ...] = ()
    if whole:
        living = subject is not None and subject.kind in ("person", "animal")
        news = () if not living or _somebody(left) else ("The place is empty, quiet and open.",)
        made = replace(made, subject=find_subject(left))
    return Edit(made, news, f"the {name} {'are' if is_plural(name.split()[-1]) else 'is'} removed")


def _without(scene: Scene, gone: frozenset[str], whole: bool) -> Scene:
    def is_gone(word: str) -> bool:
        return bool(lemmas(word) & gone)

    subject = scene.subject
    sentences: list[str] = []
    behind = False  # whether the sentence before was about what goes
    for place, text in enumerate(scene.sentences):
        left = text
        if mentions(text, gone):
            left = cut_out(text, is_gone, opening=_brings_in(scene.sentences, place))
        if left == text and has_pronoun(text) and starts_with_pronoun(text) and (behind or (whole and place)):
            left = ""
        elif whole and left and has_pronoun(left) and not (subject and subject.plural):
            left = "" if place else left
        behind = left != text and not left
        sentences.append(left)
    if sentences and not sentences[0]:
        sentences[0] = setting_alone(scene.sentences[0], lambda text: cut_out(text, is_gone))
        if whole:
            sentences[1:] = [text for text in sentences[1:] if text and not has_pronoun(text)]
    return scene.with_sentences(sentences)


@lru_cache(256)
def _brings_in(sentences: tuple[str, ...], place: int) -> bool:
    """Whether no other sentence names whom this one is about."""
    if not place or starts_with_pronoun(sentences[place]):
        return not place
    about = find_subject(sentences[place])
    others = sentences[:place] + sentences[place + 1 :]
    return about is not None and not any(mentions(text, lemmas(about.head)) for text in others)


def _somebody(text: str) -> bool:
    found = find_subject(text)
    return bool(found and found.kind in ("person", "animal"))


def family(head: str) -> frozenset[str]:
    """The lemmas of a noun, its synonyms and its kinds; of an animal also what its kind is called."""
    base = lemmas(head)
    table = lexicon().synonyms
    base |= {kind for kind in lexicon().words["animals"] if base & set(table.get(kind, ()))} - {"bird", "fish"}
    return base | {word for form in base for word in table.get(form, ())} - {"glasse"}


def _named(scene: Scene, head: str, gone: frozenset[str]) -> str:
    """A thing by the words that the scene has for it, with its adjectives."""
    for text in scene.sentences:
        tokens = tokens_of(text)
        parts = tags(tokens)
        for place, token in enumerate(tokens):
            if lemmas(token) & gone and parts[place] == "N":
                start = place
                while start > 0 and parts[start - 1] in "AN":
                    start -= 1
                while place + 1 < len(tokens) and parts[place + 1] == "N":
                    place += 1
                return join(tokens[start : place + 1]).lower()
    return head


def named(scene: Scene, heads: frozenset[str]) -> str:
    """A thing as the scene names it, without an article; empty if it does not."""
    return _named(scene, "", heads)
