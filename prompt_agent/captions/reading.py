"""What a text says: of a scene, the values of its attributes; of a request, the values that it asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prompt_agent.captions.lexicon import LACKING, Lexicon, Meaning
from prompt_agent.captions.mentions import Mention, Sentence


@dataclass(frozen=True, slots=True)
class Reading:
    """What was made of a request.

    `asked`: values by attribute. `lacking`: what the world has not, as attribute and word. `kept`: attributes of which
    a value was to be taken away, and none takes its place. `unread`: the words that ask for something else.
    """

    asked: Mapping[str, str] = field(default_factory=dict)
    lacking: tuple[tuple[str, str], ...] = ()
    kept: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


def described(lexicon: Lexicon, text: str) -> dict[str, set[str]]:
    """Every value that a caption says, by attribute."""
    said: dict[str, set[str]] = {}
    for name, value in _values(lexicon, text):
        said.setdefault(name, set()).add(value)
    return said


def read_scene(lexicon: Lexicon, text: str) -> dict[str, str]:
    """The values of a scene: of two of the same attribute, the last."""
    return dict(_values(lexicon, text))


def read_request(lexicon: Lexicon, text: str, scene: Mapping[str, str], description: bool = False) -> Reading:
    """What a request asks of a scene; a `description` is of a scene of its own, with nothing that is there already."""
    sentence = Sentence(lexicon, text)
    if not description:
        sentence.mark_references()
    reading = _reading(lexicon, sentence, scene)
    if reading == Reading():  # "the ball": what it names is all that it can ask for
        for mention in sentence.mentions:
            mention.reference = False
        reading = _reading(lexicon, sentence, scene)
    return reading


def _values(lexicon: Lexicon, text: str) -> Iterator[tuple[str, str]]:
    sentence = Sentence(lexicon, text)
    said = set()
    for mention in sentence.mentions:
        # A wording of several attributes says one, as in a request; one of several values says none of them.
        name = max((meaning.attribute for meaning in mention.found.meanings), key=lexicon.order.index)
        values = [meaning.value for meaning in mention.found.meanings if meaning.attribute == name]
        if mention.counts and len(values) == 1 and values[0] != LACKING:
            said.add(name)
            yield name, values[0]
    for mention in sentence.mentions:
        if mention.negated and mention.attribute not in said and (value := _without(lexicon, mention)):
            yield mention.attribute, value


def _reading(lexicon: Lexicon, sentence: Sentence, scene: Mapping[str, str]) -> Reading:
    asked: dict[str, str] = {}
    lacking: list[tuple[str, str]] = []
    kept: list[str] = []
    unread = dict(sentence.unread)
    for mention in sentence.mentions:
        if mention.counts and not mention.lacking:
            asked.update(_chosen(lexicon, mention.found.meanings, scene))
    for mention in sentence.mentions:
        if mention.lacking and not mention.excluded:
            lacking.append((mention.attribute, mention.found.text))
            unread[mention.at] = mention.found.text
        elif mention.added or (mention.negated and mention.attribute not in asked and not _without(lexicon, mention)):
            kept.append(mention.attribute)
            unread[mention.at] = mention.found.text
        elif mention.negated and mention.attribute not in asked:
            asked[mention.attribute] = _without(lexicon, mention)
        elif mention.of_scenery:
            unread[mention.at] = mention.found.text
    if sentence.reverses:
        for opposite, value in lexicon.opposite.items():
            if opposite.attribute not in asked and scene.get(opposite.attribute) in (None, opposite.value):
                asked[opposite.attribute] = value
    ordered = {name: asked[name] for name in lexicon.order if name in asked}
    return Reading(ordered, tuple(lacking), tuple(kept), tuple(unread[at] for at in sorted(unread)))


def _chosen(lexicon: Lexicon, meanings: Sequence[Meaning], scene: Mapping[str, str]) -> dict[str, str]:
    """Of several meanings the first of the last attribute that it changes; if it changes none, what is so."""
    kept: dict[str, str] = {}
    for name in reversed(lexicon.order):
        values = [each.value for each in meanings if each.attribute == name and each.value != LACKING]
        if values and (now := scene.get(name)) not in values:
            return {name: values[0]}
        if values and now is not None:
            kept = kept or {name: now}
    return kept


def _without(lexicon: Lexicon, mention: Mention) -> str:
    """What is when the value is taken away; empty if nothing can be in its place."""
    return lexicon.without.get(mention.found.meanings[0], "")
