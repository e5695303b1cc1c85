"""One thing in place of another: `turn the dog into a cat`, `tea instead of coffee`."""

from __future__ import annotations

import re

from prompt_agent.paragraphs.change import Change, Edit, Kind
from prompt_agent.paragraphs.english import is_plural, join, lemmas, sentence, tokens_of
from prompt_agent.paragraphs.kinds import additions
from prompt_agent.paragraphs.kinds.removal import family
from prompt_agent.paragraphs.lexicon import lexicon
from prompt_agent.paragraphs.parts_of_speech import tags
from prompt_agent.paragraphs.phrases import INDEFINITE, PRONOUN, bare, head_of, is_place, is_subject, with_article
from prompt_agent.paragraphs.rewording import swap_noun
from prompt_agent.paragraphs.scene import Scene, mentions
from prompt_agent.validation import words_of

_SWAP = re.compile(
    r"^(?:(?:replace|swap|exchange|substitute|switch|trade)\s+(?P<a>.+?)\s+(?:with|by|for|to)|"
    r"(?:turn|change|transform|make|switch|convert|morph)\s+(?P<b>.+?)\s+into|"
    r"(?P<c>.+?)\s+(?:turns?|transforms?|changes?|morphs?)\s+into)\s+(?P<new>.+)$",
    re.IGNORECASE,
)
_INSTEAD = re.compile(
    r"^(?:(?:make (?:it|that)|add|put|use|show|have|i want) )?(?P<new>.+?)\s+(?:instead of|rather than)\s+(?P<a>.+)$",
    re.IGNORECASE,
)
_BECOMES = re.compile(
    rf"^(?:make|turn|let|have)\s+(?P<who>{PRONOUN}|this|(?:the|his|her|its)\s+[\w' -]+?)\s+(?:be\s+|become\s+|"
    rf"into\s+)?(?P<new>an?\s+.+)$",
    re.IGNORECASE,
)


def read(text: str, words: list[str], scene: Scene) -> Change | None:
    """`turn the dog into a cat`, `make it a white cat`."""
    found = _SWAP.match(text)
    if found:
        old, new = found["a"] or found["b"] or found["c"], found["new"]
    elif (found := _INSTEAD.match(text)) and not set(tags(tokens_of(found["new"]))) & set("VXG"):
        old, new = found["a"], found["new"]
    elif found := _BECOMES.match(text):
        old, new = found["who"], found["new"]
        if not is_subject(old, scene) and not mentions(scene.text, lemmas(head_of(bare(old)))):
            return None
    else:
        return None
    thing = "" if is_subject(old, scene) else bare(old)
    head = head_of(bare(new))
    known = lemmas(head) & lemmas(subject_head(scene))
    if set(words_of(old)) & lexicon().words["settings"] or (is_place(new) and is_subject(old, scene) and not known):
        return Change(Kind.place, words=new)
    same = head in ("one", "version") or lemmas(head) & lemmas(head_of(thing) if thing else subject_head(scene))
    modifiers = join([word for word, tag in _tagged(bare(new)) if tag != "N" or word.lower() != head])
    if same and modifiers and not re.search(r"\b(?:of|with|in|on)\b", new):
        return Change(Kind.look, thing=thing, words=modifiers)
    if all(tag in "AC" for tag in tags(tokens_of(new))) and not INDEFINITE.match(new):
        return Change(Kind.look, thing=thing, words=new)
    return Change(Kind.swap, thing=thing, words=new)


def subject_head(scene: Scene) -> str:
    return scene.subject.head if scene.subject else ""


def _tagged(phrase: str) -> list[tuple[str, str]]:
    tokens = tokens_of(phrase)
    return list(zip(tokens, tags(["the", *tokens])[1:], strict=True))


def edit(scene: Scene, change: Change) -> Edit:
    """One thing in another's place, by every name that the scene has for it."""
    head = change.head if change.thing else subject_head(scene)
    old = family(head)
    if not head or not mentions(scene.text, old):
        return additions.edit(scene, Change(Kind.add, thing=bare(change.words), words=with_article(change.words)))
    new = tokens_of(bare(change.words))
    sentences = [swap_noun(text, old, new, is_plural(new[-1])) for text in scene.sentences]
    made = scene.with_sentences(sentences)
    news = () if mentions(made.text, lemmas(new[-1])) else (sentence(f"{with_article(change.words)} is in clear view"),)
    return Edit(made, news, f"{with_article(change.words)} instead of the {head}")
