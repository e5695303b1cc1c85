"""The tables as pictures. Needs matplotlib, which nothing else here does; bars and bands are 95 % intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from longlive.evaluation.interactive import Interactive
from longlive.evaluation.interval import Interval
from longlive.evaluation.long_run import LongRun
from longlive.evaluation.switch_table import SwitchTable
from longlive.evaluation.window_table import WindowTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_switch(table: SwitchTable, path: Path) -> None:
    """Adherence of the changed attributes over the seconds after the switch, and continuity across it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.8), layout="constrained")
    panels = figure.subplots(1, 4, width_ratios=(2, 1, 1, 1))
    for row in table.rows:
        seconds = [after.seconds for after in row.after_switch]
        _line(panels[0], seconds, [after.changed for after in row.after_switch], row.name)
    panels[0].set(xlabel="seconds after the switch", ylabel="changed attributes that match", ylim=(0, 1.05))
    panels[0].legend()
    for axes, label, figures in (
        (panels[1], "change at the border / usual change", [row.jump for row in table.rows]),
        (panels[2], "displacement of the subject, pixels", [row.displacement_pixels for row in table.rows]),
        (panels[3], "attributes kept that were to be", [row.kept for row in table.rows]),
    ):
        for place, (row, interval) in enumerate(zip(table.rows, figures, strict=True)):
            if interval is not None:
                axes.errorbar(place, interval.mean, _margin(interval), fmt="o", capsize=4, label=row.name)
        axes.set_xticks(range(len(table.rows)), [row.name for row in table.rows], rotation=30, ha="right")
        axes.set_ylabel(label)
        axes.set_ylim(0)
        axes.grid(alpha=0.3)
    figure.suptitle(f"A prompt switch at 5 s of 10 s, {table.n} held-out scenes")
    figure.savefig(path, dpi=110)


def plot_windows(table: WindowTable, path: Path) -> None:
    """Each figure over the length of the window, a line with the sink and one without."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.6), layout="constrained")
    panels = figure.subplots(1, 3)
    for sink in dict.fromkeys(row.sink_frames for row in table.rows):
        rows = [row for row in table.rows if row.sink_frames == sink]
        lengths, label = [row.window_frames for row in rows], f"sink {sink}"
        _line(panels[0], lengths, [row.adherence for row in rows], label)
        _line(panels[1], lengths, [row.drift for row in rows], label)
        _line(panels[2], lengths, [row.chunk_ms for row in rows], label)
    names = ("attributes that match at the end", "drift of the background, grey levels", "processor ms per chunk")
    for axes, name in zip(panels, names, strict=True):
        axes.set(xlabel="window with its sink, latent frames", ylabel=name)
        axes.set_ylim(0)
        axes.legend()
    figure.suptitle(f"{table.seconds} s under one prompt, {table.n} held-out scenes")
    figure.savefig(path, dpi=110)


def plot_long(run: LongRun, path: Path) -> None:
    """Each figure over the minutes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 3.4), layout="constrained")
    seconds = [row.seconds for row in run.rows]
    named: tuple[tuple[str, list[Interval | None]], ...] = (
        ("attributes that match", [row.adherence for row in run.rows]),
        ("drift of the background, grey levels", [row.drift for row in run.rows]),
        ("brightness", [row.brightness for row in run.rows]),
        ("contrast", [row.contrast for row in run.rows]),
        ("subject, pixels", [row.subject_pixels for row in run.rows]),
    )
    for axes, (label, figures) in zip(figure.subplots(1, len(named)), named, strict=True):
        _line(axes, seconds, figures, label)
        axes.set(xlabel="seconds of video", ylabel=label)
        axes.set_ylim(0)
    figure.suptitle(f"{run.seconds} s under one prompt, {run.n} held-out scenes")
    figure.savefig(path, dpi=110)


def plot_interactive(table: Interactive, path: Path) -> None:
    """Adherence after one switch and the next."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.8), layout="constrained")
    axes = figure.subplots()
    switches = [row.switch for row in table.rows]
    _line(axes, switches, [row.overall for row in table.rows], "all attributes")
    _line(axes, switches, [row.changed for row in table.rows], "changed attributes")
    axes.set(xlabel="switch", ylabel="match the prompt 4 s after", ylim=(0, 1.05), xticks=switches)
    axes.legend()
    figure.suptitle(f"{table.prompts} prompts of 10 s, {table.n} held-out videos")
    figure.savefig(path, dpi=110)


def _line(axes: Axes, places: Sequence[float], figures: Sequence[Interval | None], label: str) -> None:
    known = [(place, figure) for place, figure in zip(places, figures, strict=True) if figure is not None]
    axes.plot([place for place, _ in known], [figure.mean for _, figure in known], marker=".", label=label)
    axes.fill_between(
        [place for place, _ in known],
        [figure.low for _, figure in known],
        [figure.high for _, figure in known],
        alpha=0.15,
    )
    axes.grid(alpha=0.3)


def _margin(interval: Interval) -> float:
    return interval.high - interval.mean
