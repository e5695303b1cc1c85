"""`longlive prompts make`: files of prompts that follow one another, for training and evaluation."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deployments.cli_input import WrongInput, users_input
from deployments.cli_report import provenance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deployments.sequence_file import SequenceFile, Summary
    from deployments.sequence_plan import SequencePlan
    from deployments.settings import Settings
    from prompt_agent.backends.chat import ChatBackend
    from prompt_agent.form import Form

PATIENT_SECONDS = 30.0  # for a language model, where the settings say nothing: no viewer waits
WARNINGS_SHOWN = 5

prompts_app = typer.Typer(rich_markup_mode=None, help="Files of prompts, for training and evaluation.")


@prompts_app.callback()
def _group() -> None:
    """Keeps `make` a word of its own: a group of one command would swallow it."""


@prompts_app.command("make")
def make(
    out: Annotated[
        Path, typer.Argument(metavar="OUT.jsonl", help='{"prompts": [...]} on each line, for `generate --prompts`.')
    ],
    scenes: Annotated[
        Path | None, typer.Option(help="A .txt file with a scene on each line: the first prompts.")
    ] = None,
    tiny_scenes: Annotated[
        int | None, typer.Option(min=1, help="Or so many captions of the tiny world, of what training may see.")
    ] = None,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Of the tiny world only what training must never see.")
    ] = False,
    prompts: Annotated[int, typer.Option(min=2, max=100, help="Prompts on each line, the scene included.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Draws the requests, and the scenes of the tiny world.")] = 0,
    requests: Annotated[
        Path | None, typer.Option(help="A .txt file with a request on each line. Else what the prompt agent suggests.")
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            help="How prompts are written: full (paragraphs), tiny (captions) or a .toml file. Else "
            "$LONGLIVE_PROMPT_PROFILE, else full; for --tiny-scenes tiny."
        ),
    ] = None,
    llm_url: Annotated[
        str | None, typer.Option(help="A language model that writes them: an OpenAI-compatible API, with its /v1.")
    ] = None,
    llm_model: Annotated[str | None, typer.Option(help="The name that this API has for the model.")] = None,
    most_at_once: Annotated[int, typer.Option(min=1, max=1024, help="Lines that are written at once.")] = 16,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of lines.")] = False,
) -> None:
    """Have the prompt agent write, for each scene, the prompts that follow it: by rules, or with a language model."""
    if (scenes is None) == (tiny_scenes is None):
        raise WrongInput("where do the scenes come from? Give either --scenes or --tiny-scenes")
    if held_out and tiny_scenes is None:
        raise WrongInput("--held-out is for --tiny-scenes; leave it out")
    if out.suffix != ".jsonl" or not out.parent.is_dir():
        raise WrongInput(f"{out}: give the name of a .jsonl file in a folder that there is")
    from deployments.sequence_file import SequenceFile
    from deployments.sequence_plan import plan_of_file, plan_of_tiny_world
    from prompt_agent.forms import DEFAULT, open_form
    from prompt_agent.profile import load_profile

    with _settings_input(), users_input():
        if tiny_scenes is not None:
            profile = profile or "tiny"
        settings = _settings(profile, llm_url, llm_model)
        loaded = load_profile(settings.prompt_profile or DEFAULT)
        if scenes is not None:
            plan = plan_of_file(scenes, requests, prompts, seed)
        elif tiny_scenes is not None:
            plan = plan_of_tiny_world(tiny_scenes, held_out, loaded, requests, prompts, seed)
        file = SequenceFile(out, plan.fingerprint(loaded, settings))
        try:
            asyncio.run(_write(plan, open_form(loaded), settings, file, resume, most_at_once))
        except KeyboardInterrupt:
            if file.done:
                said = f"{len(file.done)} of {len(plan.scenes)} scenes are in {file.part}; go on with --resume"
                print(said, file=sys.stderr)
            raise
        _finish(file)
    if as_json:
        how = {"out": str(out), "scenes": len(plan.scenes), "prompts_per_line": prompts, "seed": seed}
        by = {"profile": loaded.name, "llm": settings.llm_model}
        print(json.dumps(how | by | _document(file.summary) | provenance(), indent=2))
    else:
        for line in _lines(out, file.summary):
            print(line)


@contextmanager
def _settings_input() -> Iterator[None]:
    """As `users_input`, for what settings name."""
    from deployments.settings import SettingsError
    from prompt_agent.profile import ProfileError
    from prompt_agent.safety import SafetyError

    try:
        yield
    except (SettingsError, ProfileError, SafetyError) as error:
        raise WrongInput(" ".join(str(error).split())) from error


def _settings(profile: str | None, llm_url: str | None, llm_model: str | None) -> Settings:
    """Those of the service. Raises SettingsError."""
    from deployments.settings import load_settings

    settings = load_settings(prompt_profile=profile, llm_url=llm_url, llm_model=llm_model)
    if settings.llm is not None:
        raise WrongInput("LONGLIVE_LLM is started by the service alone: unset it, and name a model with --llm-url")
    return settings


async def _write(
    plan: SequencePlan, form: Form, settings: Settings, file: SequenceFile, resume: bool, most_at_once: int
) -> None:
    """Every sequence that the file lacks, with progress on stderr."""
    from rich.console import Console
    from rich.progress import Progress

    from deployments.chat_backend import backend_at_url
    from prompt_agent.agent import PromptAgent
    from prompt_agent.safety import WordList
    from prompt_agent.sequences import write_sequences

    seconds = settings.llm_seconds if "llm_seconds" in settings.model_fields_set else PATIENT_SECONDS
    backend = backend_at_url(settings, form)
    backends = [] if backend is None else [backend]
    agent = PromptAgent(form, backends, safety=WordList(settings.safety_words), deadline=seconds)
    console = Console(stderr=True)
    try:
        for each in backends:
            with console.status("asking the language model"):
                await _reach(each, plan.scenes[0], seconds)
        file.open(resume)
        left = [(number, scene) for number, scene in enumerate(plan.scenes) if number not in file.done]
        with Progress(console=console) as progress:
            bar = progress.add_task("scenes", total=len(plan.scenes), completed=len(file.done))
            written = write_sequences(agent, plan.recipe, left, most_at_once, plan.holds)
            async with aclosing(written):
                async for sequence in written:
                    file.add(sequence)
                    if sequence.trouble is not None:
                        why = f"{sequence.trouble}. {sequence.detail}".rstrip()
                        left_out = f"scene {sequence.number + 1} is left out: {why}"
                        console.print(left_out, markup=False, highlight=False, soft_wrap=True)
                    progress.update(bar, advance=1, description=_counted(file.summary.prompts) or "scenes")
    finally:
        for each in backends:
            await each.close()


async def _reach(backend: ChatBackend, scene: str, seconds: float) -> None:
    """Asks once, so that a model that cannot be asked is told of before rules write everything. Raises WrongInput."""
    from prompt_agent.backends import BackendError, Trouble
    from prompt_agent.expansion import Ask

    try:
        async with asyncio.timeout(seconds):
            await backend.write(Ask(scene, "make it rain"), lambda text: None)
    except TimeoutError:
        raise WrongInput(f"the language model does not answer within {seconds:g} s; try LONGLIVE_LLM_SECONDS") from None
    except BackendError as error:
        if error.trouble in (Trouble.unreachable, Trouble.wrong_key, Trouble.wrong_model, Trouble.refused):
            raise WrongInput(str(error)) from error


def _finish(file: SequenceFile) -> None:
    """Raises WrongInput where nothing came of any scene."""
    if not file.summary.lines:
        file.discard()
        raise WrongInput(f"no scene gave a line ({_counted(file.summary.left_out)}); give other scenes, or --requests")
    file.finish()


def _document(summary: Summary) -> dict[str, Any]:
    return {
        "lines": summary.lines,
        "left_out": dict(summary.left_out),
        "prompts": dict(summary.prompts),
        "requests_dropped": summary.dropped,
        "warnings": dict(summary.warnings.most_common()),
    }


def _lines(out: Path, summary: Summary) -> Iterator[str]:
    yield f"{out}: {summary.lines} lines; prompts by {_counted(summary.prompts)}"
    if summary.left_out:
        yield f"left out: {summary.left_out.total()} scenes ({_counted(summary.left_out)})"
    if summary.dropped:
        yield f"requests that gave no prompt: {summary.dropped}"
    for warning, times in summary.warnings.most_common(WARNINGS_SHOWN):
        yield f"{times} x {warning}"
    if (others := len(summary.warnings) - WARNINGS_SHOWN) > 0:
        yield f"and {others} other warnings"


def _counted(counter: Counter[str]) -> str:
    """`llm 90, rules 6`."""
    return ", ".join(f"{name} {times}" for name, times in counter.most_common())
