"""Prompt after prompt in one video, 10 s each: whether the last switch is followed as well as the first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from longlive.errors import InputError
from longlive.evaluation.interval import Interval
from longlive.evaluation.trial import Script, play, require_world
from longlive.model import Model
from longlive.tiny.readouts import matches
from longlive.tiny.world import FPS, Scene

PERIOD_SECONDS = 10.0
AFTER_SECONDS = 4.0  # what is judged ends so long after the first frame under a prompt
JUDGED_FRAMES = 16
FEWEST = 3  # prompts, for there to be a first and a last switch


@dataclass(frozen=True, slots=True)
class Followed:
    """After one switch of one video: shares of the changed attributes, and of all, that match the new prompt."""

    changed: float
    overall: float


@dataclass(frozen=True, slots=True)
class PromptRow:
    switch: int  # counted from 1
    changed: Interval
    overall: Interval


@dataclass(frozen=True, slots=True)
class LastRatio:
    """After the last switch over after the first; None where nothing followed the first."""

    changed: Interval | None
    overall: Interval | None


@dataclass(frozen=True, slots=True)
class Interactive:
    n: int
    prompts: int
    rows: tuple[PromptRow, ...]
    last_over_first: LastRatio


def interactive(model: Model, seeds: range, prompts: int, progress: Callable[[], None] = lambda: None) -> Interactive:
    """Switches are recached; `progress` comes once a video. InputError for under 3 prompts, no seeds, another world."""
    require_world(model, seeds)
    if prompts < FEWEST:
        raise InputError(f"a first and a last switch need at least {FEWEST} prompts, not {prompts}")
    videos: list[list[Followed]] = []
    for seed in seeds:
        script = Script.draw(seed, prompts)
        video, borders = play(model, script, seed, PERIOD_SECONDS, "recache")
        steps = zip(borders, pairwise(script.scenes), strict=True)
        videos.append([judge(video, border, before, after) for border, (before, after) in steps])
        progress()
    return summary(videos)


def judge(video: Tensor, border: int, before: Scene, after: Scene) -> Followed:
    """Of uint8 `video` `[T, 3, 64, 64]`, whose frame `border` is the first under the prompt of `after`."""
    end = border + round(AFTER_SECONDS * FPS)
    seen = matches(video[end - JUDGED_FRAMES : end], after)
    names = before.changed(after)
    return Followed(sum(seen[name] for name in names) / len(names), sum(seen.values()) / len(seen))


def summary(videos: Sequence[Sequence[Followed]]) -> Interactive:
    """Of the switches of each video, as many in each."""
    ends = [(video[-1], video[0]) for video in videos]
    ratio = LastRatio(
        changed=Interval.of_ratio((last.changed, first.changed) for last, first in ends),
        overall=Interval.of_ratio((last.overall, first.overall) for last, first in ends),
    )
    rows = tuple(
        PromptRow(
            at + 1,
            changed=Interval.of([video[at].changed for video in videos]),
            overall=Interval.of([video[at].overall for video in videos]),
        )
        for at in range(len(videos[0]))
    )
    return Interactive(len(videos), len(rows) + 1, rows, ratio)
