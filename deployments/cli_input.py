"""What the commands of `longlive` share: common options, and what becomes of input that cannot be used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import torch

    from longlive.model import Model

SMALL_DIM = 512  # width of a transformer whose steps are too short to share among threads


class WrongInput(Exception):
    """What the user gave cannot be used; the message says what to do instead."""


class Mode(StrEnum):
    """What a prompt switch does with what the model remembers of the video so far."""

    recache = "recache"
    keep = "keep"
    clear = "clear"


class DType(StrEnum):
    float32 = "float32"
    bfloat16 = "bfloat16"

    def torch(self) -> torch.dtype:
        import torch

        return {DType.float32: torch.float32, DType.bfloat16: torch.bfloat16}[self]


ModelOption = Annotated[str, typer.Option("--model", help="A preset ('tiny') or a folder with a model.")]
DTypeOption = Annotated[DType | None, typer.Option(help="Number format; by default whichever is faster here.")]


@contextmanager
def users_input() -> Iterator[None]:
    """Around code whose failures are about what the user named or wrote, not about us: any other error is a bug."""
    from longlive.errors import CheckpointError, InputError

    try:
        yield
    except (CheckpointError, InputError, OSError) as error:
        raise WrongInput(" ".join(str(error).split())) from error


def load_model(name: str, dtype: DType | None) -> Model:
    """The engine for one video at a time. Raises CheckpointError."""
    import torch

    from longlive import pipeline
    from longlive.config_file import read_config

    if read_config(pipeline.model_folder(name) / "config.json").transformer.dim < SMALL_DIM:
        # One thread is faster than two then, much so on a busy machine. Before the load, which times number formats.
        torch.set_num_threads(1)
    return pipeline.load_model(name, dtype=dtype.torch() if dtype else None)
