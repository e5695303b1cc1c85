"""Figure 7 of the paper: attention windows of many lengths, with and without sink, over videos of 20 s.

Lengths are the engine's: the window includes its sink and the chunk that is made, so that the paper's 9 frames and 3 of
sink are a window of 12.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from longlive.evaluation.interval import Interval
from longlive.evaluation.sight import SIGHT_FRAMES, look
from longlive.evaluation.trial import Script, require_world, windows
from longlive.model import Model
from longlive.stream import VideoStream
from longlive.tiny.world import FPS

WINDOWS = (3, 6, 9, 12, 15, 21, 27)  # latent frames
SINKS = (3, 0)  # latent frames
FIRST_SECONDS, SECONDS = 5, 20


@dataclass(frozen=True, slots=True)
class WindowTrial:
    """One video: adherence at its end, drift of its background since 5 s, and what a chunk took after these.

    The cost, processor time of DiT and decode in milliseconds, is a measurement; all else is the same each time.
    """

    adherence: float
    drift: float | None
    chunk_ms: float


@dataclass(frozen=True, slots=True)
class WindowRow:
    """`refused` says why the engine does not make this combination; then there are no figures."""

    window_frames: int
    sink_frames: int
    refused: str | None = None
    adherence: Interval | None = None
    drift: Interval | None = None
    chunk_ms: Interval | None = None


@dataclass(frozen=True, slots=True)
class WindowTable:
    n: int
    seconds: int
    rows: tuple[WindowRow, ...]


def combinations() -> list[tuple[int, int]]:
    """Window and sink of each row."""
    return [(window, sink) for sink in SINKS for window in WINDOWS]


def window_table(model: Model, seeds: range, progress: Callable[[], None] = lambda: None) -> WindowTable:
    """Calls `progress` for each seed of each of the `combinations`. InputError for no seeds or another picture."""
    require_world(model, seeds)
    rows: list[WindowRow] = []
    for window, sink in combinations():
        try:
            variant = with_window(model, window, sink)
        except ValueError as error:
            rows.append(WindowRow(window, sink, refused=str(error)))
            for _ in seeds:
                progress()
            continue
        trials: list[WindowTrial] = []
        for seed in seeds:
            trials.append(_trial(variant, seed, time.process_time))
            progress()
        rows.append(row(window, sink, trials))
    return WindowTable(len(seeds), SECONDS, tuple(rows))


def with_window(model: Model, window: int, sink: int) -> Model:
    """The model with another window. ValueError for one that its roll-out cannot have.

    Only for videos that are made and thrown away: `identity`, which snapshots go by, is still that of the original.
    """
    rollout = replace(model.config.rollout, window_frames=window, sink_frames=sink)
    return replace(model, config=replace(model.config, rollout=rollout))


def row(window: int, sink: int, trials: Sequence[WindowTrial]) -> WindowRow:
    return WindowRow(
        window,
        sink,
        adherence=Interval.of([trial.adherence for trial in trials]),
        drift=Interval.of_known(trial.drift for trial in trials),
        chunk_ms=Interval.of([trial.chunk_ms for trial in trials]),
    )


def _trial(model: Model, seed: int, clock: Callable[[], float]) -> WindowTrial:
    script = Script.draw(seed, 1)
    stream = VideoStream(model, model.encode(script.captions), seed)
    seen = windows(stream, [FIRST_SECONDS * FPS, SECONDS * FPS], SIGHT_FRAMES)
    reference = next(seen)
    chunk, start = stream.chunk, clock()
    end = next(seen)
    cost = (clock() - start) / (stream.chunk - chunk)
    sight = look(end, script.scenes[0], reference)
    return WindowTrial(sight.adherence, sight.drift, 1000 * cost)
