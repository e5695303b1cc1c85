"""`longlive generate`: video files from a prompt, from a file of prompts, or from where another video stopped."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deployments.cli_input import (
    Decoder,
    DecoderOption,
    DTypeOption,
    Mode,
    ModelOption,
    WeightsOption,
    WrongInput,
    load_model,
    users_input,
)

if TYPE_CHECKING:
    from rich.console import Console

    from deployments.takes import Take
    from longlive.clip import Switch, Time
    from longlive.model import Model
    from longlive.switch import SwitchMode


class AtLimit(StrEnum):
    """What becomes of a video that the model's absolute positions are too few for."""

    refuse = "refuse"
    rebase = "rebase"


def generate(
    out: Annotated[Path, typer.Option(help="The file to write, for example clip.mp4; with --prompts a folder.")],
    prompt: Annotated[str | None, typer.Option(help="What the video shows.")] = None,
    switch: Annotated[
        list[str] | None, typer.Option(help='SECONDS:PROMPT, a new prompt from then on: 5.0:"it rains". Repeatable.')
    ] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Length of the video.")] = None,
    latents: Annotated[
        int | None, typer.Option(min=1, help="Or its length in latent frames: N of them give 1 + 4 (N - 1) frames.")
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            help='A .txt file with a prompt on each line, or a .jsonl file with {"prompts": [...]} on each. Every line '
            "becomes a video INDEX-SAMPLE.mp4, both counted from 0; those that are there already are left as they are."
        ),
    ] = None,
    switch_frames: Annotated[
        str | None, typer.Option(help='Latent frames at which the prompts of a .jsonl line change: "40, 80, 120".')
    ] = None,
    samples: Annotated[int | None, typer.Option(min=1, max=1000, help="Videos of each line of --prompts.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Make those videos of --prompts anew, too.")] = False,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="The same seed and prompts give the same video; 0 unless given. A video of --prompts has the seed "
            "SEED + 1000 INDEX + SAMPLE. With --from another seed makes another future.",
        ),
    ] = None,
    mode: Annotated[Mode, typer.Option(help="What a switch does with the memory of the video so far.")] = Mode.recache,
    blend_chunks: Annotated[int | None, typer.Option(min=1, help="How many chunks a blend takes.")] = None,
    from_: Annotated[
        Path | None, typer.Option("--from", help="A snapshot to go on from; times count from there.")
    ] = None,
    snapshot_to: Annotated[
        Path | None, typer.Option(help="Write a snapshot for --from at the end, which then is that of a whole chunk.")
    ] = None,
    at_limit: Annotated[
        AtLimit | None, typer.Option(help="What becomes of a video too long for a model with absolute positions.")
    ] = None,
    model: ModelOption = "tiny",
    weights: WeightsOption = None,
    decoder: DecoderOption = Decoder.wan,
    dtype: DTypeOption = None,
) -> None:
    """Write a video file from a prompt, and from further prompts as it goes on; or many, from a file of prompts."""
    _refuse_mixtures(
        prompts is not None,
        {"--prompt": prompt, "--switch": switch, "--from": from_, "--snapshot-to": snapshot_to},
        {"--switch-frames": switch_frames, "--samples": samples, "--overwrite": overwrite or None},
    )
    length, how = _length(seconds, latents), _mode(mode, blend_chunks)
    changes = [parse_switch(text) for text in switch or []]
    _require_places({"--snapshot-to": snapshot_to, "--out": None if prompts else out})
    from rich.console import Console

    from deployments.takes import take_clip, take_from, take_lines
    from longlive.clip import Clip
    from longlive.prompt_files import parse_switch_frames, read_prompt_file
    from longlive.snapshot import Snapshot

    console = Console(stderr=True)
    with users_input():
        if prompts:
            frames = parse_switch_frames(switch_frames) if switch_frames is not None else ()
            takes = take_lines(read_prompt_file(prompts), length, frames, seed or 0, samples or 1, out)
            takes = _left_to_do(takes, out, overwrite, console)
        elif from_:
            takes = [take_from(Snapshot.load(from_), prompt, length, changes, seed, out)]
        elif prompt is not None:
            takes = [take_clip(Clip(prompt, length, tuple(changes), seed or 0), out)]
        else:
            raise WrongInput("there is nothing to show; give --prompt, or a file with --prompts")
        if takes:
            engine = _with_limit(load_model(model, dtype, weights, decoder), at_limit)
            _name_ignored_words(engine, takes, console)
            _film(engine, takes, how, snapshot_to, console)


def parse_switch(text: str) -> Switch:
    """`5.0:it rains` as a switch at 5.0 s to "it rains". Raises WrongInput."""
    from longlive.clip import Seconds, Switch

    seconds, _, prompt = text.partition(":")
    try:
        return Switch(Seconds(float(seconds)), prompt)
    except ValueError:
        raise WrongInput(f"--switch '{text}' is not SECONDS:PROMPT; write it as --switch 5.0:'it rains'") from None


def _refuse_mixtures(many: bool, of_one: dict[str, object], of_many: dict[str, object]) -> None:
    """Options for one video do not go with `--prompts`, nor those for many without it."""
    for name, value in (of_one if many else of_many).items():
        if value not in (None, False, []):
            reason = "is for one video and --prompts for many" if many else "is for the videos of --prompts"
            raise WrongInput(f"{name} {reason}; leave it out")


def _require_places(files: dict[str, Path | None]) -> None:
    """Each file to write has a name of its own, in a folder that is there: it is made after all the work."""
    taken: dict[Path, str] = {}
    with users_input():
        for option, path in files.items():
            if path is None:
                continue
            if path.is_dir() or not path.parent.is_dir():
                raise WrongInput(f"{option} {path}: give the name of a file in a folder that there is")
            if earlier := taken.get(path.resolve()):
                raise WrongInput(f"{earlier} and {option} are both {path}; give each a name of its own")
            taken[path.resolve()] = option


def _length(seconds: float | None, latents: int | None) -> Time:
    from longlive.clip import Latents, Seconds

    if seconds is not None and latents is None:
        return Seconds(seconds)
    if latents is not None and seconds is None:
        return Latents(latents)
    raise WrongInput("how long is the video to be? Give either --seconds or --latents")


def _mode(mode: Mode, blend_chunks: int | None) -> SwitchMode:
    from longlive.switch import MODES, Blend

    if blend_chunks is None:
        return MODES[mode.value]
    if mode is not Mode.blend:
        raise WrongInput("--blend-chunks is for --mode blend; give that, or leave it out")
    return Blend(blend_chunks)


def _left_to_do(takes: list[Take], folder: Path, overwrite: bool, console: Console) -> list[Take]:
    """Makes the folder. Without `overwrite`, what is finished there is not made again."""
    if folder.is_file() or folder.suffix == ".mp4":
        raise WrongInput(f"--out {folder} is not a folder; with --prompts, give one for the videos of all lines")
    folder.mkdir(parents=True, exist_ok=True)
    left = [take for take in takes if overwrite or not take.out.exists()]
    if done := len(takes) - len(left):
        console.print(f"{done} of {len(takes)} videos are there already; --overwrite makes them anew", markup=False)
    return left


def _with_limit(engine: Model, at_limit: AtLimit | None) -> Model:
    """The engine with what is to become of its videos at the end of its positions."""
    if at_limit is None:
        return engine
    try:
        rollout = replace(engine.config.rollout, at_limit=at_limit.value)
    except ValueError as error:
        raise WrongInput(f"--at-limit {at_limit}: {error}") from error
    return replace(engine, config=replace(engine.config, rollout=rollout))


def _name_ignored_words(engine: Model, takes: Sequence[Take], console: Console) -> None:
    for source, text in dict.fromkeys((take.source, text) for take in takes for text in take.prompts):
        where = f"{source}: " if source else ""
        if unknown := engine.unknown_words(text):
            console.print(f"{where}The model does not know, and ignores: {', '.join(unknown)}", markup=False)
        if cut := engine.cut_words(text):
            console.print(f"{where}The prompt is too long; the model ignores its end: {', '.join(cut)}", markup=False)


def _film(engine: Model, takes: Sequence[Take], mode: SwitchMode, snapshot_to: Path | None, console: Console) -> None:
    """Writes the files, with a line for each on stdout and progress over all of them on stderr."""
    import time

    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    config, whole = engine.config, snapshot_to is not None
    lengths = [take.frames(engine, whole=whole) for take in takes]  # refuses what cannot be before a frame is made
    total, made, start = sum(lengths) / config.fps, 0, time.perf_counter()
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[made]}"), TimeRemainingColumn())
    # Lines for a terminal go above the bar; lines for a file or a pipe must not go to the bar's console instead.
    progress = Progress(*columns, console=console, redirect_stdout=sys.stdout.isatty())
    bar = progress.add_task("", total=total, made="")

    def add(frames: int) -> None:
        nonlocal made
        made += frames
        media = made / config.fps
        speed = media / (time.perf_counter() - start)
        progress.update(bar, completed=media, made=f"{media:.1f} of {total:.1f} s, {speed:.1f}x real time")
        progress.start()

    try:
        for take, frames in zip(takes, lengths, strict=True):
            progress.update(bar, description=str(take.out))
            stream = take.film(engine, mode, whole=whole, made=add)
            size = f"{config.width}x{config.height}"
            print(f"{take.out}: {frames} frames of {size}, {frames / config.fps:.2f} s, seed {take.seed}", flush=True)
    finally:
        if progress.live.is_started:
            progress.stop()
    if snapshot_to is not None:
        stream.snapshot().save(snapshot_to)
        print(f"{snapshot_to}: goes on at {stream.frame / config.fps:.2f} s", flush=True)
