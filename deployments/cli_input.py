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

SMALL_DIM = 512


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
    """Around code whose failures are about what the user named or wrote, not about us."""
    from longlive.checkpoints import CheckpointError

    try:
        yield
    except (CheckpointError, OSError, ValueError) as error:
        raise WrongInput(" ".join(str(error).split())) from error


def load_model(name: str, dtype: DType | None) -> Model:
    """The engine for one video at a time. Raises CheckpointError."""
    import torch

    from longlive import pipeline

    model = pipeline.load_model(name, dtype=dtype.torch() if dtype else None)
    if model.config.transformer.dim < SMALL_DIM:
        # The steps of a small model are too short to share: one thread is faster than two, much so on a busy machine.
        torch.set_num_threads(1)
    return model
