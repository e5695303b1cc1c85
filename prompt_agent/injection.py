"""Prompt injection: words that are meant for whoever writes prompts, not for what is to be seen."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib import resources


def speaks_to_the_writer(text: str) -> bool:
    """Whether the words are about the writer's instructions, its answers or itself: "ignore your rules".

    An order about what is to be seen is none, whatever its words: "forget the rules" may be about a sign.
    """
    return _shapes().search(" ".join(text.split())) is not None


@cache
def _shapes() -> re.Pattern[str]:
    table = tomllib.loads((resources.files("prompt_agent") / "injection.toml").read_text(encoding="utf-8"))
    words = {name: rf"\b(?:{'|'.join(each)})\b" for name, each in table["words"].items()}
    order = rf"(?:^|[.!?:;,] ?|\b(?:{'|'.join(table['before_orders'])}) )"
    shapes = ("".join(map(str.strip, shape.splitlines())) for group in table["shapes"].values() for shape in group)
    return re.compile("|".join(shape.format(order=order, **words) for shape in shapes), re.IGNORECASE)
