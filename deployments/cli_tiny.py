"""`longlive train tiny` and `longlive eval tiny`: the tiny world's model, made and judged."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deployments.cli_input import DTypeOption, Mode, ModelOption, WrongInput, load_model, precision_among, users_input
from deployments.cli_report import provenance
from longlive.precision import Precision
from longlive.tiny.training import MAX_PROCESSES, PROCESSES

if TYPE_CHECKING:
    from longlive.evaluation.interval import Interval
    from longlive.tiny.evaluation import Adherence, PairedAdherence, SwitchAdherence

train_app = typer.Typer(rich_markup_mode=None, help="Train a model from nothing.")
eval_app = typer.Typer(rich_markup_mode=None, help="Judge a model by what its videos show.")


@train_app.callback()
def _group() -> None:
    """Keeps `tiny` a word of its own: a group of one command would swallow it."""


@train_app.command("tiny")
def train_tiny(
    out: Annotated[Path, typer.Option(help="Where the model goes; `--model` of the other commands takes it.")] = Path(
        "tiny-model"
    ),
    work: Annotated[Path, typer.Option(help="What a stopped run goes on from (0.4 GB).")] = Path("var/train-tiny"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that was stopped in --work.")] = False,
    processes: Annotated[
        int,
        typer.Option(
            min=1, max=MAX_PROCESSES, help="Processes of one thread each; another number trains another model."
        ),
    ] = PROCESSES,
) -> None:
    """Train the tiny model: its VAE, its text encoder, its DiT. Takes some 75 minutes on two cores with bfloat16."""
    stopped = work.is_dir() and any(work.iterdir())
    if stopped and not resume:
        raise WrongInput(f"there is a stopped run in {work}: go on with --resume, or remove that folder to start anew")
    if resume and not stopped:
        raise WrongInput(f"there is no stopped run in {work}: name its folder with --work, or leave --resume out")
    from longlive.tiny.training.errors import ResumeError, TrainingError
    from longlive.tiny.training.run import train_tiny as train

    try:
        train(out, work, _say, processes)
    except (ResumeError, OSError) as error:
        raise WrongInput(str(error)) from error
    except TrainingError as error:
        print(f"longlive: {error}", file=sys.stderr)
        raise typer.Exit(1) from error


def _say(line: str) -> None:
    print(time.strftime("%H:%M:%S"), line, flush=True)


@eval_app.command("tiny")
def eval_tiny(
    seeds: Annotated[str, typer.Option(help="A:B, one held-out scene for each seed from A to below B.")] = "0:256",
    switch: Annotated[Mode | None, typer.Option(help="Judge the new prompt after a switch of this mode.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of lines.")] = False,
    model: ModelOption = "tiny",
    dtype: DTypeOption = None,
    against: Annotated[
        Precision | None,
        typer.Option(
            parser=precision_among(*Precision), metavar="FORMAT", help="Compare with this format, video by video."
        ),
    ] = None,
) -> None:
    """How much of what the videos of held-out scenes show, read from their pixels, matches their prompts."""
    chosen = parse_seeds(seeds)
    if against and switch:
        raise WrongInput("--against compares videos under one prompt; leave --switch out")
    with users_input():
        engine = load_model(model, dtype)
    from rich.console import Console
    from rich.progress import Progress

    from longlive.tiny.evaluation import evaluate, evaluate_pair, evaluate_switch

    with users_input(), Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("scenes", total=len(chosen))

        def made() -> None:
            progress.advance(bar)

        if switch is not None:
            document = switch_document(switch, evaluate_switch(engine, chosen, switch.value, made))
        elif against is not None:
            document = pair_document(against, evaluate_pair(engine, load_model(model, against), chosen, made))
        else:
            document = adherence_document(evaluate(engine, chosen, made))
    if as_json:
        judged = {"model": engine.config.name, "dtype": (dtype or Precision.of(engine.dtype)).value, "seeds": seeds}
        print(json.dumps(document | judged | provenance(), indent=2))
    else:
        for line in lines(document):
            print(line)


def parse_seeds(text: str) -> range:
    """`A:B` as range(A, B). Raises WrongInput unless 0 <= A < B."""
    first, _, last = text.partition(":")
    if first.isdecimal() and last.isdecimal() and int(first) < int(last):
        return range(int(first), int(last))
    raise WrongInput(f"--seeds '{text}' is not A:B with whole numbers A below B; write for example --seeds 0:256")


def adherence_document(result: Adherence) -> dict[str, Any]:
    return {
        "n": result.n,
        **_share("overall", result.overall),
        "attributes": result.attributes,
        "control": result.control,
        "chance": result.chance,
    }


def pair_document(against: Precision, result: PairedAdherence) -> dict[str, Any]:
    """Shares as everywhere; differences in points, hundredths of all readouts."""
    bounds = result.difference
    return {
        "n": result.n,
        "readouts": result.readouts,
        "overall": result.overall,
        "against_dtype": against.value,
        "against": result.against,
        "difference_points": 100 * bounds.mean,
        "difference_points_95": [100 * bounds.low, 100 * bounds.high],
        "attribute_points": {name: 100 * share for name, share in result.attributes.items()},
        "psnr_db": result.psnr,
    }


def switch_document(mode: Mode, results: list[SwitchAdherence]) -> dict[str, Any]:
    return {
        "n": results[0].n,
        "mode": mode.value,
        "after_switch": [
            {
                "seconds": result.seconds,
                **_share("overall", result.overall),
                **_share("changed", result.changed),
                "attributes": result.attributes,
            }
            for result in results
        ],
    }


def _share(name: str, interval: Interval) -> dict[str, Any]:
    """A share and, beside it, its 95 % interval."""
    bounds = asdict(interval)
    return {name: bounds["mean"], f"{name}_95": [bounds["low"], bounds["high"]]}


def lines(document: dict[str, Any], indent: str = "") -> list[str]:
    """A document for reading: one figure a line."""
    out = []
    for name, value in document.items():
        if isinstance(value, dict):
            out += [f"{indent}{name}", *lines(value, indent + "  ")]
        elif value and isinstance(value, list) and isinstance(value[0], dict):
            for part in value:
                out += [f"{indent}{name}", *lines(part, indent + "  ")]
        elif isinstance(value, list):
            out.append(f"{indent}{name:24} {' to '.join(f'{bound:.3f}' for bound in value)}")
        else:
            out.append(f"{indent}{name:24} {f'{value:.3f}' if isinstance(value, float) else value}")
    return out
