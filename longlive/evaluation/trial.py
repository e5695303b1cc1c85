"""One video of held-out scenes, made as the service makes it: a function of the model, the seed and the script."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from longlive.config import ModelConfig
from longlive.errors import InputError
from longlive.model import Model
from longlive.stream import VideoStream
from longlive.switch import SwitchName
from longlive.tiny.captions import full_caption
from longlive.tiny.readouts import matches
from longlive.tiny.world import FPS, SIZE, Scene, draw_change, draw_scene

CHANGES = 2  # attributes that a switch changes


@dataclass(frozen=True, slots=True)
class Script:
    """Held-out scenes that follow one another, each with two attributes changed, and words for each."""

    scenes: tuple[Scene, ...]
    captions: tuple[str, ...]

    @staticmethod
    def draw(seed: int, scenes: int) -> Script:
        """The same two first scenes and captions as `longlive eval tiny --switch` has for the seed."""
        rng = random.Random(seed)
        drawn = [draw_scene(rng, held_out=True)]
        while len(drawn) < scenes:
            drawn.append(draw_change(rng, drawn[-1], CHANGES, held_out=True))
        return Script(tuple(drawn), tuple(full_caption(rng, scene) for scene in drawn))


def require_world(model: Model, seeds: range) -> None:
    """InputError for an empty range of seeds, or a model of another picture than the tiny world's."""
    if not seeds:
        raise InputError("no seeds to evaluate; give A:B with A below B, for example 0:256")
    config = model.config
    if (config.width, config.height, config.fps) != (SIZE, SIZE, FPS):
        raise InputError(
            f"the model makes {config.width}x{config.height} at {config.fps} fps, the tiny world is {SIZE}x{SIZE} at "
            f"{FPS}; give a model of that world"
        )


def border_from(config: ModelConfig, seconds: float) -> int:
    """First frame of the first chunk that begins at this time or later: where a switch at that time shows."""
    chunk = 0
    while config.first_frame(chunk) < seconds * config.fps:
        chunk += 1
    return config.first_frame(chunk)


def film(stream: VideoStream, frames: int) -> Tensor:
    """The next frames, uint8 `[frames, 3, 64, 64]`; the stream is left at the end of the last one's chunk."""
    (whole,) = windows(stream, [stream.frame + frames], frames)
    return whole


def windows(stream: VideoStream, ends: Sequence[int], size: int) -> Iterator[Tensor]:
    """The `size` frames before each of the ascending `ends`, uint8 `[size, 3, 64, 64]`, as soon as they are made.

    Ends are numbers of frames of the video, the first at least `size` on; hardly any other frames are held.
    """
    recent = torch.empty(0, 3, SIZE, SIZE, dtype=torch.uint8)
    for end in ends:
        while stream.frame < end:
            recent = torch.cat((recent[-size:], stream.next_frames().permute(0, 3, 1, 2)))
        stop = len(recent) - (stream.frame - end)
        yield recent[stop - size : stop]


def play(model: Model, script: Script, seed: int, period: float, mode: SwitchName) -> tuple[Tensor, tuple[int, ...]]:
    """The video in which each scene has `period` seconds, and the first frame of each scene but the first.

    A prompt takes effect at a chunk's border, so that it may come some frames late; the last scene has its whole period
    all the same.
    """
    prompts = [model.encode([caption]) for caption in script.captions]
    stream = VideoStream(model, prompts[0], seed)
    borders = [border_from(model.config, period * number) for number in range(1, len(prompts))]
    parts: list[Tensor] = []
    for border, prompt in zip(borders, prompts[1:], strict=True):
        parts.append(film(stream, border - stream.frame))
        stream.switch(prompt, mode)
    parts.append(film(stream, round(period * FPS)))
    return torch.cat(parts), tuple(borders)


def adherence(frames: Tensor, scene: Scene) -> float:
    """Share of the scene's attributes that uint8 frames `[T >= 12, 3, 64, 64]` show."""
    hits = matches(frames, scene)
    return sum(hits.values()) / len(hits)
