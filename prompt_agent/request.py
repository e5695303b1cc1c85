"""What a viewer asks for, taken apart: changes one by one, and whether a change begins another scene."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby

from prompt_agent.cleaning import MAX_REQUEST, MOST_READ, clean_lines, shortened

MAX_CHANGES = 8


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the picture, in the viewer's words. `cut`: what the words name is a scene of its own."""

    text: str
    cut: bool = False

    @property
    def typed(self) -> str:
        """As a request of its own."""
        return f"cut to {self.text}" if self.cut else self.text


@dataclass(frozen=True, slots=True)
class Changes:
    """What a text asks for. `each`: the changes, in their order. `warnings`: what is left out of them; for people."""

    each: tuple[Change, ...]
    warnings: tuple[str, ...] = ()


_CUTS = re.compile(
    r"""^(?:and\s+|then\s+|now\s+)*(?:
        (?:please\s+)?(?:(?:hard|smash|jump|straight)[\s-]+)?cut\s+(?:away\s+|over\s+|back\s+)?(?:to|into)
        | (?:please\s+)?(?:switch|change)\s+(?:the\s+)?scene\s+to | (?:new|next|another)\s+(?:scene|shot)\s*[:,-]
        | scene\s+change\s*[:,-]
        | schnitt(?:\s+(?:auf|zu|nach)|\s*:) | corta\s+a | coupe[rz]?\s+(?:sur|vers) | 切(?:换)?到
    )\s*:?\s*(?=\S)""",
    re.VERBOSE | re.IGNORECASE,
)
# Words with which an instruction begins: where one stands behind "and" or a comma, another change begins.
_COMMANDS = (
    "make|let|have|add|put|place|give|bring|show|remove|delete|erase|drop|take away|get rid of|lose the|change|turn|"
    "switch|swap|replace|paint|color|colour|dye|zoom|pan|tilt|orbit|pull back|push in|cut to|stop the|start|begin|set|"
    r"(?:take|move|send|bring)\s+(?:it|him|her|them|us|the|this|that)"
)
_NEXT = re.compile(
    rf"""\s*(?:
        [.;!]+\s+(?:(?:then|next|after\s+that)\s*,?\s+)?
        | \s*[,;.]?\s+(?:and\s+)?(?:then[\s,]+|after\s+that[\s,]+|afterwards[\s,]+|next,\s*)
        | \s*[,;]?\s+and\s+(?:also\s+)?(?=(?:{_COMMANDS})\b)
        | ,\s+(?:also\s+)?(?=(?:{_COMMANDS})\b)
    )\s*""",
    re.VERBOSE | re.IGNORECASE,
)


def changes_of(text: str) -> Changes:
    """The first MAX_CHANGES changes that a request names; none where nothing is left of it once it is cleaned.

    A comma or "and" parts changes only before a word that begins an instruction: "a cat and a dog walk in" is one.
    """
    parts = (" ".join(clean_lines(part)).strip(_ENDS) for line in clean_lines(text) for part in _NEXT.split(line))
    said = (part for part in parts if not _LINKS.issuperset(re.findall(r"\w+", part.lower())))
    different = [part for part, _ in groupby(said)]  # somebody who says a thing twice means it once
    kept, others = different[:MAX_CHANGES], different[MAX_CHANGES:]
    warnings = [_CUT_SHORT.format(_end(shortened(part, MAX_REQUEST))) for part in kept if len(part) > MAX_REQUEST]
    if others:
        warnings.append(_TOO_MANY.format(_begin(others[0]), len(others)))
    if len(text) > MOST_READ:
        warnings.append(_TOO_LONG)
    return Changes(tuple(_change(shortened(part, MAX_REQUEST)) for part in kept), tuple(warnings))


_LINKS = frozenset({"and", "then", "also", "next", "after", "that", "afterwards", "but", "or", "plus"})


def changes_in(text: str) -> Changes:
    """As `changes_of`, of a text that is to change something: at least one, the whole text where it names none."""
    changes = changes_of(text)
    return changes if changes.each else Changes((Change(text),), changes.warnings)


_ENDS = " ,;.!"
_SHOWN = 40  # letters
_CUT_SHORT = f"A change has at most {MAX_REQUEST} letters: what comes behind {{!r}} is left out."
_TOO_MANY = f"A request has at most {MAX_CHANGES} changes: from {{!r}} on the rest, {{}}, is left out."
_TOO_LONG = f"A request has at most {MOST_READ} letters: what comes behind them is left out."


def _begin(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{shortened(text, _SHOWN)} ..."


def _end(text: str) -> str:
    return f"... {text[-_SHOWN:].partition(' ')[2] or text[-_SHOWN:]}"


def _change(text: str) -> Change:
    cut = _CUTS.match(text)
    return Change(text[cut.end() :], cut=True) if cut else Change(text)
