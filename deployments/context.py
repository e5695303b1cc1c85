"""What a video shows where a prompt takes hold, and what was changed of it before. Plain data."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from deployments.entries import PromptExpanded, PromptRequested
from prompt_agent.expansion import MAX_HISTORY

RAW = "raw"
"""Source of a prompt that is the text as it was."""


@dataclass(frozen=True)
class Context:
    """`scene` is the prompt in force; `changes` are what prompts have changed of it since it was a scene of its own,
    oldest first, at most MAX_HISTORY."""

    scene: str
    changes: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Two contexts have the same one only where they are equal."""
        return hashlib.blake2b(repr((self.scene, self.changes)).encode(), digest_size=12).hexdigest()

    def after(self, wording: PromptRequested, expanded: PromptExpanded | None) -> Context:
        """With a prompt in force as the video shows it; `expanded`: what was made of it, if anything was.

        A whole prompt is a scene of its own, and so is what somebody asks to cut to.
        """
        if expanded is None or expanded.source == RAW:
            return Context(wording.text)
        before = () if expanded.cut else self.changes
        added = (expanded.added,) if expanded.added else ()
        return Context(wording.text, (*before, *added)[-MAX_HISTORY:])
