"""Draws the tiny world: 64x64 frames of one subject on a horizontal torus, scenery behind it, weather in front.

Scenery is kept pale and the subject saturated, so that the subject can be found again in any scene. Rain and snow are
one fixed pattern of few, large particles under a drawn offset: a low-entropy thing that a small model can learn.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import torch
from torch import Tensor

from longlive.tiny.world import SIZE, Clip, Scene

FADE_FRAMES = 10  # a switch cross-fades colour, shape and scenery over this many frames
TURN_FRAMES = 4  # and the velocity over this many
SPEED = 1.0  # pixels per frame, left and right
HOP_PERIOD, HOP_HEIGHT = 12, 12.0  # frames, pixels
RAIN_FALL = (4, -1)  # pixels per frame, down and right
SNOW_FALL = (1, 0)
GROUND = 51.0  # where the subject stands: the row of its lowest point
RADIUS = 12.0

SUBJECT_RGB = {
    "red": (0.93, 0.13, 0.13),
    "yellow": (0.98, 0.85, 0.10),
    "green": (0.12, 0.75, 0.18),
    "cyan": (0.08, 0.85, 0.88),
    "blue": (0.15, 0.28, 0.95),
    "pink": (0.96, 0.18, 0.76),
}
# Sky at the top, sky at the horizon, factor and tint of everything on the ground.
SKY = {
    "day": ((0.60, 0.75, 0.90), (0.83, 0.90, 0.95), (1.0, 1.0, 1.0)),
    "sunset": ((0.62, 0.52, 0.66), (0.97, 0.76, 0.60), (0.88, 0.74, 0.70)),
    "night": ((0.08, 0.09, 0.16), (0.17, 0.19, 0.28), (0.34, 0.36, 0.44)),
}
GROUND_RGB = {
    "meadow": ((0.62, 0.76, 0.56), (0.52, 0.68, 0.48)),
    "desert": ((0.90, 0.80, 0.62), (0.82, 0.70, 0.53)),
    "sea": ((0.50, 0.64, 0.74), (0.42, 0.56, 0.68)),
    "city": ((0.60, 0.60, 0.62), (0.50, 0.50, 0.53)),
}
OVERCAST = {"clear": (0.0, 0.0), "rain": (0.55, 0.42), "snow": (0.55, 0.80)}  # share and grey level of the cloud cover

_ROWS = torch.arange(SIZE, dtype=torch.float32).view(SIZE, 1)
_COLS = torch.arange(SIZE, dtype=torch.float32).view(1, SIZE)
_PARTICLES = torch.tensor(  # row, column of each streak or flake on the torus
    [(2, 6), (7, 38), (14, 21), (19, 55), (26, 8), (30, 42), (37, 27), (43, 60), (47, 13), (53, 46), (58, 30), (61, 2)],
    dtype=torch.float32,
)


@dataclass(frozen=True, slots=True)
class Accidents:
    """What a scene leaves open."""

    start: float  # column of the subject, pixels
    hop_phase: float  # frames
    skyline: float  # pixels by which the scenery is shifted
    fall: tuple[float, float]  # offset of the particles, pixels

    @staticmethod
    def draw(seed: int) -> Accidents:
        rng = random.Random(seed)
        return Accidents(
            start=rng.uniform(0, SIZE),
            hop_phase=rng.uniform(0, HOP_PERIOD),
            skyline=rng.uniform(0, SIZE),
            fall=(rng.uniform(0, SIZE), rng.uniform(0, SIZE)),
        )


def render(clip: Clip, frames: int) -> Tensor:
    """The clip as uint8 `[frames, 3, 64, 64]`."""
    accidents = Accidents.draw(clip.seed)
    after = clip.after or clip.scene
    t = torch.arange(frames, dtype=torch.float32)
    fade = _ramp(t, clip, FADE_FRAMES)
    picture = torch.lerp(
        scenery(clip.scene, accidents.skyline), scenery(after, accidents.skyline), fade.view(-1, 1, 1, 1)
    )
    picture = _draw_subject(picture, clip.scene, after, accidents, t, fade, _ramp(t, clip, TURN_FRAMES))
    for weather, draw in (("rain", _rain), ("snow", _snow)):
        strength = (clip.scene.weather == weather) * (1 - fade) + (after.weather == weather) * fade
        if strength.any():
            alpha, grey = draw(frames, accidents.fall)
            picture = torch.lerp(
                picture, torch.full_like(picture, grey), alpha.unsqueeze(1) * strength.view(-1, 1, 1, 1)
            )
    return (picture.clamp(0, 1) * 255 + 0.5).to(torch.uint8)


def _ramp(t: Tensor, clip: Clip, frames: int) -> Tensor:
    if clip.after is None:
        return torch.zeros_like(t)
    return ((t - clip.switch + 1) / frames).clamp(0, 1)


def scenery(scene: Scene, skyline: float) -> Tensor:
    """Sky, ground and landmarks without subject and particles: float `[3, 64, 64]`."""
    top, low, light = (torch.tensor(c).view(3, 1, 1) for c in SKY[scene.time])
    x = torch.remainder(_COLS + skyline, SIZE)
    wave = 2 * math.pi * x / SIZE
    sky = torch.lerp(top, low, (_ROWS / 40).clamp(0, 1)).expand(3, SIZE, SIZE).clone()
    if scene.time == "night":
        for row, col in ((4, 9), (9, 30), (3, 47), (14, 56), (17, 18)):
            sky = torch.maximum(sky, 0.8 * _dot(row, torch.remainder(x - col + 32, SIZE) - 32, 0.8))
        sky = _over(sky, (0.92, 0.92, 0.86), _disc(_ROWS - 11, torch.remainder(x - 40 + 32, SIZE) - 32, 5.0))
    if scene.time == "sunset":
        sky = _over(sky, (1.0, 0.90, 0.78), _disc(_ROWS - 34, torch.remainder(x - 20 + 32, SIZE) - 32, 8.0))
    cover, grey = OVERCAST[scene.weather]
    dim = {"day": 1.0, "sunset": 0.85, "night": 0.35}[scene.time]
    sky = torch.lerp(sky, torch.full_like(sky, grey * dim), cover)

    far, near = (torch.tensor(c).view(3, 1, 1) * light for c in GROUND_RGB[scene.place])
    match scene.place:
        case "meadow":
            horizon = 38 + 4 * torch.sin(wave) + 2 * torch.sin(2 * wave + 1)
            picture = _below(sky, far, horizon)
            for col in (12, 44):  # trees
                dx = torch.remainder(x - col + 32, SIZE) - 32
                picture = _over(picture, near * 0.62, ((2 - dx.abs()).clamp(0, 1) * ((_ROWS > 27) & (_ROWS < 42))))
                picture = _over(picture, near * 0.78, _disc(_ROWS - 26, dx, 7.0))
            picture = _below(picture, near, 47 + 2 * torch.sin(wave + 2.5))
        case "desert":
            picture = _below(sky, far, 40 + 6 * torch.sin(wave + 0.5).abs() - 3)
            dx = torch.remainder(x - 50 + 32, SIZE) - 32  # a cactus
            green = torch.tensor((0.50, 0.60, 0.48)).view(3, 1, 1) * light
            for left, right, high, deep in (
                (-2, 2, 22, 46),
                (-7, -4, 28, 36),
                (-7, 2, 33, 36),
                (4, 7, 25, 33),
                (0, 7, 30, 33),
            ):
                inside = (dx >= left) & (dx <= right) & (high <= _ROWS) & (deep >= _ROWS)
                picture = _over(picture, green, inside.float())
            picture = _below(picture, near, 48 + 3 * torch.sin(wave + 3.6))
        case "sea":
            picture = _below(sky, far, torch.full_like(x, 36.0))
            for row in (40, 45, 50, 55, 60):
                crest = row + torch.sin(2 * math.pi * x / 16 + row)
                picture = _over(picture, near * 1.22, (1.0 - (_ROWS - crest).abs()).clamp(0, 1))
        case _:
            picture = _below(sky, far * 0.85, torch.full_like(x, 44.0))
            for left, width, roof in ((0, 9, 24), (11, 8, 16), (21, 10, 28), (33, 7, 12), (42, 9, 22), (53, 9, 18)):
                inside = ((x >= left) & (x < left + width) & (roof <= _ROWS) & (_ROWS < 45)).float()
                wall = torch.tensor((0.52, 0.52, 0.58)).view(3, 1, 1) * light
                picture = _over(picture, wall, inside)
                lit = (
                    torch.tensor((0.86, 0.80, 0.62))
                    if scene.time == "night"
                    else torch.tensor((0.72, 0.76, 0.80)) * light.flatten()
                )
                windows = ((torch.remainder(x - left, 4) >= 2) & (torch.remainder(_ROWS - roof, 6) >= 3)).float()
                picture = _over(picture, lit.view(3, 1, 1), inside * windows * (x < left + width - 0.5) * (_ROWS < 43))
            picture = _below(picture, near, torch.full_like(x, 48.0))
    if scene.weather == "snow":
        white = torch.tensor((0.95, 0.96, 0.98)).view(3, 1, 1) * light
        picture = torch.lerp(picture, white.expand_as(picture), 0.5 * (_ROWS >= 47).float())
    elif scene.weather == "rain":
        picture = torch.lerp(picture, picture * 0.72, (_ROWS >= 36).float())
    return picture


def _below(picture: Tensor, rgb: Tensor, horizon: Tensor) -> Tensor:
    return _over(picture, rgb, (_ROWS - horizon + 0.5).clamp(0, 1))


def _over(picture: Tensor, rgb: Tensor | tuple[float, float, float], alpha: Tensor) -> Tensor:
    colour = torch.as_tensor(rgb).view(3, 1, 1)
    return torch.lerp(picture, colour.expand_as(picture), alpha.expand_as(picture))


def _disc(dy: Tensor, dx: Tensor, radius: float) -> Tensor:
    return (radius + 0.5 - torch.sqrt(dy**2 + dx**2)).clamp(0, 1)


def _dot(row: float, dx: Tensor, radius: float) -> Tensor:
    return _disc(_ROWS - row, dx, radius)


def _path(scene: Scene, after: Scene, accidents: Accidents, t: Tensor, turn: Tensor) -> tuple[Tensor, Tensor]:
    """Column and height above the ground of the subject at each frame, pixels."""
    velocity = {"left": -SPEED, "right": SPEED}
    speed = torch.lerp(
        torch.full_like(t, velocity.get(scene.motion, 0.0)), torch.full_like(t, velocity.get(after.motion, 0.0)), turn
    )
    column = torch.remainder(accidents.start + torch.cumsum(speed, 0) - speed[0], SIZE)
    hop = (scene.motion == "hops") * (1 - turn) + (after.motion == "hops") * turn
    height = HOP_HEIGHT * hop * torch.sin(math.pi * (t + accidents.hop_phase) / HOP_PERIOD).abs()
    return column, height


def shape_distance(kind: str, dy: Tensor, dx: Tensor) -> Tensor:
    """Signed distance, pixels, negative inside; `dy`, `dx` from the subject's centre, `RADIUS` above the ground."""
    match kind:
        case "ball":
            return torch.sqrt(dy**2 + dx**2) - RADIUS
        case "cube":
            return torch.maximum(dy.abs(), dx.abs()) - (RADIUS - 0.5)
        case "pyramid":
            return torch.maximum((dx.abs() * 2 - dy - RADIUS) / math.sqrt(5) - 0.5, dy - RADIUS)
        case _:
            return (torch.sqrt(dy**2 + dx**2) - 8.7).abs() - 4.3


def _draw_subject(
    picture: Tensor, scene: Scene, after: Scene, accidents: Accidents, t: Tensor, fade: Tensor, turn: Tensor
) -> Tensor:
    column, height = _path(scene, after, accidents, t, turn)
    dx = torch.remainder(_COLS - column.view(-1, 1, 1) + SIZE / 2, SIZE) - SIZE / 2
    dy = _ROWS - (GROUND - RADIUS - height).view(-1, 1, 1)
    mix = fade.view(-1, 1, 1)
    distance = torch.lerp(shape_distance(scene.kind, dy, dx), shape_distance(after.kind, dy, dx), mix)
    rgb = torch.lerp(
        torch.tensor(SUBJECT_RGB[scene.colour]).view(1, 3, 1, 1),
        torch.tensor(SUBJECT_RGB[after.colour]).view(1, 3, 1, 1),
        fade.view(-1, 1, 1, 1),
    )
    shade = 1.06 - 0.16 * ((dy + RADIUS) / (2 * RADIUS)).clamp(0, 1)
    picture = torch.lerp(picture, (rgb * shade.unsqueeze(1)).clamp(0, 1), (0.5 - distance).clamp(0, 1).unsqueeze(1))
    # Eyes sit low on the pyramid and on the upper band of the ring, wherever there is body to carry them.
    level = torch.lerp(
        torch.full_like(fade, _eye_level(scene.kind)), torch.full_like(fade, _eye_level(after.kind)), fade
    )
    for side in (-3.6, 3.6):
        ey, ex = dy - level.view(-1, 1, 1), dx - side
        for radius, grey in ((2.5, 1.0), (1.3, 0.05)):
            alpha = (radius + 0.5 - torch.sqrt(ey**2 + ex**2)).clamp(0, 1) * (distance < 0)
            picture = torch.lerp(picture, torch.full_like(picture, grey), alpha.unsqueeze(1))
    return picture


def _eye_level(kind: str) -> float:
    return {"ball": -3.0, "cube": -3.0, "pyramid": 4.0, "donut": -7.4}[kind]


def _rain(frames: int, offset: tuple[float, float]) -> tuple[Tensor, float]:
    """Slanted streaks: opacity `[frames, 64, 64]` and their grey level."""
    dy, dx = _particles(offset)
    along = ((dy * RAIN_FALL[0] + dx * RAIN_FALL[1]) / math.hypot(*RAIN_FALL)).abs()
    across = ((dy * -RAIN_FALL[1] + dx * RAIN_FALL[0]) / math.hypot(*RAIN_FALL)).abs()
    streaks = (4.5 - along).clamp(0, 1) * (1.4 - across).clamp(0, 1)
    return _falling(streaks.amax(0) * 0.75, RAIN_FALL, frames), 0.92


def _snow(frames: int, offset: tuple[float, float]) -> tuple[Tensor, float]:
    """Round flakes: opacity `[frames, 64, 64]` and their grey level."""
    dy, dx = _particles(offset)
    flakes = (2.6 - torch.sqrt(dy**2 + dx**2)).clamp(0, 1)
    return _falling(flakes.amax(0) * 0.95, SNOW_FALL, frames), 1.0


def _particles(offset: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """Rows and columns of every pixel from every particle on the torus: `[particles, 64, 1]`, `[particles, 1, 64]`."""
    row, col = (_PARTICLES + torch.tensor(offset)).unbind(1)
    return (
        torch.remainder(_ROWS - row.view(-1, 1, 1) + SIZE / 2, SIZE) - SIZE / 2,
        torch.remainder(_COLS - col.view(-1, 1, 1) + SIZE / 2, SIZE) - SIZE / 2,
    )


def _falling(pattern: Tensor, fall: tuple[int, int], frames: int) -> Tensor:
    """The pattern moved by `fall` per frame: whole pixels, so that every frame holds the same particles."""
    return torch.stack([pattern.roll((fall[0] * t, fall[1] * t), (0, 1)) for t in range(frames)])
