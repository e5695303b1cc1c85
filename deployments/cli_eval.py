"""`longlive eval switch` and its like: the paper's tables over held-out scenes of the tiny world."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from deployments.cli_input import DTypeOption, ModelOption, WrongInput, load_model, users_input
from deployments.cli_report import provenance
from deployments.cli_tiny import parse_seeds
from longlive.precision import Precision

if TYPE_CHECKING:
    from longlive.model import Model

Table = TypeVar("Table")

SeedsOption = Annotated[str, typer.Option("--seeds", help="A:B, one video or more for each seed from A to below B.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of lines.")]
PlotOption = Annotated[Path | None, typer.Option("--plot", help="Draw it to this PNG file (needs matplotlib).")]


def add_tables(group: typer.Typer) -> None:
    group.command("switch")(switch)


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

    _tell(model, dtype, seeds, as_json, videos(chosen), lambda engine, made: switch_table(engine, chosen, made),
          plot_switch, plot)  # fmt: skip


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
            bar = progress.add_task("videos", total=steps)
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
        elif isinstance(value, tuple):
            for part in value:
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
