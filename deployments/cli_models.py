"""`longlive fetch` and `longlive inspect`: the files that models are made of."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deployments.cli_input import WrongInput, users_input

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.table import Table

    from longlive.hub import FetchError, Hub, RemoteFile
    from longlive.inspection import Inspection, Part
    from longlive.presets import Source

GIGABYTE = 1e9
SHOWN = 8  # names of tensors in a line


def fetch(
    preset: Annotated[str, typer.Argument(help="longlive-1.3b, self-forcing, causal-forcing, ... (docs/models.md)")],
    to: Annotated[
        Path | None, typer.Option(help="Weights folder; by default $LONGLIVE_WEIGHTS, else ~/.cache/longlive.")
    ] = None,
    with_decoders: Annotated[
        bool, typer.Option("--with-decoders", help="Also what `--decoder light` and `--decoder tiny` need.")
    ] = False,
) -> None:
    """Download the files of a preset: resumes, verifies every hash, skips what is there."""
    from longlive.hub import FetchError, Hub
    from longlive.model_folder import weights_folder
    from longlive.presets import find_preset

    with users_input():
        sources = [source for source in find_preset(preset).sources if with_decoders or not source.optional]
        folder, hub = weights_folder(to).absolute(), Hub()
        absent = [source for source in sources if not (folder / source.path).is_file()]
        own = [source for source in absent if source.repo is None]
        try:
            files = [hub.look_up(source) for source in sources if source.repo is not None]
        except FetchError as error:
            if len(absent) > len(own):
                raise WrongInput(_by_hand(error, absent, folder)) from error
            print(f"{preset}: all that is published is in {folder}, but not verified: {error}")
        else:
            print(f"{preset}: {len(files)} files, {_size(sum(file.size for file in files))}, in {folder}")
            _fetch(files, own, folder, hub)
    for source in own:
        print(f"{folder / source.path}: nobody publishes this file; put your own checkpoint there")
    if not own:
        weights = shlex.quote(str(folder))
        print(
            f"Use it: longlive generate --model {preset} --weights {weights} --prompt '...' --seconds 5 --out clip.mp4"
        )


def _by_hand(error: FetchError | str, sources: Sequence[Source], folder: Path) -> str:
    copies = "\n".join(
        f"  {f'{source.repo}: {source.file}' if source.repo else 'your own checkpoint'} -> {folder / source.path}"
        for source in sources
    )
    return f"{error}. Run this again to go on, or copy by other means:\n{copies}"


def _fetch(files: Sequence[RemoteFile], own: Sequence[Source], folder: Path, hub: Hub) -> None:
    """Downloads what is not there as the hub has it. `own` is what else is missing."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    from longlive.hub import FetchError, free_bytes, missing_bytes

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        missing = [file for file in files if not _is_there(file, folder, progress)]
        needed, free = missing_bytes(missing, folder), free_bytes(folder)
        if needed > free:
            full = f"{_size(needed)} are missing and the disk of {folder} has room for {_size(free)}"
            raise WrongInput(_by_hand(full, [*(file.source for file in missing), *own], folder))
        for done, file in enumerate(missing):
            bar = progress.add_task(file.source.path, total=file.size)
            try:
                hub.download(file, folder / file.source.path, partial(progress.advance, bar))
            except FetchError as error:
                left = [*(file.source for file in missing[done:]), *own]
                raise WrongInput(_by_hand(error, left, folder)) from error
            print(f"{folder / file.source.path}: {_size(file.size)}, verified")


def _is_there(file: RemoteFile, folder: Path, progress: Progress) -> bool:
    path = folder / file.source.path
    if not path.is_file():
        print(f"{path}: {_size(file.size)} to download")
        return False
    bar = progress.add_task(f"checking {file.source.path}", total=file.size)
    there = file.is_at(path, partial(progress.advance, bar))
    progress.remove_task(bar)
    print(f"{path}: {_size(file.size)}, {'is there' if there else 'is not what the hub has: downloaded anew'}")
    return there


def _size(count: float) -> str:
    return f"{count / GIGABYTE:.2f} GB" if count >= GIGABYTE / 100 else f"{count / 1e6:.2f} MB"


def inspect(
    path: Annotated[Path, typer.Argument(help="A checkpoint, a tokenizer, or a folder of them.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")] = False,
) -> None:
    """Say what a file or folder of weights is: layout, dimensions, size, what is missing."""
    from longlive import inspection

    with users_input():
        found = inspection.inspect(path)
    if as_json:
        print(json.dumps(asdict(found), indent=2, default=str))
        return
    from rich.console import Console

    print(f"{found.path}: {found.layout}, {_size(found.size)}")
    if found.contents or found.parts:
        Console().print(_table(found))
    for line in _remarks(found):
        print(line)


def _table(found: Inspection) -> Table:
    """A row for each state dict of each file."""
    from rich.table import Table
    from rich.text import Text

    table = Table(show_lines=True)
    table.add_column("file", overflow="fold")
    table.add_column("what it is")
    table.add_column("holds", justify="right", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    for file in found.contents or (found,):
        name = file.path.name if file is found else str(file.path.relative_to(found.path))
        if not file.parts:
            table.add_row(Text(name), Text(file.layout), "", _size(file.size))
        for part in file.parts:
            dimensions = ", ".join(f"{key} {value}" for key, value in part.dimensions.items())
            table.add_row(
                Text(f"{name}\n{part.entry}".strip()),
                Text(f"{part.layout}\n{dimensions}".strip()),
                f"{part.tensors:,} tensors\n{part.parameters:,} numbers",
                f"{_size(file.size)}\n{', '.join(part.dtypes)}",
            )
    return table


def _remarks(found: Inspection) -> list[str]:
    """What is to be said beside the table, one thing a line."""
    lines = list(found.notes)
    for part in found.parts:
        place = f"{part.entry}: " if part.entry else ""
        lines += [f"{place}{kind}: {_first(names)}" for kind, names in _faults(part)]
    for file in found.contents:
        name = file.path.relative_to(found.path)
        lines += [f"{name}: {line}" for line in _remarks(file)]
    return lines


def _faults(part: Part) -> list[tuple[str, tuple[str, ...]]]:
    return [(kind, names) for kind, names in (("missing", part.missing), ("unexpected", part.unexpected)) if names]


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"
