"""The values that a text names, each marked: taken away, left aside, or said of something else."""

from __future__ import annotations

from dataclasses import dataclass

from prompt_agent.captions.lexicon import LACKING, Found, Lexicon, Role
from prompt_agent.captions.sentence import VERB

_CONNECTIVES = frozenset((Role.link, Role.towards, Role.copula, Role.location, Role.conjunction))


@dataclass(slots=True)
class Mention:
    """A phrase that says a value, `at` this place of the text, and what the words about it do to it."""

    found: Found
    at: int
    negated: bool = False
    excluded: bool = False
    added: bool = False
    reference: bool = False
    of_scenery: bool = False

    @property
    def counts(self) -> bool:
        """Whether its value is what shall be."""
        return not (self.negated or self.excluded or self.added or self.reference or self.of_scenery)

    @property
    def lacking(self) -> bool:
        return all(meaning.value == LACKING for meaning in self.found.meanings)

    @property
    def attribute(self) -> str:
        """That of its first meaning."""
        return self.found.meanings[0].attribute


@dataclass(slots=True)
class _Clause:
    """What was said in a clause so far that bears on what follows.

    `joined`: the attribute of what was taken away, while "or" may take away more of it.
    """

    negating: bool = False
    excluding: bool = False
    adding: bool = False
    joined: str | None = None


class Sentence:
    """A text's mentions, marked. `reverses`: it asks to turn around. `unread`: words without any meaning, by place."""

    def __init__(self, lexicon: Lexicon, text: str) -> None:
        self.mentions: list[Mention] = []
        self.reverses = False
        self.unread: dict[int, str] = {}
        self._lexicon = lexicon
        self._found = lexicon.find(text)
        self._mark()
        self._mark_scenery()

    def _mark(self) -> None:
        clause = _Clause()
        for at, found in enumerate(self._found):
            if found.end:
                clause = _Clause()
            elif Role.ending in found.roles and self._ends(at):
                continue
            elif Role.negation in found.roles and self._takes_away(at):
                clause.negating = not clause.negating
            elif found.meanings:
                self._mention(at, found, clause)
            elif Role.exclusion in found.roles:
                clause.excluding = True
            elif Role.reversal in found.roles:
                self.reverses = True
            elif Role.conjunction not in found.roles:
                clause.joined = None
                clause.adding |= Role.addition in found.roles
                if not found.roles & _CONNECTIVES:
                    self.unread[at] = found.text
                    clause.negating = clause.excluding = False

    def _mention(self, at: int, found: Found, clause: _Clause) -> None:
        mention = Mention(found, at, excluded=clause.excluding, added=clause.adding and found.says("kind"))
        mention.negated = clause.negating or (clause.joined is not None and found.says(clause.joined))
        self.mentions.append(mention)
        # Verbs are not joined: in "stop going right and hop", hopping is what shall be.
        clause.joined = mention.attribute if mention.negated and not found.says(VERB) else None
        clause.adding = clause.adding and found.says("colour")
        clause.negating = clause.excluding = False

    def _ends(self, at: int) -> bool:
        """Whether an ending takes away what stands before it: if so, that is marked."""
        if self._object_of(at) is not None:
            return False
        last: Mention | None = None
        for mention in reversed(self.mentions):
            between = self._found[mention.at + 1 : last.at if last else at]
            joined = last is not None and mention.found.says(last.attribute)
            if not (last is None or joined) or not self._removable(mention.found):
                break
            if not all(_binds(each, joined) for each in between):
                break
            mention.negated, last = True, mention
        return last is not None

    def _takes_away(self, at: int) -> bool:
        """Whether a negation that has a meaning of its own ("stop") has something to take away behind it."""
        if not self._found[at].meanings:
            return True
        target = self._object_of(at)
        return target is not None and (not target.meanings or self._removable(target))

    def _object_of(self, at: int) -> Found | None:
        """What follows with a meaning, or without any in English, unless words of place or "and" are between."""
        for found in self._found[at + 1 :]:
            if found.meanings or not (found.roles or found.end):
                return found
            if found.end or not found.roles <= {Role.link, Role.exclusion, Role.towards, Role.copula}:
                return None
        return None

    def _removable(self, found: Found) -> bool:
        return any(meaning in self._lexicon.without for meaning in found.meanings)

    def _mark_scenery(self) -> None:
        """The looks of a thing of the scenery are not the subject's: "the sky turns red", "a red sky"."""
        for mention in self.mentions:
            if not mention.found.says("colour"):
                continue
            after = self._found[mention.at + 1]
            if Role.scenery in after.roles:
                mention.of_scenery = True  # the thing itself may be asked for: "go to a green field"
            elif not after.says("kind") and (thing := self._scenery_before(mention.at)) is not None:
                self._set_of_scenery(mention.at, thing)

    def _scenery_before(self, at: int) -> int | None:
        """The place of the thing of which a colour here says the looks: "make the sky red", but "in the city red"."""
        thing = at - 1
        while thing >= 0 and Role.copula in self._found[thing].roles:
            thing -= 1
        if thing < 0 or Role.scenery not in self._found[thing].roles:
            return None
        named = self._found[thing].definite or thing < at - 1 or not self._found[thing].meanings
        placed = thing > 0 and Role.location in self._found[thing - 1].roles
        return thing if named and not placed else None

    def _set_of_scenery(self, *places: int) -> None:
        for mention in self.mentions:
            mention.of_scenery |= mention.at in places

    def mark_references(self) -> None:
        """ "The red ball" names what is there, unless it is what something turns into."""
        for mention in self.mentions:
            if not mention.found.says("kind") and self._found[mention.at + 1].text not in ("one", "thing"):
                continue
            first = mention.at
            while first > 0 and self._found[first - 1].says("colour"):
                first -= 1
            named = self._found[first]
            before = self._found[first - 1] if first > 0 else None
            if named.definite and not (before and Role.towards in before.roles):
                for each in self.mentions:
                    each.reference |= first <= each.at <= mention.at


def _binds(found: Found, joined: bool) -> bool:
    """Whether it may stand between a thing and its ending, or (`joined`) between two things of one ending."""
    return Role.link in found.roles or (joined and Role.conjunction in found.roles)
