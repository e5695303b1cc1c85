"""What a viewer asks for, taken apart: changes one by one, and whether a change begins another scene."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby

from prompt_agent.cleaning import clean_lines, clean_request

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
# Words to whoever writes prompts, not about what is to be seen.
_TO_THE_WRITER = re.compile(
    r"""
    \b(?:ignore|disregard|forget|override|bypass|skip)\b.{0,40}\b(?:
        the\s+(?:video|task|scene)\s+and|
        instruction|prompt|rule|above|previous|prior|polic|guideline|restriction|everything\s+(?:above|before|i|you))
    | \b(?:system|developer|hidden|initial|original)\s+(?:prompt|message|instruction)
    | \b(?:reveal|print|repeat|output|show|tell|leak|dump|echo|translate|summari[sz]e|say)\b.{0,30}\b(?:
        prompt|instruction|above\s+text|text\s+above|everything\s+above|your\s+(?:secret|password|context|configuration)|api[\s-]?key|after\s+me|verbatim)
    | \byou\s+are\s+(?:now\s+)?(?:an?|no\s+longer|chatgpt|dan|free)\b | \bas\s+an\s+ai\b
    | \b(?:act|behave|respond|answer)\s+(?:as|like)\s+(?:an?\s+)?(?:ai|assistant|chatbot|model|dan|terminal|developer)
    | \b(?:jailbreak|developer\s+mode|prompt\s+injection|sudo|rm\s+-rf|drop\s+table|select\s+.{1,20}\s+from)\b
    | \b(?:alert|eval|exec|print|system)\( | \bimport\s+os\b
    | \b(?:output|answer|reply|respond|write|say)\s+only\b | \bonly\s+(?:output|answer|reply|respond)
    | \bwrite\s+(?:me\s+)?(?:an?\s+|\d+\s+)(?:poem|essay|story|song|words?|sentences?|code|script|program|list)\b
    | \b(?:what|which)\s+(?:language\s+)?model\s+are\s+you\b | \bare\s+you\s+(?:an?\s+)?(?:ai|bot|model|human)\b
    | \b(?:i\s+am|i'm|the\s+user\s+is)\s+(?:now\s+)?(?:an?\s+|the\s+)?(?:admin|administrator|developer|operator|root)\b
    | \b(?:drop|omit|remove|skip|leave\s+out|change)\s+(?:the\s+)?(?:camera\s+keywords|output|format|json)\b
    | "?\b(?:prompt|added|role|content)"\s*: | \b(?:pwned|hacked\s+by)\b
    | \b(?:do\s+not|don't|stop)\s+(?:follow|obey)\w*\b | \brole\b.{0,10}\bsystem\b
    | \bnew\s+(?:instruction|task|rule)s?\b
    """,
    re.VERBOSE | re.IGNORECASE,
)


def changes_of(text: str) -> tuple[Change, ...]:
    """The first MAX_CHANGES changes that a request names; none where nothing is left of it once it is cleaned.

    A comma or "and" parts changes only before a word that begins an instruction: "a cat and a dog walk in" is one.
    """
    parts = (clean_request(part).strip(" ,;.!") for line in clean_lines(text) for part in _NEXT.split(line))
    said = (part for part in parts if any(letter.isalnum() for letter in part))
    different = (part for part, _ in groupby(said))  # somebody who says a thing twice means it once
    return tuple(map(_change, different))[:MAX_CHANGES]


def speaks_to_the_writer(text: str) -> bool:
    """Whether the words are meant for whoever writes prompts ("ignore the rules"), not for what is to be seen."""
    return _TO_THE_WRITER.search(text) is not None


def _change(text: str) -> Change:
    cut = _CUTS.match(text)
    return Change(text[cut.end() :], cut=True) if cut else Change(text)
