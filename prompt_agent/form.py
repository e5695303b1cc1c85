"""The seam between the agent and the families of prompts: what a paragraph is, what a caption is."""

from __future__ import annotations

from typing import Protocol

from prompt_agent.expansion import Ask, Draft
from prompt_agent.validation import Fault


class Form(Protocol):
    """How prompts of one family are written, judged, and asked for. Pure functions of what they are given."""

    def whole(self, text: str) -> bool:
        """Whether the text is a prompt by itself, rather than a change of one."""
        ...

    def write(self, ask: Ask) -> Draft:
        """By rules, the same each time. Raises NotUnderstood for a request that they make nothing of."""
        ...

    def faults(self, draft: Draft, ask: Ask) -> list[Fault]:
        """Why the draft is no answer to the ask; none if it is one."""
        ...

    def stock(self, ask: Ask) -> Draft:
        """A safe prompt that shows the scene as it is, whatever the scene and the request hold."""
        ...

    def instructions(self) -> str:
        """What a language model is told, the same for each ask."""
        ...

    def pattern(self) -> str:
        """A regular expression for a language model's answer, as `prompt_agent.answer.answer_pattern` gives it."""
        ...

    def suggest(self, scene: str, history: tuple[str, ...], count: int) -> list[str]:
        """Requests that a viewer may want next: none that is so already, no repetition of what was added."""
        ...
