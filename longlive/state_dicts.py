"""Reads checkpoint files: tensors under their plain names, whatever they were wrapped in.

Files are mapped into memory, so what is not used is not read. Facts of the layouts: reference sheet, section 8.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from longlive.errors import CheckpointError

SHOWN = 4  # names listed in a message
ENTRIES = ("generator", "generator_ema", "generator_lora")  # of a training checkpoint
CONTAINERS = ("model", "state_dict", "module")  # what else a state dict is put into
_WRAPPED = re.compile(
    r"^(model|module|diffusion_model)\.|_fsdp_wrapped_module\.|_checkpoint_wrapped_module\.|_orig_mod\."
)
_LFS_POINTER = b"version https://git-lfs"
_AGAIN = "copy or download it again"


def read_state_dict(path: Path, entry: str = "generator") -> dict[str, Tensor]:
    """The tensors of a `.safetensors` file or a torch pickle (tensors only), under their plain names.

    Of a training checkpoint those of `entry`. Prefixes that wrappers of a module left in its names are removed.
    CheckpointError if the file is missing, damaged, or holds something else.
    """
    tensors = unwrapped(path, read_checkpoint(path), entry)
    plain = {plain_name(name): tensor for name, tensor in tensors.items()}
    if len(plain) != len(tensors):
        raise CheckpointError(f"{path} holds a tensor under several prefixes; keep one copy of the weights in it")
    return plain


def read_checkpoint(path: Path) -> object:
    """What a file holds, as it is. CheckpointError if it is no file of tensors, or could run code."""
    _require_content(path)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # Old torch files are no zip archives and cannot be mapped into memory.
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except SafetensorError as error:
        raise CheckpointError(f"{path} is damaged, or no safetensors file ({error}); {_AGAIN}") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror or error})") from error
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} is no torch file of plain tensors, and nothing else is opened because it could run code; "
            "save the state dict alone, best as .safetensors"
        ) from error
    except Exception as error:  # a parser of foreign bytes fails in any way, and advises to trust them
        raise CheckpointError(f"{path} is damaged, or no torch file; {_AGAIN}") from error


def unwrapped(path: Path, content: object, entry: str) -> Mapping[str, Tensor]:
    """The state dict inside of what a file holds: under `entry`, under a common container's name, or bare."""
    inner: Any = content
    while isinstance(inner, Mapping) and not is_state_dict(inner):
        name = next((name for name in (entry, *CONTAINERS) if isinstance(inner.get(name), Mapping)), None)
        if name is None:
            others = [other for other in ENTRIES if isinstance(inner.get(other), Mapping)]
            if others:
                raise CheckpointError(
                    f"{path} has no '{entry}', only {', '.join(others)}; name the one to take in the model's "
                    "configuration (files.entry), or give a checkpoint that has it"
                )
            break
        inner = inner[name]
    if isinstance(inner, Mapping) and is_state_dict(inner):
        return inner
    found = ", ".join(str(name) for name in list(inner)[:SHOWN]) if isinstance(inner, Mapping) else type(inner).__name__
    raise CheckpointError(
        f"{path} holds no state dict (found {found or 'nothing'}); it must be one, or have one under "
        f"{', '.join((*ENTRIES, *CONTAINERS))}"
    )


def is_state_dict(content: Mapping[Any, Any]) -> bool:
    """Whether these are tensors by name, and some."""
    return bool(content) and all(isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items())


def plain_name(name: str) -> str:
    """A tensor's name without what wrappers of its module put in front and in between."""
    while (plain := _WRAPPED.sub("", name)) != name:
        name = plain
    return name


def _require_content(path: Path) -> None:
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder; give the path of a .safetensors, .pt or .pth file")
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; give the path of a .safetensors, .pt or .pth file")
    with path.open("rb") as file:
        start = file.read(len(_LFS_POINTER))
    if not start:
        raise CheckpointError(f"{path} is empty; {_AGAIN}")
    if start == _LFS_POINTER:
        raise CheckpointError(
            f"{path} is a pointer of git-lfs, not the file itself; run `git lfs pull` where it is from"
        )
