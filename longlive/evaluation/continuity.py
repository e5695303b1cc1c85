"""How a video goes on across a prompt switch: its picture, the place of its subject, and what nobody asked to change.

Stands for VBench's background and subject consistency (paper, section 4.4), which the tiny world can say exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from longlive.tiny.readouts import MIN_FRAMES, MIN_SEEN, MIN_SUBJECT, STRIDE, centres, read, subject_mask
from longlive.tiny.renderer import SPEED
from longlive.tiny.world import ATTRIBUTES, FPS, SIZE, Scene

STILL = 1.0  # grey levels: where a video changes less than this from frame to frame, a viewer sees no change
SPREAD_FRAMES = 4  # a decoder that is causal in time spreads a cut in the latents over a latent frame's pictures
PRESENT = 1 / 3  # of the subject's usual area; a pyramid has half of a cube's
LOST = SIZE / 2  # pixels: no place on the torus is further away
VELOCITY = {"left": -SPEED, "right": SPEED}  # pixels per frame; 0 for other motions


@dataclass(frozen=True, slots=True)
class Continuity:
    """Of one switch. None where the frames before it show no subject, or nothing that could be kept.

    `jump`: change of the picture at the border over its usual change from frame to frame; `displacement`: pixels from
    where the subject's motion leads; `kept`: share of the attributes not asked to change that still read as before.
    """

    jump: float
    displacement: float | None
    kept: float | None


def continuity(video: Tensor, border: int, before: Scene, after: Scene) -> Continuity:
    """Of uint8 `video` `[T, 3, 64, 64]` with over a second on either side of frame `border`, the first of `after`."""
    changed = before.changed(after)
    return Continuity(
        jump=jump(video, border),
        displacement=displacement(video, border, after.motion),
        kept=kept(video, border, [name for name in ATTRIBUTES if name not in changed]),
    )


def jump(video: Tensor, border: int) -> float:
    """The largest mean absolute change into one of the border's four frames over the median of the second before.

    What is below a grey level counts as one: a scene that stands still would make a jump of anything.
    """
    near = video[border - FPS - 1 : border + SPREAD_FRAMES].float()
    changes = (near[1:] - near[:-1]).abs().flatten(1).mean(1)
    return float(changes[FPS:].max() / changes[:FPS].median().clamp_min(STILL))


def displacement(video: Tensor, border: int, motion: str) -> float | None:
    """The furthest that the subject gets in the second after the border, from one sight of it to the next, beyond what
    its motion before, the asked one, or any between explain: pixels along the torus.

    Heights are not judged, for there every motion has its own. A subject that does not come back is half the torus
    away. None if the second before shows none.
    """
    mask = subject_mask(video[border - FPS : border + FPS].float() / 255)
    area = mask.flatten(1).sum(1)
    earlier = area[:FPS][area[:FPS] >= MIN_SUBJECT]
    if len(earlier) < MIN_SEEN:
        return None
    present = area >= PRESENT * earlier.median()
    columns, _ = centres(mask)
    both = (present[STRIDE:] & present[:-STRIDE])[: FPS - STRIDE]
    steps = _around(columns[STRIDE:FPS] - columns[: FPS - STRIDE])[both]
    old = float(steps.median()) / STRIDE if len(steps) else 0.0
    slow, fast = sorted((old, VELOCITY.get(motion, 0.0)))
    sights = present.nonzero().flatten().tolist()
    if sights[-1] < FPS:
        return LOST
    furthest = 0.0
    for seen, again in pairwise(sights):
        if again >= FPS:
            frames = again - seen
            step = float(_around(columns[again] - columns[seen] - frames * (slow + fast) / 2))
            furthest = max(furthest, abs(step) - frames * (fast - slow) / 2)
    return furthest


def kept(video: Tensor, border: int, names: Sequence[str]) -> float | None:
    """Share of the named attributes, as far as they could be read in the second before, that read the same after.

    Read from the last frames of the first second: before them the world cross-fades, and shows no one scene.
    """
    earlier, later = read(video[border - FPS : border]), read(first_second(video, border))
    known = [name for name in names if earlier[name] is not None]
    return sum(later[name] == earlier[name] for name in known) / len(known) if known else None


def first_second(video: Tensor, border: int) -> Tensor:
    """The 12 frames that end a second after the border; when they begin the fade is all but over."""
    return video[border + FPS - MIN_FRAMES : border + FPS]


def _around(distance: Tensor) -> Tensor:
    """Distances along the torus, -32 to 32 pixels."""
    return torch.remainder(distance + SIZE / 2, SIZE) - SIZE / 2
