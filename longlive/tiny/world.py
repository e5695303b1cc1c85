"""What can be in the tiny world: a scene is one value of each attribute; a clip is scenes that follow one another."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import product

SIZE = 64  # pixels, height and width
FPS = 16

KINDS = ("ball", "cube", "pyramid", "donut")
COLOURS = ("red", "yellow", "green", "cyan", "blue", "pink")
MOTIONS = ("left", "right", "hops", "still")
PLACES = ("meadow", "desert", "sea", "city")
TIMES = ("day", "sunset", "night")
WEATHERS = ("clear", "rain", "snow")

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "kind": KINDS,
    "colour": COLOURS,
    "motion": MOTIONS,
    "place": PLACES,
    "time": TIMES,
    "weather": WEATHERS,
}

HELD_OUT_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Scene:
    """One combination of attribute values, for example a red ball that hops in the city on a rainy night."""

    kind: str
    colour: str
    motion: str
    place: str
    time: str
    weather: str

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) not in ATTRIBUTES[field.name]:
                raise ValueError(f"{field.name} must be one of {', '.join(ATTRIBUTES[field.name])}")

    def values(self) -> dict[str, str]:
        return {name: getattr(self, name) for name in ATTRIBUTES}

    def changed(self, other: Scene) -> tuple[str, ...]:
        """Names of the attributes in which the two scenes differ."""
        return tuple(name for name in ATTRIBUTES if getattr(self, name) != getattr(other, name))

    def held_out(self) -> bool:
        """Whether training must never see this combination: decided by a hash of its plain caption."""
        caption = f"a {self.colour} {self.kind} {self.motion} {self.place} {self.time} {self.weather}"
        digest = hashlib.blake2b(caption.encode(), digest_size=4).digest()
        return int.from_bytes(digest, "big") < HELD_OUT_SHARE * 2**32


@dataclass(frozen=True, slots=True)
class Clip:
    """A scene, and optionally another that replaces it from pixel frame `switch` on. `seed` draws the accidents."""

    scene: Scene
    seed: int
    after: Scene | None = None
    switch: int = 0


def all_scenes() -> Iterator[Scene]:
    for values in product(*ATTRIBUTES.values()):
        yield Scene(*values)


def draw_scene(rng: random.Random, held_out: bool = False) -> Scene:
    """A uniformly drawn scene from the training part of the world, or from the held-out part."""
    while True:
        scene = Scene(*(rng.choice(values) for values in ATTRIBUTES.values()))
        if scene.held_out() == held_out:
            return scene


def draw_change(rng: random.Random, scene: Scene, count: int, held_out: bool = False) -> Scene:
    """A scene that differs from `scene` in exactly `count` attributes."""
    while True:
        names = rng.sample(list(ATTRIBUTES), count)
        new = {name: rng.choice([v for v in ATTRIBUTES[name] if v != getattr(scene, name)]) for name in names}
        changed = Scene(**{**scene.values(), **new})
        if changed.held_out() == held_out:
            return changed
