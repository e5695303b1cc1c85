"""`longlive eval switch` and its like: the paper's tables over held-out scenes of the tiny world."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from deployments.cli_input import DTypeOption, ModelOption, WrongInput, load_model, users_input
from deployments.cli_report import provenance
from deployments.cli_tiny import parse_seeds
from longlive.precision import Precision

if TYPE_CHECKING:
    from longlive.evaluation.interactive import Interactive
    from longlive.evaluation.long_run import LongRun
    from longlive.evaluation.switch_table import SwitchTable
    from longlive.evaluation.window_table import WindowTable
    from longlive.model import Model

Table = TypeVar("Table")

SeedsOption = Annotated[str, typer.Option("--seeds", help="A:B, one video or more for each seed from A to below B.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of lines.")]
PlotOption = Annotated[Path | None, typer.Option("--plot", help="Draw it to this PNG file (needs matplotlib).")]


def add_tables(group: typer.Typer) -> None:
    group.command("switch")(switch)
    group.command("windows")(windows)
    group.command("long")(long)
    group.command("interactive")(interactive)


def switch(
    seeds: SeedsOption = "0:256",
    as_json: JsonOption = False,
    plot: PlotOption = None,
    model: ModelOption = "tiny",
    dtype: DTypeOption = None,
) -> None:
    """Clear, keep or recache at a prompt switch: how soon the new prompt shows, and how the video goes on."""
    chosen = parse_seeds(seeds)
    _require_plot(plot)
    from longlive.evaluation.plots import plot_switch
    from longlive.evaluation.switch_table import switch_table, videos

    def measure(engine: Model, made: Callable[[], None]) -> SwitchTable:
        return switch_table(engine, chosen, made)

    _tell(model, dtype, seeds, as_json, videos(chosen), measure, plot_switch, plot)


def windows(
    seeds: SeedsOption = "0:32",
    as_json: JsonOption = False,
    plot: PlotOption = None,
    model: ModelOption = "tiny",
    dtype: DTypeOption = None,
) -> None:
    """Windows of 3 to 27 latent frames, with and without sink: adherence, drift of the background, cost per chunk."""
    chosen = parse_seeds(seeds)
    _require_plot(plot)
    from longlive.evaluation.plots import plot_windows
    from longlive.evaluation.window_table import combinations, window_table

    def measure(engine: Model, made: Callable[[], None]) -> WindowTable:
        return window_table(engine, chosen, made)

    _tell(model, dtype, seeds, as_json, len(chosen) * len(combinations()), measure, plot_windows, plot)


def long(
    seeds: SeedsOption = "0:16",
    seconds: Annotated[int, typer.Option(help="Length of each video, 10 or more.")] = 240,
    as_json: JsonOption = False,
    plot: PlotOption = None,
    model: ModelOption = "tiny",
    dtype: DTypeOption = None,
) -> None:
    """Minutes under one prompt: adherence, drift of the background, and whether the picture wears out."""
    chosen = parse_seeds(seeds)
    _require_plot(plot)
    from longlive.evaluation.long_run import long_run, marks
    from longlive.evaluation.plots import plot_long

    with users_input():
        steps = len(chosen) * len(marks(seconds))

    def measure(engine: Model, made: Callable[[], None]) -> LongRun:
        return long_run(engine, chosen, seconds, made)

    _tell(model, dtype, seeds, as_json, steps, measure, plot_long, plot)


def interactive(
    seeds: SeedsOption = "0:64",
    prompts: Annotated[int, typer.Option(min=3, help="Prompts of 10 s each.")] = 6,
    as_json: JsonOption = False,
    plot: PlotOption = None,
    model: ModelOption = "tiny",
    dtype: DTypeOption = None,
) -> None:
    """Prompt after prompt in one video: whether the last switch is followed as well as the first."""
    chosen = parse_seeds(seeds)
    _require_plot(plot)
    from longlive.evaluation import interactive as table
    from longlive.evaluation.plots import plot_interactive

    def measure(engine: Model, made: Callable[[], None]) -> Interactive:
        return table.interactive(engine, chosen, prompts, made)

    _tell(model, dtype, seeds, as_json, len(chosen), measure, plot_interactive, plot)


def _tell(
    model: str,
    dtype: Precision | None,
    seeds: str,
    as_json: bool,
    steps: int,
    measure: Callable[[Model, Callable[[], None]], Table],
    draw: Callable[[Table, Path], None],
    plot: Path | None,
) -> None:
    """Loads the model, measures under a progress bar of so many steps, prints, and draws if there is where to."""
    from rich.console import Console
    from rich.progress import Progress

    with users_input():
        engine = load_model(model, dtype)
        with Progress(console=Console(stderr=True)) as progress:
            bar = progress.add_task("measuring", total=steps)
            table = measure(engine, lambda: progress.advance(bar))
        if plot is not None:
            draw(table, plot)
    judged = {"model": engine.config.name, "dtype": (dtype or Precision.of(engine.dtype)).value, "seeds": seeds}
    if as_json:
        print(json.dumps(document(table) | judged | provenance(), indent=2))
    else:
        print("  ".join(f"{name} {value}" for name, value in judged.items()))
        for line in lines(table):
            print(line)


def document(table: Any) -> dict[str, Any]:
    """A table's fields by name; of a figure its mean, beside it its 95 % interval and of how many videos it is."""
    from longlive.evaluation.interval import Interval

    out: dict[str, Any] = {}
    for field in fields(table):
        value = getattr(table, field.name)
        if isinstance(value, Interval):
            out |= {
                field.name: value.mean,
                f"{field.name}_95": [value.low, value.high],
                f"{field.name}_n": value.n,
            }
        elif isinstance(value, tuple):
            out[field.name] = [document(part) for part in value]
        elif is_dataclass(value):
            out[field.name] = document(value)
        else:
            out[field.name] = value
    return out


def lines(table: Any, indent: str = "") -> list[str]:
    """A table for reading: one figure a line, with its 95 % interval and of how many videos it is."""
    from longlive.evaluation.interval import Interval

    out = []
    for field in fields(table):
        value = getattr(table, field.name)
        if isinstance(value, Interval):
            text = f"{value.mean:.3f} ({value.low:.3f} to {value.high:.3f}), n {value.n}"
            out.append(f"{indent}{field.name:22} {text}")
        elif isinstance(value, tuple) or is_dataclass(value):
            for part in value if isinstance(value, tuple) else (value,):
                out += [f"{indent}{field.name}", *lines(part, indent + "  ")]
        else:
            out.append(f"{indent}{field.name:22} {'none' if value is None else value}")
    return out


def _require_plot(path: Path | None) -> None:
    """Before hours of work. WrongInput if nothing can be drawn there."""
    if path is None:
        return
    if path.suffix != ".png":
        raise WrongInput(f"--plot {path} is no PNG file; write for example --plot {path.with_suffix('.png')}")
    if not path.parent.is_dir():
        raise WrongInput(f"--plot: there is no folder {path.parent}; make it, or name another")
    if importlib.util.find_spec("matplotlib") is None:
        raise WrongInput("--plot needs matplotlib; install it (pip install matplotlib), or leave --plot out")
