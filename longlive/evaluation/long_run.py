"""Minutes under one prompt: whether it is still followed at the end, and whether the picture is what it was at 5 s."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from longlive.errors import InputError
from longlive.evaluation.interval import Interval
from longlive.evaluation.sight import SIGHT_FRAMES, Sight, look
from longlive.evaluation.trial import Script, require_world, windows
from longlive.model import Model
from longlive.stream import VideoStream
from longlive.tiny.world import FPS

FIRST_SECONDS = 5
MARKS = (FIRST_SECONDS, 10, 30, 60)  # seconds; then every minute
MINUTE = 60


@dataclass(frozen=True, slots=True)
class SightRow:
    """`Sight` over videos; drift is since 5 s."""

    seconds: int
    adherence: Interval
    drift: Interval | None
    brightness: Interval
    contrast: Interval
    subject_pixels: Interval


@dataclass(frozen=True, slots=True)
class EndRatio:
    """What is at the end over what was at 5 s; None where there was nothing."""

    adherence: Interval | None
    brightness: Interval | None
    contrast: Interval | None
    subject_pixels: Interval | None


@dataclass(frozen=True, slots=True)
class LongRun:
    n: int
    seconds: int
    rows: tuple[SightRow, ...]
    end_over_first: EndRatio


def marks(seconds: int) -> tuple[int, ...]:
    """When a video of so many seconds is looked at: the frames that end then. InputError below 10 seconds."""
    if seconds < MARKS[1]:
        raise InputError(f"a long video has at least {MARKS[1]} seconds, not {seconds}")
    early = [mark for mark in (*MARKS, *range(2 * MINUTE, seconds, MINUTE)) if mark < seconds]
    return (*early, seconds)


def long_run(model: Model, seeds: range, seconds: int, progress: Callable[[], None] = lambda: None) -> LongRun:
    """Calls `progress` at each of the `marks` of each video. InputError as there, for no seeds or another picture."""
    require_world(model, seeds)
    times = marks(seconds)
    runs: list[list[Sight]] = []
    for seed in seeds:
        script = Script.draw(seed, 1)
        stream = VideoStream(model, model.encode(script.captions), seed)
        sights: list[Sight] = []
        reference = None
        for frames in windows(stream, [time * FPS for time in times], SIGHT_FRAMES):
            reference = frames if reference is None else reference
            sights.append(look(frames, script.scenes[0], reference))
            progress()
        runs.append(sights)
    return summary(times, runs)


def summary(times: Sequence[int], runs: Sequence[Sequence[Sight]]) -> LongRun:
    """Of one sight at each of the times, in each run."""
    ends = [(run[-1], run[0]) for run in runs]
    ratio = EndRatio(
        adherence=Interval.of_ratio((end.adherence, first.adherence) for end, first in ends),
        brightness=Interval.of_ratio((end.brightness, first.brightness) for end, first in ends),
        contrast=Interval.of_ratio((end.contrast, first.contrast) for end, first in ends),
        subject_pixels=Interval.of_ratio((end.subject_pixels, first.subject_pixels) for end, first in ends),
    )
    rows = tuple(_row(time, [run[at] for run in runs]) for at, time in enumerate(times))
    return LongRun(len(runs), times[-1], rows, ratio)


def _row(seconds: int, sights: Sequence[Sight]) -> SightRow:
    return SightRow(
        seconds,
        adherence=Interval.of([sight.adherence for sight in sights]),
        drift=Interval.of_known(sight.drift for sight in sights),
        brightness=Interval.of([sight.brightness for sight in sights]),
        contrast=Interval.of([sight.contrast for sight in sights]),
        subject_pixels=Interval.of([sight.subject_pixels for sight in sights]),
    )
