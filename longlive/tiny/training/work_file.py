"""Files that a stopped training goes on from. Each knows what it was made with, so that no two runs are mixed."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from longlive.tiny.training.errors import ResumeError

Origin = Mapping[str, str]  # what a file was made with: a name that its user understands, and its value
_ORIGIN = "origin"


def write(path: Path, origin: Origin, content: Mapping[str, Any]) -> None:
    """Replaces the file as a whole, or not at all."""
    part = path.with_suffix(".part")
    torch.save({**content, _ORIGIN: dict(origin)}, part)
    part.replace(path)


def read(path: Path, origin: Origin) -> dict[str, Any]:
    """The content of a file, mapped into memory. ResumeError if it is damaged or was made with anything else."""
    try:
        content: dict[str, Any] = torch.load(path, weights_only=True, mmap=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ResumeError(f"{path} is damaged; remove it, and its stage begins anew") from error
    found = content.pop(_ORIGIN, {})
    if differing := [name for name, value in origin.items() if found.get(name) != value]:
        raise ResumeError(
            f"{path} was made with another {' and another '.join(differing)}; "
            "go on as that run was started, or begin anew in another work folder"
        )
    return content


def digest(tensors: Mapping[str, Tensor]) -> str:
    """Hash of names, shapes and values."""
    total = hashlib.blake2b(digest_size=16)
    for name, tensor in tensors.items():
        total.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        total.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
