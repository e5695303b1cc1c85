"""Which clips of a long video are supervised, and where its prompt switches: streaming long tuning (Algorithm 1)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class SupervisedClip:
    """Latent frames `frames`: the first `seen` of them belong to the clip before, and carry no gradient.

    `switched`: the video's second prompt is in force for the new frames.
    """

    frames: range
    seen: int = 0
    switched: bool = False

    @property
    def new(self) -> range:
        """The frames that this clip adds to the video."""
        return range(self.frames.start + self.seen, self.frames.stop)


@dataclass(frozen=True)
class Streaming:
    """Lengths in latent frames, whole chunks. `max_frames`: a video ends with the last whole clip within it."""

    clip_frames: int = 21
    overlap_frames: int = 3
    max_frames: int = 240
    chunk_frames: int = 3

    def __post_init__(self) -> None:
        for name in ("clip_frames", "overlap_frames"):
            if getattr(self, name) % self.chunk_frames or getattr(self, name) < 0:
                raise ValueError(f"{name} must be chunks of {self.chunk_frames} frames, not {getattr(self, name)}")
        if not self.overlap_frames < self.clip_frames <= self.max_frames:
            raise ValueError(
                f"a clip of {self.clip_frames} frames must be longer than its overlap, {self.overlap_frames}, and fit "
                f"into max_frames, {self.max_frames}"
            )

    @property
    def ends(self) -> Sequence[int]:
        """The frame behind each clip."""
        step = self.clip_frames - self.overlap_frames
        return range(self.clip_frames, self.max_frames + 1, step)

    def switches(self) -> Sequence[int]:
        """Where a prompt may switch: behind each clip but the last two, so that two clips follow it where there are."""
        return self.ends[:-2] or self.ends[:-1]

    def draw_switch(self, rng: random.Random) -> int | None:
        """A frame at which the prompt switches; None for a video of one clip."""
        return rng.choice(self.switches()) if self.switches() else None

    def clips(self, switch: int | None = None) -> list[SupervisedClip]:
        """The clips of one video in order. ValueError for a switch that no clip begins with."""
        if switch is not None and switch not in self.ends[:-1]:
            raise ValueError(f"no clip begins at frame {switch}; clips end at {', '.join(map(str, self.ends[:-1]))}")
        made = []
        for end in self.ends:
            seen = self.overlap_frames if end > self.clip_frames else 0
            clip = range(end - self.clip_frames, end)
            made.append(SupervisedClip(clip, seen, switch is not None and clip.start + seen >= switch))
        return made
