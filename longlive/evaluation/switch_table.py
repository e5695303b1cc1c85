"""Table 4 of the paper: the same videos with the cache cleared, kept and recached at a switch at 5 s of 10 s."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from longlive.evaluation.continuity import Continuity, continuity, first_second
from longlive.evaluation.interval import Interval
from longlive.evaluation.trial import Script, play, require_world
from longlive.model import Model
from longlive.switch import SwitchName
from longlive.tiny.readouts import matches
from longlive.tiny.renderer import render
from longlive.tiny.world import FPS, Clip, Scene

PERIOD_SECONDS = 5.0  # of each of the two prompts
AFTER_SECONDS = (1.0, 2.0, 4.0)  # what is judged ends so long after the first frame under the new prompt
JUDGED_FRAMES = 16
MODES: tuple[SwitchName, ...] = ("clear", "keep", "recache")
WORLD = "the world itself"
COMPARED: tuple[tuple[SwitchName, SwitchName], ...] = (("recache", "keep"), ("recache", "clear"))


@dataclass(frozen=True, slots=True)
class SwitchTrial:
    """One video: at each of `AFTER_SECONDS` the share of changed attributes, and of all, that match the new prompt."""

    changed: tuple[float, ...]
    overall: tuple[float, ...]
    continuity: Continuity


@dataclass(frozen=True, slots=True)
class AfterSwitch:
    seconds: float
    changed: Interval
    overall: Interval


@dataclass(frozen=True, slots=True)
class SwitchRow:
    """What a kind of switch does, or by how much one does more of it than another, video by video.

    Continuity is explained at `Continuity`; its figures are None if no video has them.
    """

    name: str
    after_switch: tuple[AfterSwitch, ...]
    jump: Interval | None
    displacement_pixels: Interval | None
    kept: Interval | None


@dataclass(frozen=True, slots=True)
class SwitchTable:
    """`n` videos each; the first row is of rendered videos of the same scenes: what a perfect switch scores."""

    n: int
    rows: tuple[SwitchRow, ...]
    differences: tuple[SwitchRow, ...]


def switch_table(model: Model, seeds: range, progress: Callable[[], None] = lambda: None) -> SwitchTable:
    """Calls `progress` once for each of `videos`. InputError for no seeds or a model of another picture."""
    require_world(model, seeds)
    trials: dict[str, list[SwitchTrial]] = {name: [] for name in (WORLD, *MODES)}
    for seed in seeds:
        script = Script.draw(seed, 2)
        before, after = script.scenes
        for mode in MODES:
            video, (border,) = play(model, script, seed, PERIOD_SECONDS, mode)
            trials[mode].append(judge(video, border, before, after))
            progress()
        perfect = render(Clip(before, seed, after, border), len(video))
        trials[WORLD].append(judge(perfect, border, before, after))
    return summary(trials)


def videos(seeds: range) -> int:
    return len(seeds) * len(MODES)


def judge(video: Tensor, border: int, before: Scene, after: Scene) -> SwitchTrial:
    """Of uint8 `video` `[T, 3, 64, 64]`, whose frame `border` is the first under the prompt of `after`."""
    changed, overall = [], []
    for seconds in AFTER_SECONDS:
        end = border + round(seconds * FPS)
        # What a viewer has seen by then; within the first second only where the world's own fade is over.
        seen = matches(video[end - JUDGED_FRAMES : end] if seconds > 1 else first_second(video, border), after)
        names = before.changed(after)
        changed.append(sum(seen[name] for name in names) / len(names))
        overall.append(sum(seen.values()) / len(seen))
    return SwitchTrial(tuple(changed), tuple(overall), continuity(video, border, before, after))


def summary(trials: Mapping[str, Sequence[SwitchTrial]]) -> SwitchTable:
    """Of videos in the same order in each row, for each of `WORLD` and `MODES`."""
    pairs = {f"{a} less {b}": (trials[a], trials[b]) for a, b in COMPARED}
    return SwitchTable(
        n=len(trials[WORLD]),
        rows=tuple(_row(name, trials[name]) for name in (WORLD, *MODES)),
        differences=tuple(
            _row(name, [_less(a, b) for a, b in zip(first, second, strict=True)])
            for name, (first, second) in pairs.items()
        ),
    )


def _row(name: str, trials: Sequence[SwitchTrial]) -> SwitchRow:
    return SwitchRow(
        name,
        tuple(
            AfterSwitch(
                seconds,
                changed=Interval.of([trial.changed[at] for trial in trials]),
                overall=Interval.of([trial.overall[at] for trial in trials]),
            )
            for at, seconds in enumerate(AFTER_SECONDS)
        ),
        jump=Interval.of_known(trial.continuity.jump for trial in trials),
        displacement_pixels=Interval.of_known(trial.continuity.displacement for trial in trials),
        kept=Interval.of_known(trial.continuity.kept for trial in trials),
    )


def _less(first: SwitchTrial, second: SwitchTrial) -> SwitchTrial:
    a, b = first.continuity, second.continuity
    return SwitchTrial(
        tuple(x - y for x, y in zip(first.changed, second.changed, strict=True)),
        tuple(x - y for x, y in zip(first.overall, second.overall, strict=True)),
        Continuity(
            a.jump - b.jump,
            None if a.displacement is None or b.displacement is None else a.displacement - b.displacement,
            None if a.kept is None or b.kept is None else a.kept - b.kept,
        ),
    )
