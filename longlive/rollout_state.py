"""What a roll-out is made of, save for its keys and values: from it another process computes these anew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from longlive.config import SinkPolicy
from longlive.switch import MemoryAction


@dataclass(frozen=True)
class Sink:
    """The latents [B, frames, C, H, W] in the sink, the first of them frame `first` at time position `position`.

    `exact`: its keys and values follow from these latents alone, so that they can be computed anew. They do not after
    a recache that rewrote the sink together with frames that have left the window since, nor in a sink longer than a
    chunk: of later chunks the cache keeps in the sink what their first, noisy pass wrote.
    """

    first: int
    position: int
    latents: Tensor
    exact: bool = True

    @property
    def frames(self) -> range:
        return range(self.first, self.first + self.latents.shape[1])


@dataclass(frozen=True, eq=False)
class CleanPass:
    """A forward over clean latents whose keys and values were stored: of a finished chunk, or of a recache."""

    frames: range
    prompt: Tensor


@dataclass(frozen=True)
class Coming:
    """A step of a prompt switch that takes effect with a later chunk: `share` of the way from a prompt to another."""

    chunk: int
    old: Tensor
    new: Tensor
    share: float
    memory: MemoryAction
    sink: SinkPolicy | None


@dataclass(frozen=True)
class RolloutState:
    """A roll-out between two chunks. `latents` [B, n, C, H, W] are the newest, as many as the window holds.

    `passes` are, in order, those from which the window's keys and values follow. Prompts are embeddings [B, L, dim].
    """

    policy: str
    seed: int
    chunk: int
    prompt: Tensor
    latents: Tensor
    sink: Sink | None
    passes: tuple[CleanPass, ...]
    coming: tuple[Coming, ...]
    origin: int
    offset: int


class PassLog:
    """Which passes made the keys and values that the window holds, and what is in its sink."""

    def __init__(self, sink_frames: int) -> None:
        self.passes: list[CleanPass] = []
        self.sink: Sink | None = None
        self._sink_frames = sink_frames

    def clear(self) -> None:
        self.passes, self.sink = [], None

    def resume(self, passes: Iterable[CleanPass], sink: Sink | None) -> None:
        """Go on where another log stood."""
        self.passes, self.sink = list(passes), sink

    def add(self, made: CleanPass, held: range) -> None:
        """A pass that wrote all of its frames; `held` are the frames whose latents are kept."""
        earlier = (_part(old, range(old.frames.start, made.frames.start)) for old in self.passes)
        self.passes = [*(old for old in earlier if old.frames), made]
        self._trim(held)

    def fill_sink(self, latents: Tensor, first: int, position: int) -> None:
        """New frames from `first` on; they belong to the sink as long as it has room."""
        held = self.sink.latents.shape[1] if self.sink else 0
        if held >= self._sink_frames:
            return
        # A copy: who made the latents may go on to work in them.
        more = latents[:, : self._sink_frames - held].clone()
        if self.sink is None:
            self.sink = Sink(first, position, more)
        else:
            self.sink = replace(self.sink, latents=torch.cat((self.sink.latents, more), dim=1), exact=False)

    def replace_sink(self, latents: Tensor, first: int, position: int) -> None:
        """The whole cache is about to be written anew, with these frames of the window."""
        self.clear()
        self.fill_sink(latents, first, position)

    def _trim(self, held: range) -> None:
        """Drop what cannot be computed any more: frames that are neither held nor in the sink."""
        kept: list[CleanPass] = []
        for old in self.passes:
            parts = list(self._parts(old, held))
            kept += parts
            if self.sink and parts != [old] and old.frames.start in self.sink.frames:
                self.sink = replace(self.sink, exact=False)
        self.passes = kept

    def _parts(self, old: CleanPass, held: range) -> Iterator[CleanPass]:
        if old.frames.start in held:
            yield old
            return
        sink = self.sink.frames if self.sink else range(0)
        for frames in (range(sink.start, min(sink.stop, held.start)), held):
            if (part := _part(old, frames)).frames:
                yield part


def _part(old: CleanPass, frames: range) -> CleanPass:
    both = range(max(old.frames.start, frames.start), min(old.frames.stop, frames.stop))
    return old if both == old.frames else CleanPass(both, old.prompt)


def latents_of(frames: range, sink: Sink | None, newest: Tensor, end: int) -> Tensor:
    """The latents of a pass that `PassLog` kept; `newest` end with frame `end` - 1."""
    start = end - newest.shape[1]
    if frames.start >= start:
        return newest[:, frames.start - start : frames.stop - start]
    assert sink is not None, "a pass over frames that are gone"
    return sink.latents[:, frames.start - sink.first : frames.stop - sink.first]
