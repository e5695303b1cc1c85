"""How a new prompt takes hold: a mode says, for the next chunks in order, what they read and what they remember."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from longlive.config import SinkPolicy
from longlive.errors import InputError

SwitchName = Literal["recache", "keep", "clear", "blend"]
MemoryAction = Literal["rebuild", "leave", "forget"]


@dataclass(frozen=True)
class SwitchStep:
    """Before one chunk: the share of the new prompt in what it reads, and what becomes of the keys and values.

    `rebuild` is a recache under what is read now, with the sink as `sink` says (None: as the roll-out is configured).
    """

    share: float
    memory: MemoryAction
    sink: SinkPolicy | None = None


class SwitchMode(Protocol):
    def steps(self) -> Sequence[SwitchStep]:
        """One step for each of the next chunks; from the last one on the share of the new prompt is 1."""
        ...


@dataclass(frozen=True)
class Recache:
    """LongLive's switch: the next chunk follows the new prompt, and the picture goes on (paper, section 3.1)."""

    sink: SinkPolicy | None = None

    def steps(self) -> Sequence[SwitchStep]:
        return (SwitchStep(1.0, "rebuild", self.sink),)


@dataclass(frozen=True)
class Keep:
    """The keys and values stay as they are: the old prompt lingers until they have left the window."""

    def steps(self) -> Sequence[SwitchStep]:
        return (SwitchStep(1.0, "leave"),)


@dataclass(frozen=True)
class Clear:
    """A hard cut: everything is forgotten, and the next frames become the sink."""

    def steps(self) -> Sequence[SwitchStep]:
        return (SwitchStep(1.0, "forget"),)


@dataclass(frozen=True)
class Blend:
    """From the old prompt's embeddings to the new one's in equal steps over `chunks` chunks, each with a recache."""

    chunks: int = 4
    sink: SinkPolicy | None = None

    def __post_init__(self) -> None:
        if self.chunks < 1:
            raise ValueError(f"a blend takes at least one chunk, not {self.chunks}")

    def steps(self) -> Sequence[SwitchStep]:
        return [SwitchStep(step / self.chunks, "rebuild", self.sink) for step in range(1, self.chunks + 1)]


MODES: Mapping[SwitchName, SwitchMode] = MappingProxyType(
    {"recache": Recache(), "keep": Keep(), "clear": Clear(), "blend": Blend()}
)


def switch_mode(mode: SwitchMode | SwitchName) -> SwitchMode:
    """The mode itself, or the one with that name. InputError if there is none."""
    if not isinstance(mode, str):
        return mode
    if mode not in MODES:
        raise InputError(f"there is no switch mode '{mode}'; take one of {', '.join(MODES)}")
    return MODES[mode]


def blend(old: Tensor, new: Tensor, share: float) -> Tensor:
    """Embeddings [B, L, dim] that are `share` of the way from `old` to `new`; absent rows count as zeros."""
    if share == 1:
        return new
    rows = max(old.shape[1], new.shape[1])
    start, end = (F.pad(part.float(), (0, 0, 0, rows - part.shape[1])) for part in (old.to(new.device), new))
    return torch.lerp(start, end, share).to(new.dtype)
