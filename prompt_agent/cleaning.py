"""What a user typed, as data: without what a language model, a template or a terminal would take for its own."""

from __future__ import annotations

import re
import unicodedata

MAX_REQUEST = 300  # characters: a sentence, not a story
MAX_SCENE = 2000
_READ = 8  # times as much as is kept: markers go, but a text can be of any length
MOST_READ = _READ * MAX_REQUEST  # characters of a request, of several changes and with its markers

# Tags and control tokens of every chat template have one of these shapes; what stands between them is text and stays.
_MARKERS = re.compile(
    r"""
    <\|(?:im_start|start_header_id)\|>\s*(?:system|user|assistant|tool)?\b | <\|[^<>|]{0,40}\|>
    | <{1,2}/?[A-Za-z_!?][^<>]{0,80}>{1,2}   # <s>, </OUTPUT>, <<SYS>>, <img src=...>
    | \[/?(?:INST|SYS|SYSTEM|USER|ASSISTANT|TOOL_CALLS|AVAILABLE_TOOLS|BOS|EOS|CLS|SEP|MASK)\]
    | \{\{.{0,80}?\}\} | \{%.{0,80}?%\} | \$\{.{0,80}?\}  # templates
    | (?:https?|ftp|file|data|javascript):\S+ | www\.\S+
    | ```\w*
    | ^\#{2,}[ ]*(?:system|user|assistant|human|instructions?|response|input)\b\s*:?
    | (?:^|(?<=[.!?;\n])|(?<=[.!?;][ ]))(?:system|user|assistant|human|developer|tool)[ ]?:
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-Z\\-_])")  # what moves a terminal's cursor, ECMA-48
_PASSES = 3
_QUOTES = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "`": "'"})
_LEFT_OVER = re.compile(r"[<>{}\[\]|\\^~#*_=@$]+")


def clean_request(text: str) -> str:
    """One line of at most MAX_REQUEST characters, which no chat template, tag or terminal reads as its own."""
    return shortened(" ".join(clean_lines(text)), MAX_REQUEST)


def clean_lines(text: str) -> list[str]:
    """The lines of the first MOST_READ characters of a request that hold something, each of them clean."""
    return [line for line in map(_line, _without_markers(text, MAX_REQUEST).splitlines()) if line]


def clean_scene(text: str) -> str:
    """One clean line of at most MAX_SCENE characters."""
    return shortened(_line(_without_markers(text, MAX_SCENE)), MAX_SCENE)


def shortened(text: str, most: int) -> str:
    """As much of it as `most` characters hold, up to a whole word."""
    if len(text) <= most:
        return text
    return text[:most].rpartition(" ")[0] or text[:most]


def _without_markers(text: str, most: int) -> str:
    text = _ESCAPES.sub(" ", text[: _READ * most])
    text = "".join(map(_plain, unicodedata.normalize("NFKC", text)))
    for _ in range(_PASSES):  # a marker may be left where one was taken out of its middle
        lines = (" ".join(line.split()) for line in text.split("\n"))
        text = _MARKERS.sub(" ", "\n".join(line for line in lines if line))
    return text


def _line(text: str) -> str:
    return " ".join(_LEFT_OVER.sub(" ", text.translate(_QUOTES)).split())


def _plain(letter: str) -> str:
    """The letter; nothing for what is not seen, or only drawn over letters; a blank for control characters."""
    if "\u0300" <= letter <= "\u036f":  # marks that make no letter with the one before
        return ""
    category = unicodedata.category(letter)
    if category == "Cc":
        return "\n" if letter in "\n\r" else " "
    return "" if category[0] == "C" else letter
