"""Which frames go through the transformer together, how noisy each is, what they attend to, and what is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class ForwardPass:
    """One forward over consecutive latent frames.

    `steps` holds each frame's denoising step, 0 for pure noise up to T - 1; the pass brings every frame to its next
    step, or where `after` says, and at T it is finished. In a pass of finished frames only what is stored counts.
    `store`, `past` and `sink` are as in `KVCache.begin`.
    """

    frames: range
    steps: tuple[int, ...]
    after: tuple[int, ...] | None = None
    store: bool = True
    past: int | None = None
    sink: bool = True


class RolloutPolicy(Protocol):
    """A pure function of the chunk number."""

    def passes(self, chunk: int) -> Sequence[ForwardPass]:
        """The passes after which the frames of `chunk` are finished; chunks are asked for in order, from 0."""
        ...


@dataclass(frozen=True)
class ChunkPolicy:
    """LongLive: a chunk goes through all steps by itself, then once more when clean, so that clean keys are kept."""

    chunk_frames: int
    steps: int

    def passes(self, chunk: int) -> Sequence[ForwardPass]:
        frames = range(chunk * self.chunk_frames, (chunk + 1) * self.chunk_frames)
        return [ForwardPass(frames, (step,) * self.chunk_frames) for step in range(self.steps + 1)]
