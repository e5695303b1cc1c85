"""What the rules know of the world, read from a data file: states, camera wordings, families of words."""

from __future__ import annotations

import tomllib
from functools import cache, cached_property
from importlib import resources
from typing import Any

from pydantic import BaseModel, ConfigDict


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class State(_Entry):
    """A value of weather, time, light, season, style or mood; see the head of the data file for its fields."""

    name: str
    attribute: str
    ask: tuple[str, ...] = ()
    core: str = ""
    indoor: str = ""
    more: str = ""
    effects: tuple[str, ...] = ()
    effects_indoor: tuple[str, ...] = ()
    adjective: str = ""
    phrase: str = ""
    light: str = ""
    sky: str = ""
    adjectives: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    lights: tuple[str, ...] = ()
    skies: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    clashes: tuple[str, ...] = ()
    instead: dict[str, str] = {}

    @cached_property
    def says(self) -> tuple[str, ...]:
        """Every wording by which a text states it."""
        return (*self.adjectives, *self.phrases, *self.lights, *self.skies, *self.others)

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """The sentences that the rules themselves write for it."""
        return tuple(line for line in (self.core, self.indoor, self.more, *self.effects, *self.effects_indoor) if line)

    def wrote(self, text: str) -> bool:
        """Whether a sentence is one of its lines, or the first part of one."""
        return text in self.lines or any(line.startswith(f"{text.rstrip('.')},") for line in self.lines)


class CameraWording(_Entry):
    """What people say for a camera keyword, and which of the present keywords it replaces."""

    tail: str
    group: str
    ask: tuple[str, ...]
    say: str
    against: tuple[str, ...] = ()


class Opposites(_Entry):
    """Actions that undo each other where they are done to the same thing."""

    one: frozenset[str]
    other: frozenset[str]


class Lexicon(_Entry):
    """The whole data file."""

    states: dict[str, State]
    camera: tuple[CameraWording, ...]
    camera_classes: dict[str, frozenset[str]]
    grammar: dict[str, frozenset[str]]
    words: dict[str, frozenset[str]]
    frames: tuple[str, ...]
    inside: dict[str, frozenset[str]]
    appearing: dict[str, str]
    outcomes: dict[str, str]
    particles: dict[str, frozenset[str]]
    opposites: tuple[Opposites, ...]
    synonyms: dict[str, tuple[str, ...]]
    scrub: dict[str, str]
    spelling: dict[str, str]
    full_names: dict[str, str]
    details: dict[str, str]
    padding: dict[str, tuple[str, ...]]

    def undone_by(self, action: str) -> frozenset[str]:
        """The actions that one undoes: `close` undoes `open`."""
        return frozenset().union(
            *(each.other for each in self.opposites if action in each.one),
            *(each.one for each in self.opposites if action in each.other),
        )

    @cached_property
    def lines(self) -> frozenset[str]:
        """Every sentence that the rules write for a state."""
        return frozenset(line for state in self.states.values() for line in state.lines)

    @cached_property
    def names(self) -> frozenset[str]:
        """Words that have a capital wherever they stand."""
        return self.words["names"] | self.words["place_names"]

    @cached_property
    def effects(self) -> frozenset[str]:
        """Those of them that only say what follows."""
        states = self.states.values()
        return frozenset(line for state in states for line in (*state.effects, *state.effects_indoor))

    @cached_property
    def _clashes(self) -> dict[str, tuple[State, ...]]:
        return {name: self._clashing(name) for name in self.states}

    def clashing(self, name: str) -> tuple[State, ...]:
        """The states that cannot hold beside this one, either way round. Styles and moods exclude each other."""
        return self._clashes[name]

    def _clashing(self, name: str) -> tuple[State, ...]:
        state = self.states[name]
        return tuple(
            other
            for other in self.states.values()
            if other.name != name
            and (
                other.name in state.clashes
                or name in other.clashes
                or (state.attribute in _EXCLUSIVE and other.attribute == state.attribute)
            )
        )


_EXCLUSIVE = {"style", "mood", "season", "time"}


@cache
def lexicon() -> Lexicon:
    """The data file, read once."""
    data = tomllib.loads(_read("lexicon.toml"))
    frames = data["words"].pop("frames")
    return Lexicon(
        states={state["name"]: State(**_with_gray(state)) for state in data["state"]},
        camera=tuple(CameraWording(**each) for each in data["camera"]),
        camera_classes=data["camera_classes"],
        grammar=data["grammar"],
        words=data["words"],
        frames=tuple(sorted(frames, key=len, reverse=True)),
        inside=data["inside"],
        appearing=data["appearing"],
        outcomes=data["outcomes"],
        particles=data["particles"],
        opposites=tuple(Opposites(**each) for each in data["opposites"]),
        synonyms=data["synonyms"],
        scrub=data["scrub"],
        spelling=data["spelling"],
        full_names=data["full_names"],
        details=data["details"],
        padding=tomllib.loads(_read("padding.toml")),
    )


def _with_gray(state: dict[str, Any]) -> dict[str, Any]:
    """A state that is found in American spelling as well."""
    both = dict(state)
    for name in ("phrases", "lights", "skies", "others"):
        terms = state.get(name, [])
        both[name] = [*terms, *(term.replace("grey", "gray") for term in terms if "grey" in term)]
    instead = state.get("instead", {})
    both["instead"] = instead | {old.replace("grey", "gray"): new for old, new in instead.items() if "grey" in old}
    return both


def _read(name: str) -> str:
    return (resources.files("prompt_agent.paragraphs") / name).read_text(encoding="utf-8")
