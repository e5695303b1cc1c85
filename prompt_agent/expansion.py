"""What the agent is asked, and what it answers. Plain data."""

from __future__ import annotations

from dataclasses import dataclass

MAX_HISTORY = 20
"""Changes; what was changed before that is in the scene, and may be asked for again."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One change of a scene. `scene`: the prompt in force. `request`: what the viewer wants, one change, cleaned.

    `history`: what was changed before, oldest first, as `Draft.added` named it. `cut`: the request names a new scene.
    """

    scene: str
    request: str
    history: tuple[str, ...] = ()
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """What a backend makes of an ask, not yet judged. `added` names the change in a few words.

    `left_out`: words of the request that the prompt says nothing of.
    """

    prompt: str
    added: str
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Expansion:
    """The prompt to go on with, which passed every check.

    `added` names the change. `source`: the backend that wrote it (`llm`, `rules`), or `stock`: the scene as it was.
    `latency`: seconds. `warnings`: what went wrong on the way, and what of the request is left out; for people.
    `cut`: a scene of its own, to be begun with a hard cut.
    """

    prompt: str
    added: str
    source: str
    latency: float
    warnings: tuple[str, ...] = ()
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Unwanted:
    """In place of an expansion: the safety hook refuses the text, and why."""

    reason: str


class NotUnderstood(Exception):
    """A backend makes nothing of this request; the message tells the viewer why, and what to say instead."""


class Refused(Exception):
    """The safety hook refuses the text; the message is the reason, for the viewer."""
