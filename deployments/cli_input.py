"""What the commands of `longlive` share: common options, and what becomes of input that cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from longlive.precision import ALIASES, PLAIN, Precision

if TYPE_CHECKING:
    from longlive.model import Model

SMALL_DIM = 512  # width of a transformer whose steps are too short to share among threads


class WrongInput(Exception):
    """What the user gave cannot be used; the message says what to do instead."""


class Mode(StrEnum):
    """What a prompt switch does with what the model remembers of the video so far."""

    recache = "recache"
    keep = "keep"
    clear = "clear"
    blend = "blend"


class Decoder(StrEnum):
    """What turns latents into frames."""

    wan = "wan"
    light = "light"
    tiny = "tiny"


def precision_among(*choices: Precision) -> Callable[[str], Precision]:
    """Reads one of the choices, by its name or its short name."""

    def read(text: str) -> Precision:
        name = ALIASES.get(text, text)
        if name in choices:
            return Precision(name)
        raise typer.BadParameter(f"'{text}' is not one of {', '.join([*choices, *ALIASES])}")

    return read


ModelOption = Annotated[
    str, typer.Option("--model", help="A preset ('tiny', 'longlive-1.3b', ...) or a folder with a model.")
]
WeightsOption = Annotated[
    Path | None,
    typer.Option("--weights", help="Folder with a preset's files; else $LONGLIVE_WEIGHTS, else ~/.cache/longlive."),
]
DecoderOption = Annotated[
    Decoder, typer.Option("--decoder", help="What makes pictures: the model's own, or a faster and coarser one.")
]
DTypeOption = Annotated[
    Precision | None,
    typer.Option(
        parser=precision_among(*Precision),
        metavar="FORMAT",
        help=f"{', '.join(Precision)}. By default float32 or bfloat16, whichever is faster here.",
    ),
]
PlainDTypeOption = Annotated[
    Precision, typer.Option(parser=precision_among(*PLAIN), metavar="FORMAT", help=f"{' or '.join(PLAIN)}.")
]


@contextmanager
def users_input() -> Iterator[None]:
    """Around code whose failures are about what the user named or wrote, not about us: any other error is a bug."""
    from longlive.errors import CheckpointError, InputError, SnapshotError

    try:
        yield
    except (CheckpointError, InputError, SnapshotError, OSError) as error:
        raise WrongInput(" ".join(str(error).split())) from error


def load_model(
    name: str, dtype: Precision | None, weights: Path | None = None, decoder: Decoder = Decoder.wan
) -> Model:
    """The engine for one video at a time. Raises CheckpointError, InputError."""
    import torch

    from longlive import pipeline
    from longlive.model_folder import find_model

    if find_model(name, weights).config.transformer.dim < SMALL_DIM:
        # One thread is faster than two then, much so on a busy machine. Before the load, which times number formats.
        torch.set_num_threads(1)
    return pipeline.load_model(name, dtype, weights=weights, decoder=decoder.value)
