"""A viewer's change of a scene as the rules understand it, and a scene with its change."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from prompt_agent.paragraphs.lexicon import CameraWording, State
from prompt_agent.paragraphs.phrases import head_of
from prompt_agent.paragraphs.scene import Scene


class Kind(StrEnum):
    """What is changed."""

    state = "state"  # weather, time, light, season, style, mood
    stop = "stop"  # the end of a state
    style = "style"  # one that no table names
    camera = "camera"
    remove = "remove"
    swap = "swap"
    look = "look"
    place = "place"
    add = "add"
    give = "give"
    act = "act"
    other = "other"


@dataclass(frozen=True, slots=True)
class Change:
    """One change, as the rules understand it.

    `thing`: the noun phrase that it is about, without an article; empty for the scene's subject. `words`: what is new:
    of a look the adjectives, of an act the verb with all that follows, of a place the phrase with its preposition, of
    an addition the phrase with its article. `where`: of an addition, the place that was asked for; of a camera change,
    what it is directed at. `also`: what was asked for in the same breath: `at night with all the lanterns lit`.
    """

    kind: Kind
    thing: str = ""
    words: str = ""
    where: str = ""
    states: tuple[State, ...] = ()
    cameras: tuple[CameraWording, ...] = ()
    also: Change | None = None

    @property
    def head(self) -> str:
        """The noun of `thing`."""
        return head_of(self.thing)


@dataclass(frozen=True, slots=True)
class Edit:
    """A scene with its change. `news`: the sentences that say it; `effects`: what follows from it, if there is room."""

    scene: Scene
    news: tuple[str, ...]
    added: str
    effects: tuple[str, ...] = ()
