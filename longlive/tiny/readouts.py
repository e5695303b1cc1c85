"""Tells each attribute of a scene from pixels alone: which prompt a generated video really follows.

Scenery is pale and subjects are saturated, so the subject is segmented by saturation. Every attribute is the nearest
of the values the renderer can draw: hue against the palette, the centred mask against the shapes, the ground and the
sky against the rendered scenery, and motion and weather from what moves between frames.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from longlive.tiny.renderer import (
    RAIN_FALL,
    SNOW_FALL,
    SUBJECT_RGB,
    scenery,
    shape_distance,
)
from longlive.tiny.world import ATTRIBUTES, COLOURS, KINDS, PLACES, SIZE, TIMES, WEATHERS, Scene

MIN_FRAMES = 12  # one hop, and enough movement to tell a direction
MIN_SUBJECT = 40.0  # pixels of mask below which a frame shows no subject to read
MIN_SEEN = 8  # frames that must show one
STRIDE = 4  # frames over which a speed is measured


def read(frames: Tensor) -> dict[str, str | None]:
    """Value of every attribute in uint8 `frames` `[T >= 12, 3, 64, 64]`; None for the subject's if it cannot be found.

    Frames without a subject say nothing about it, and fewer than 8 with one are too few. The frames must show one
    scene: cut the fade of a switch away. ValueError for fewer frames or another size.
    """
    if frames.ndim != 4 or frames.shape[0] < MIN_FRAMES or tuple(frames.shape[1:]) != (3, SIZE, SIZE):
        raise ValueError(
            f"readouts need at least {MIN_FRAMES} frames [T, 3, {SIZE}, {SIZE}], got {tuple(frames.shape)}"
        )
    video = frames.float() / 255
    mask = subject_mask(video)
    weather = _weather(video, mask)
    place, time = _scenery(video, mask)
    seen = mask.flatten(1).sum(1) >= MIN_SUBJECT
    if int(seen.sum()) < MIN_SEEN:
        return {"kind": None, "colour": None, "motion": None, "place": place, "time": time, "weather": weather}
    columns, rows = centres(mask)
    return {
        "kind": _kind(mask[seen], columns[seen], rows[seen]),
        "colour": _colour(video[seen], mask[seen]),
        "motion": _motion(columns, rows, seen),
        "place": place,
        "time": time,
        "weather": weather,
    }


def matches(frames: Tensor, scene: Scene) -> dict[str, bool]:
    """Which attributes of `scene` the frames show."""
    seen = read(frames)
    return {name: seen[name] == getattr(scene, name) for name in ATTRIBUTES}


def subject_mask(video: Tensor) -> Tensor:
    """How surely each pixel `[T, 64, 64]` of float video `[T, 3, 64, 64]` belongs to the subject, 0 to 1."""
    high, low = video.amax(1), video.amin(1)
    saturation = (high - low) / high.clamp_min(0.05)
    return ((saturation - 0.52) / 0.12).clamp(0, 1) * ((high - 0.42) / 0.1).clamp(0, 1)


def _colour(video: Tensor, mask: Tensor) -> str:
    mean = (video * mask.unsqueeze(1)).sum((0, 2, 3)) / mask.sum()
    hue = _hue(mean)
    return min(COLOURS, key=lambda c: abs(math.remainder(hue - _hue(torch.tensor(SUBJECT_RGB[c])), 2 * math.pi)))


def _hue(rgb: Tensor) -> float:
    r, g, b = rgb.tolist()
    return math.atan2(math.sqrt(3) * (g - b), 2 * r - g - b)


def centres(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Column on the torus and row of the subject in each frame, pixels."""
    angle = 2 * math.pi * torch.arange(SIZE) / SIZE
    across = mask.sum(1)
    columns = torch.atan2((across * angle.sin()).sum(1), (across * angle.cos()).sum(1)) * SIZE / (2 * math.pi)
    down = mask.sum(2)
    rows = (down * torch.arange(SIZE)).sum(1) / down.sum(1).clamp_min(1)
    return columns, rows


def _motion(columns: Tensor, rows: Tensor, seen: Tensor) -> str | None:
    if float(rows[seen].std()) > 1.8:
        return "hops"
    # Steps over some frames: single frames are too noisy, and half the torus would be ambiguous.
    steps = torch.remainder(columns[STRIDE:] - columns[:-STRIDE] + SIZE / 2, SIZE) - SIZE / 2
    steps = steps[seen[STRIDE:] & seen[:-STRIDE]]
    if not len(steps):
        return None
    speed = float(steps.median()) / STRIDE
    return "left" if speed < -0.4 else "right" if speed > 0.4 else "still"


@lru_cache(maxsize=1)
def _shapes() -> Tensor:
    """Masks of the kinds, each centred on its own centre of mass: `[kinds, 64, 64]`."""
    axis = torch.arange(SIZE) - SIZE / 2
    masks = torch.stack(
        [(0.5 - shape_distance(kind, axis.view(-1, 1), axis.view(1, -1))).clamp(0, 1) for kind in KINDS]
    )
    return torch.stack([_centred(mask[None], *centres(mask[None]))[0] for mask in masks])


def _centred(mask: Tensor, columns: Tensor, rows: Tensor) -> Tensor:
    return torch.stack(
        [
            m.roll((round(SIZE / 2 - float(row)), round(SIZE / 2 - float(column))), (0, 1))
            for m, column, row in zip(mask, columns, rows, strict=True)
        ]
    )


def _kind(mask: Tensor, columns: Tensor, rows: Tensor) -> str:
    mean = _centred(mask, columns, rows).mean(0)
    distance = ((_shapes() - mean) ** 2).sum((1, 2))
    return KINDS[int(distance.argmin())]


@lru_cache(maxsize=1)
def _backgrounds() -> tuple[Tensor, list[tuple[str, str, str]]]:
    """Row features `[combinations, 64, 4]` of the rendered scenery under every weather, and what each one is."""
    keys = [(place, time, weather) for place in PLACES for time in TIMES for weather in WEATHERS]
    whole = torch.ones(SIZE, SIZE)
    return torch.stack([_rows(scenery(Scene("ball", "red", "still", *key), 0.0), whole) for key in keys]), keys


def _rows(picture: Tensor, weight: Tensor) -> Tensor:
    """Mean colour and unevenness of each row: what is left of scenery that is shifted by an unknown amount."""
    total = weight.sum(1).clamp_min(1e-3)
    mean = (picture * weight).sum(2) / total
    spread = (((picture - mean.unsqueeze(2)) ** 2).mean(0) * weight).sum(1) / total
    return torch.cat((mean, spread.sqrt().unsqueeze(0))).T


def _scenery(video: Tensor, mask: Tensor) -> tuple[str, str]:
    """Place and time of day: the nearest scenery; the median over time takes particles away."""
    rows = _rows(video.median(0).values, (1 - 2 * mask.mean(0)).clamp_min(0))
    backgrounds, keys = _backgrounds()
    distance = ((backgrounds - rows) ** 2).sum((1, 2))
    place, time, _ = keys[int(distance.argmin())]
    return place, time


def weather_scores(video: Tensor, mask: Tensor) -> dict[str, float]:
    """How much brightness falls as rain does and as snow does: mean over pixels, 0 where nothing falls.

    A falling speck is brighter than its pixel ever is otherwise, and the next frame shows it further down.
    """
    grey = video.mean(1)
    subject = torch.nn.functional.max_pool2d(mask.unsqueeze(1), 7, 1, 3).squeeze(1)
    specks = (grey - grey.median(0).values - 0.06).clamp_min(0) * (subject < 0.1)
    scores = {}
    for name, fall in (("rain", RAIN_FALL), ("snow", SNOW_FALL)):
        # Where a speck has been four and two frames ago and is now, seen from now.
        trail = [specks[4 - ago : len(specks) - ago].roll((fall[0] * ago, fall[1] * ago), (1, 2)) for ago in (4, 2, 0)]
        scores[name] = float(torch.stack(trail).amin(0).mean())
    return scores


def _weather(video: Tensor, mask: Tensor) -> str:
    scores = weather_scores(video, mask)
    best = max(scores, key=lambda name: scores[name])
    return best if scores[best] > 7e-4 else "clear"
