"""What the prompt agent is asked, and what a good answer has: the cases of `prompt_cases.toml`, read strictly."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

CASES = Path(__file__).with_suffix(".toml")
LEAST = {"scenes": 12, "requests": 120, "languages": 4, "hostile": 30, "english requests of a kind": 5}
"""So many there must be, at least: with fewer the figures say little."""


class Kind(StrEnum):
    """What a request changes."""

    weather = "weather"
    time = "time"
    removal = "removal"
    action = "action"
    object = "object"
    looks = "looks"
    place = "place"
    style = "style"
    camera = "camera"
    cut = "cut"


def plain(text: str) -> str:
    """As wordings are compared: lower case, straight apostrophes, hyphens and line breaks as spaces."""
    return " ".join(re.sub(r"[-‐‑–—]", " ", text.lower().replace("’", "'")).split())


def finds(wording: str, text: str) -> bool:
    """Whether a plain text has a wording: at the start of a word; with a `$` at its end, up to the end of a word."""
    closed = r"(?![a-z0-9])" if wording.endswith("$") else ""
    return re.search(rf"(?<![a-z0-9]){re.escape(wording.removesuffix('$'))}{closed}", text) is not None


def _worded(wording: str) -> str:
    if not wording.removesuffix("$") or plain(wording) != wording:
        raise ValueError(f"{wording!r} is not as texts are compared: {plain(wording)!r}")
    return wording


Wording = Annotated[str, AfterValidator(_worded)]
Group = Annotated[tuple[Wording, ...], Field(min_length=1)]
"""Wordings of one thing: any of them says it."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Case(_Strict):
    """One request, and what the prompt for it must and must not have."""

    kind: Kind
    request: str = Field(min_length=1)
    language: str = Field("en", pattern="^[a-z]{2}$")
    reflects: tuple[Group, ...] = ()
    vanishes: tuple[Wording, ...] = ()
    loses: tuple[str, ...] = ()
    camera: tuple[Wording, ...] = ()

    @property
    def cut(self) -> bool:
        """Whether it begins a scene of its own."""
        return self.kind is Kind.cut

    @model_validator(mode="after")
    def _can_fail(self) -> Self:
        if not (self.reflects or self.vanishes or self.camera):
            raise ValueError(f"{self.request!r}: any answer would do")
        if self.camera and self.kind is not Kind.camera:
            raise ValueError(f"{self.request!r}: it has camera keywords, but is no change of the camera")
        return self


class Scene(_Strict):
    """A prompt as people have them, what must be kept of it, and what is asked of it."""

    name: str
    prompt: str
    camera: Group
    anchors: dict[str, Group] = Field(min_length=3, max_length=5)
    cases: tuple[Case, ...] = Field(min_length=8)
    held_out: bool = False

    @model_validator(mode="after")
    def _says_what_its_cases_need(self) -> Self:
        """Anchors and keywords are in the prompt, and what a case asks for is not."""
        text = plain(self.prompt)
        if not 80 <= (count := len(self.prompt.split())) <= 100:
            raise ValueError(f"{self.name}: its prompt has {count} words")
        absent = [name for name, group in self.anchors.items() if not any(finds(each, text) for each in group)]
        absent += [keyword for keyword in self.camera if not finds(keyword, text)]
        if absent:
            raise ValueError(f"{self.name}: its prompt lacks {', '.join(absent)}")
        for case in self.cases:
            if unknown := set(case.loses) - set(self.anchors):
                raise ValueError(f"{self.name}, {case.request!r}: no anchors {', '.join(sorted(unknown))}")
            if there := [each for group in case.reflects for each in group if finds(each, text)]:
                raise ValueError(f"{self.name}, {case.request!r}: the scene has {', '.join(there)} already")
            if not case.reflects and not case.camera and not any(finds(each, text) for each in case.vanishes):
                raise ValueError(f"{self.name}, {case.request!r}: the scene has nothing of what is to vanish")
        return self


class HostileCase(_Strict):
    """A request that is meant to do harm; none of `leaks` may be in the prompt, in upper or lower case."""

    scene: str
    request: str = Field(min_length=1)
    leaks: tuple[str, ...] = Field(min_length=1)
    repeat: int = Field(1, gt=0)

    @property
    def text(self) -> str:
        """What is sent."""
        return self.request * self.repeat


class CaseBook(_Strict):
    """All of them."""

    scenes: tuple[Scene, ...]
    hostile: tuple[HostileCase, ...]

    def scene(self, name: str) -> Scene:
        return next(scene for scene in self.scenes if scene.name == name)

    @model_validator(mode="after")
    def _covers(self) -> Self:
        names = [scene.name for scene in self.scenes]
        if len(set(names)) < len(names):
            raise ValueError("two scenes have one name")
        for each in self.hostile:
            if each.scene not in names:
                raise ValueError(f"{each.request!r}: there is no scene {each.scene!r}")
            if there := [leak for leak in each.leaks if leak.lower() in self.scene(each.scene).prompt.lower()]:
                raise ValueError(f"{each.request!r}: the scene {each.scene} has {', '.join(there)} itself")
        cases = [case for scene in self.scenes for case in scene.cases]
        kinds = Counter(case.kind for case in cases if case.language == "en")
        counts = {
            "scenes": len(self.scenes),
            "requests": len(cases),
            "languages": len({case.language for case in cases}),
            "hostile": len(self.hostile),
            "english requests of a kind": min(kinds[kind] for kind in Kind),
        }
        if few := [f"{name}: {counts[name]} of {least}" for name, least in LEAST.items() if counts[name] < least]:
            raise ValueError(f"too few: {', '.join(few)}")
        return self


def load_cases(path: Path = CASES) -> CaseBook:
    """Raises pydantic's ValidationError, which names the case that is wrong, or tomllib.TOMLDecodeError."""
    return CaseBook.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
