"""`longlive eval tiny`: what the model's videos show, read from pixels, against what their prompts say.

One held-out scene per seed, generated with the served sampler. As a control, the same videos are held against another
scene's prompt: what a model would score that ignores its prompt. Two models are compared on the same scenes and seeds.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from longlive.evaluation.interval import Interval
from longlive.evaluation.trial import CHANGES, film, require_world
from longlive.model import Model
from longlive.stream import VideoStream
from longlive.switch import SwitchName
from longlive.tiny.captions import full_caption
from longlive.tiny.readouts import MIN_FRAMES, matches
from longlive.tiny.world import ATTRIBUTES, FPS, Scene, draw_change, draw_scene

SETTLE_SECONDS = 3.0  # a video is judged from here on
SWITCH_SECONDS = 3.0  # a switch comes here
AFTER_SECONDS = (2.0, 4.0)  # and is judged this long after the first frame under the new prompt
JUDGED_FRAMES = 24


@dataclass(frozen=True, slots=True)
class Adherence:
    """Shares of readouts that match a prompt; `control` against another scene's prompt; `chance` of a blind guess."""

    n: int
    overall: Interval
    attributes: dict[str, float]
    control: float
    chance: float


@dataclass(frozen=True, slots=True)
class SwitchAdherence:
    """At some seconds after a switch: shares that match the new prompt, of all attributes and of the changed ones."""

    n: int
    seconds: float
    overall: Interval
    changed: Interval
    attributes: dict[str, float]


@dataclass(frozen=True, slots=True)
class PairedAdherence:
    """Two models on the same `n` scenes and seeds; `readouts` = n x attributes.

    `overall` and `against` are their shares, `difference` the first less the second, per video. `psnr` (dB) is that of
    the first's judged frames as a copy of the second's, from the error over all videos; none if they are the same.
    """

    n: int
    readouts: int
    overall: float
    against: float
    difference: Interval
    attributes: dict[str, float]
    psnr: float | None


def evaluate(model: Model, seeds: range, progress: Callable[[], None] = lambda: None) -> Adherence:
    """Adherence after 3 seconds. InputError for an empty range of seeds or a model of another picture."""
    require_world(model, seeds)
    hits: list[dict[str, bool]] = []
    control: list[bool] = []
    for seed in seeds:
        scene, other, caption = _task(seed)
        frames = _settled(model, caption, seed)
        hits.append(matches(frames, scene))
        control += matches(frames, other).values()
        progress()
    chance = sum(1 / len(values) for values in ATTRIBUTES.values()) / len(ATTRIBUTES)
    return Adherence(len(hits), _overall(hits), _by_attribute(hits), sum(control) / len(control), chance)


def evaluate_pair(
    model: Model, against: Model, seeds: range, progress: Callable[[], None] = lambda: None
) -> PairedAdherence:
    """What `evaluate` judges, of two models whose videos differ in nothing else. Errors as above."""
    require_world(model, seeds)
    require_world(against, seeds)
    pairs: list[tuple[dict[str, bool], dict[str, bool]]] = []
    squares: list[float] = []
    for seed in seeds:
        scene, _, caption = _task(seed)
        frames, others = _settled(model, caption, seed), _settled(against, caption, seed)
        pairs.append((matches(frames, scene), matches(others, scene)))
        squares.append((frames.float() - others.float()).square().mean().item())
        progress()
    first, second = zip(*pairs, strict=True)
    error = sum(squares) / len(squares)
    return PairedAdherence(
        n=len(pairs),
        readouts=len(pairs) * len(ATTRIBUTES),
        overall=_overall(first).mean,
        against=_overall(second).mean,
        difference=Interval.of([(sum(a.values()) - sum(b.values())) / len(a) for a, b in pairs]),
        attributes={name: sum(a[name] - b[name] for a, b in pairs) / len(pairs) for name in ATTRIBUTES},
        psnr=10 * math.log10(255**2 / error) if error else None,
    )


def evaluate_switch(
    model: Model, seeds: range, mode: SwitchName, progress: Callable[[], None] = lambda: None
) -> list[SwitchAdherence]:
    """Adherence to the new prompt 2 and 4 seconds after a switch that changes two attributes. Errors as above."""
    require_world(model, seeds)
    hits: dict[float, list[dict[str, bool]]] = {after: [] for after in AFTER_SECONDS}
    changed: dict[float, list[float]] = {after: [] for after in AFTER_SECONDS}
    for seed in seeds:
        rng = random.Random(seed)
        before = draw_scene(rng, held_out=True)
        after_scene = draw_change(rng, before, CHANGES, held_out=True)
        stream = VideoStream(model, model.encode([full_caption(rng, before)]), seed)
        while stream.frame < SWITCH_SECONDS * FPS:
            stream.next_frames()
        stream.switch(model.encode([full_caption(rng, after_scene)]), mode)
        # The window that is judged ends at the named time: what a viewer has seen by then.
        video = film(stream, round(max(AFTER_SECONDS) * FPS))
        for after in AFTER_SECONDS:
            end = round(after * FPS)
            seen = matches(video[end - max(MIN_FRAMES, 16) : end], after_scene)
            hits[after].append(seen)
            names = before.changed(after_scene)
            changed[after].append(sum(seen[name] for name in names) / len(names))
        progress()
    return [
        SwitchAdherence(len(hits[a]), a, _overall(hits[a]), Interval.of(changed[a]), _by_attribute(hits[a]))
        for a in AFTER_SECONDS
    ]


def _task(seed: int) -> tuple[Scene, Scene, str]:
    """A held-out scene, another one, and words for the first."""
    rng = random.Random(seed)
    scene, other = draw_scene(rng, held_out=True), draw_scene(rng, held_out=True)
    return scene, other, full_caption(rng, scene)


def _settled(model: Model, caption: str, seed: int) -> Tensor:
    """The frames that are judged of a video under one prompt, `[24, 3, 64, 64]` uint8."""
    stream = VideoStream(model, model.encode([caption]), seed)
    return film(stream, round(SETTLE_SECONDS * FPS) + JUDGED_FRAMES)[-JUDGED_FRAMES:]


def _overall(hits: Sequence[dict[str, bool]]) -> Interval:
    return Interval.of([sum(h.values()) / len(h) for h in hits])


def _by_attribute(hits: Sequence[dict[str, bool]]) -> dict[str, float]:
    return {name: sum(h[name] for h in hits) / len(hits) for name in ATTRIBUTES}
