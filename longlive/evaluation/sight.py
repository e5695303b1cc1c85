"""What some frames of a long video look like: whether they still show the prompt, and whether the picture wears out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from longlive.evaluation.trial import adherence
from longlive.tiny.readouts import subject_mask
from longlive.tiny.world import Scene

SIGHT_FRAMES = 24
EDGE = 7  # pixels across: around the mask, where the subject's rim is mixed with what is behind it


@dataclass(frozen=True, slots=True)
class Sight:
    """`adherence` is the share of the prompt's attributes that are seen; `drift` is explained there.

    `brightness` is the mean and `contrast` the standard deviation of grey levels, 0 to 255; `subject_pixels` an area.
    """

    adherence: float
    drift: float | None
    brightness: float
    contrast: float
    subject_pixels: float


def look(frames: Tensor, scene: Scene, reference: Tensor) -> Sight:
    """At uint8 `frames` `[T >= 12, 3, 64, 64]`, and how their background differs from that of the `reference`."""
    grey = frames.float().mean(1)
    return Sight(
        adherence=adherence(frames, scene),
        drift=drift(background(reference), background(frames)),
        brightness=float(grey.mean()),
        contrast=float(grey.flatten(1).std(1).mean()),
        subject_pixels=float(subject_mask(frames.float() / 255).flatten(1).sum(1).mean()),
    )


def background(frames: Tensor) -> Tensor:
    """Scenery without subject and weather, `[3, 64, 64]` in grey levels; NaN where the subject hides it.

    The world's scenery stands still. What falls in front of it is on a pixel in fewer than half of the frames, so that
    the median over time takes it away.
    """
    mask = torch.nn.functional.max_pool2d(subject_mask(frames.float() / 255).unsqueeze(1), EDGE, 1, EDGE // 2)
    free = mask < 0.1
    seen = torch.where(free, frames.float(), torch.nan).nanmedian(0).values
    return torch.where(free.float().mean(0) >= 0.5, seen, torch.nan)


def drift(first: Tensor, second: Tensor) -> float | None:
    """Mean absolute difference of two backgrounds, grey levels, where both are seen; None if that is nowhere."""
    difference = (first - second).abs()
    return float(difference.nanmean()) if bool(difference.isfinite().any()) else None
