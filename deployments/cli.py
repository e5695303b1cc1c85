"""The `longlive` command. Everything heavy is imported inside the command that needs it, so that `--help` is quick."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.exceptions import TyperException

from deployments.cli_drain import drain, replicas
from deployments.cli_eval import add_tables
from deployments.cli_generate import generate
from deployments.cli_input import Decoder, DTypeOption, PlainDTypeOption, WrongInput, users_input
from deployments.cli_models import fetch, inspect
from deployments.cli_plan import plan
from deployments.cli_prompt_files import prompts_app
from deployments.cli_prompts import add_prompts
from deployments.cli_sessions import sessions_app
from deployments.cli_time_machine import add_time_machine
from deployments.cli_tiny import eval_app, train_app
from longlive.precision import Precision

if TYPE_CHECKING:
    import torch

    from longlive.verify import CaseResult

WRONG_INPUT = 2

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Video without end, steered with words while it plays.",
)
app.add_typer(train_app, name="train")
add_tables(eval_app)
app.add_typer(eval_app, name="eval")
app.add_typer(prompts_app, name="prompts")
add_prompts(sessions_app)
add_time_machine(sessions_app)
app.add_typer(sessions_app, name="sessions")


def main() -> None:
    """Runs the command line: exit 0, 1 (it failed), 2 (wrong input, one line on stderr), 130 (Ctrl-C)."""
    try:
        code = app(prog_name="longlive", standalone_mode=False)
    except TyperException as error:
        one_line = " ".join(error.format_message().split())
        print(f"longlive: {one_line.rstrip('.')}. See 'longlive --help'.", file=sys.stderr)
        code = WRONG_INPUT
    except WrongInput as error:
        print(f"longlive: {error}", file=sys.stderr)
        code = WRONG_INPUT
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    sys.exit(code)


app.command()(generate)
app.command()(plan)
app.command()(fetch)
app.command()(inspect)
app.command()(replicas)
app.command()(drain)


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(help="A folder of goldens: config, weights, inputs, outputs.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of lines.")] = False,
    dtype: PlainDTypeOption = Precision.float32,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    cases: Annotated[str | None, typer.Option(help="Only these cases, separated by commas.")] = None,
) -> None:
    """Compare the engine with recorded numbers. Exit 1 if a case fails or is not supported."""
    from longlive.verify import run_verify

    results = []
    with users_input():
        for result in run_verify(folder, dtype.dtype, _device(device), _names(cases)):
            results.append(result)
            if not as_json:
                print(verdict(result), flush=True)
    passed = sum(result.passed for result in results)
    if as_json:
        document = {
            "folder": str(folder),
            "dtype": dtype.value,
            "device": device,
            "passed": passed == len(results),
            "cases": [asdict(result) for result in results],
        }
        print(json.dumps(document, indent=2))
    else:
        print(f"{passed} of {len(results)} cases passed")
    raise typer.Exit(0 if passed == len(results) else 1)


def verdict(result: CaseResult) -> str:
    """A case on one line."""
    word = "pass" if result.passed else "FAIL" if result.supported else "not supported"
    if result.error is None or result.max_error is None or result.mean_error is None:
        return f"{word:13} {result.case:44} {result.note}"
    relative = f"  relative {result.error:.2e}" if result.metric == "relative_rms" else ""
    errors = f"max {result.max_error:.2e}  mean {result.mean_error:.2e}{relative}"
    tolerance = f"tolerance {result.tolerance:.0e} ({result.metric}) {result.note}".rstrip()
    return f"{word:13} {result.case:44} {errors}  {tolerance}"


def _device(name: str) -> torch.device:
    import torch

    advice = f"there is no device '{name}' here; give cpu, or cuda where there is a GPU"
    try:
        device = torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise WrongInput(advice) from error
    if device.type not in ("cpu", "cuda"):
        raise WrongInput(advice)
    return device


def _names(text: str | None) -> list[str] | None:
    """`a, b` as ["a", "b"]; none if nothing was given."""
    if text is None:
        return None
    if names := [name.strip() for name in text.split(",") if name.strip()]:
        return names
    raise WrongInput("--cases is empty; name cases, separated by commas, or leave it out")


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    generators: Annotated[int | None, typer.Option(help="Generator replicas; each owns a device or a core.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where the sessions' history is kept.")] = None,
    model: Annotated[str | None, typer.Option(help="A preset ('tiny') or a folder with a model.")] = None,
    weights: Annotated[Path | None, typer.Option(help="Folder with the files of a preset.")] = None,
    decoder: Annotated[Decoder | None, typer.Option(help="What makes pictures.")] = None,
    dtype: DTypeOption = None,
    llm: Annotated[
        str | None,
        typer.Option(help="A language model that writes prompts out, served by vLLM: a name on the hub, or a folder."),
    ] = None,
    llm_url: Annotated[
        str | None,
        typer.Option(help="Or one that is served already: an OpenAI-compatible API, with its /v1."),
    ] = None,
    llm_model: Annotated[str | None, typer.Option(help="The name that this API has for the model.")] = None,
) -> None:
    """Run the service until Ctrl-C. Further settings: the LONGLIVE_* variables of deployments/settings.py."""
    from deployments.settings import SettingsError, load_settings

    try:
        settings = load_settings(
            host=host,
            port=port,
            generators=generators,
            data_dir=data_dir,
            model=model,
            weights=weights,
            decoder=decoder,
            dtype=dtype,
            llm=llm,
            llm_url=llm_url,
            llm_model=llm_model,
        )
    except SettingsError as error:
        raise WrongInput(" ".join(str(error).split())) from error
    from rich.console import Console

    from deployments.preflight import CannotStart
    from deployments.service import Broken, serve_until_stopped

    with Console(stderr=True).status("starting") as status:

        def ready(url: str) -> None:
            status.stop()
            print(f"LongLive is ready: {url}   (API: {url}/docs, stop with Ctrl-C)", flush=True)

        try:
            serve_until_stopped(settings, lambda step: status.update(step), ready)
        except CannotStart as error:
            raise WrongInput(str(error)) from error
        except Broken as error:
            print(f"longlive: {error}", file=sys.stderr)
            raise typer.Exit(1) from error
