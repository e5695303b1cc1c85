"""What a video of a given length shows: its prompts, each from its time on, in seconds or in latent frames."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from longlive.config import ModelConfig
from longlive.errors import InputError

LONGEST = 10**12  # seconds or latent frames, whose number of frames a float still holds exactly


@dataclass(frozen=True)
class Seconds:
    """A length, or a time from the beginning, in seconds of video."""

    value: float

    def __str__(self) -> str:
        return f"{self.value:.10g} s"


@dataclass(frozen=True)
class Latents:
    """The same in latent frames, the reference's unit: the first `value` of a video give 1 + 4 (value - 1) frames."""

    value: int

    def __str__(self) -> str:
        return f"{Decimal(self.value):.13g} latent frames"


Time = Seconds | Latents


@dataclass(frozen=True)
class Switch:
    """A new prompt, in effect from the first chunk that starts at or after `at`."""

    at: Time
    prompt: str


@dataclass(frozen=True)
class Clip:
    """A video of `length` under a prompt, and under further ones as it goes on."""

    prompt: str
    length: Time
    switches: tuple[Switch, ...] = ()
    seed: int = 0


@dataclass(frozen=True)
class Schedule:
    """A clip in the terms of a model: `frames` pixel frames, and by the number of a chunk the prompt it begins with."""

    frames: int
    prompts: Mapping[int, str]


def schedule(
    config: ModelConfig, length: Time, switches: Sequence[Switch] = (), start: int = 0, *, whole: bool = False
) -> Schedule:
    """The next `length` of a video of which `start` chunks are made; times count from there.

    The last chunk is cut to fit unless it is to be `whole`. Of switches in seconds that are due at the same chunk the
    latest wins; of those in latent frames the later waits for the next chunk, as in the reference. Raises InputError
    for a length that cannot be or that the model's positions are too few for, for an empty prompt, and for a switch
    that the clip would not show.
    """
    grid = _Grid(config, start)
    if not 0 < length.value <= LONGEST:
        raise InputError(f"a clip cannot last {length}; give a number above 0, up to {LONGEST:.0e}")
    shown = grid.frame(length)
    end = max(1, round(shown))
    last = grid.chunk(end) - 1
    _require_positions(config, grid, last + 1)
    if outside := [switch.at for switch in switches if not (switch.at.value >= 0 and grid.frame(switch.at) < shown)]:
        raise InputError(f"a switch at {outside[0]} lies outside of the clip; give a time from 0 to below {length}")
    prompts: dict[int, str] = {}
    for switch in sorted(switches, key=lambda switch: grid.frame(switch.at)):
        require_prompt(switch.prompt)
        chunk = grid.chunk(grid.frame(switch.at))
        if isinstance(switch.at, Latents) and prompts:
            chunk = max(chunk, max(prompts) + 1)
        if chunk > last:
            raise InputError(
                f"a switch at {switch.at} comes after the clip's last chunk has begun and would not show; "
                f"give a time up to {grid.begin(last, switch.at)}, or a longer clip"
            )
        prompts[chunk] = switch.prompt
    return Schedule(round(grid.frame(grid.begin(last + 1, Latents(0)))) if whole else end, prompts)


def require_prompt(prompt: str) -> None:
    """Raises InputError for a prompt that says nothing."""
    if not prompt.strip():
        raise InputError("a prompt is empty; say what the video shows")


def _require_positions(config: ModelConfig, grid: _Grid, chunks: int) -> None:
    rollout = config.rollout
    possible = rollout.max_positions // rollout.chunk_frames
    if rollout.positions == "relative" or rollout.at_limit == "rebase" or chunks <= possible:
        return
    rest, seconds = grid.begin(possible, Latents(0)), grid.begin(possible, Seconds(0))
    shorter = f"ask for at most {rest}, {seconds}, or " if rest.value > 0 else ""
    raise InputError(
        f"the video would need {chunks * rollout.chunk_frames} latent frames, but the model's absolute positions end "
        f"at {rollout.max_positions}; {shorter}let it count anew there (at_limit: rebase)"
    )


class _Grid:
    """Where chunks lie. Frames here are pixel frames, counted from the beginning of chunk `start`, as all times are."""

    def __init__(self, config: ModelConfig, start: int) -> None:
        self._size = config.rollout.chunk_frames
        self._stride = config.vae.temporal_stride
        self._fps = config.fps
        self._start = start
        self._pixels = config.vae.frames
        self._made = self._pixels(start * self._size)

    def frame(self, at: Time) -> float:
        """Where a time points; for a length, how many frames it holds."""
        if isinstance(at, Latents):
            return self._pixels(self._start * self._size + at.value) - self._made
        return at.value * self._fps

    def chunk(self, frame: float) -> int:
        """The first chunk of the video that starts at or after a frame."""
        if (position := frame + self._made) <= 0:
            return 0
        return math.ceil((math.ceil((position - 1) / self._stride) + 1) / self._size)

    def begin(self, chunk: int, unit: Time) -> Time:
        """When a chunk begins, in the unit of a time."""
        latents = chunk * self._size
        if isinstance(unit, Latents):
            return Latents(latents - self._start * self._size)
        return Seconds((self._pixels(latents) - self._made) / self._fps)
