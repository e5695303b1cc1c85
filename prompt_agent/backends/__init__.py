"""Who writes prompts: the seam between the agent and the language models that it may ask."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

from prompt_agent.expansion import Ask, Draft

Heard = Callable[[str], None]
"""Is called with the prompt as far as it is written, each time there is more of it."""


class Trouble(StrEnum):
    """What keeps a backend from answering; a label of metrics."""

    unreachable = "unreachable"
    starting = "starting"
    died = "died"
    wrong_key = "wrong-key"
    wrong_model = "wrong-model"
    overloaded = "overloaded"
    timeout = "timeout"
    refused = "refused"
    truncated = "truncated"
    malformed = "malformed"
    empty = "empty"

    @property
    def chance(self) -> bool:
        """Whether the same ask may well be answered a moment later."""
        return self not in (
            Trouble.starting,
            Trouble.died,
            Trouble.wrong_key,
            Trouble.wrong_model,
            Trouble.refused,
            Trouble.timeout,
        )

    @property
    def of_the_server(self) -> bool:
        """Whether it says that the server cannot serve, rather than that one answer was bad."""
        return self not in (
            Trouble.starting,  # which is said at once, as is
            Trouble.died,
            Trouble.refused,
            Trouble.truncated,
            Trouble.malformed,
            Trouble.empty,
        )


class BackendError(Exception):
    """A backend gave no answer; the message says why, and what an operator can do."""

    def __init__(self, trouble: Trouble, message: str) -> None:
        super().__init__(message)
        self.trouble = trouble


class Backend(Protocol):
    """Writes drafts. Any answer is judged afterwards, so it need not be right."""

    @property
    def name(self) -> str:
        """The `source` of its expansions."""
        ...

    async def write(self, ask: Ask, heard: Heard) -> Draft:
        """Raises BackendError. May take any time: the caller ends it."""
        ...
