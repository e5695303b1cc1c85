"""How a server holds the answers of its model to a pattern."""

from __future__ import annotations

from enum import StrEnum


class Dialect(StrEnum):
    """`vllm`: as `structured_outputs`. `none`: not at all; the model is only asked for it."""

    vllm = "vllm"
    none = "none"
