"""What a file or a folder of weights is: layouts, sizes, what is missing. Reads names and shapes, no weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from longlive.config_file import read_config
from longlive.errors import CheckpointError
from longlive.layouts import UNKNOWN, recognise
from longlive.model_folder import CONFIG_FILE, is_wan_folder, preset_files
from longlive.presets import PRESETS
from longlive.state_dicts import CONTAINERS, ENTRIES, is_state_dict, plain_name, read_checkpoint

SHOWN = 8  # other things in a file that are listed
LONGEST_NAME = 200
SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")


@dataclass(frozen=True)
class Part:
    """A state dict of a file; `entry` is where it is in it, empty for the whole file."""

    entry: str
    layout: str
    dimensions: Mapping[str, int]
    tensors: int
    parameters: int
    dtypes: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]


@dataclass(frozen=True)
class Inspection:
    """A file or a folder; `size` in bytes. `notes` are whole sentences, `contents` what a folder holds."""

    path: Path
    layout: str
    size: int
    parts: tuple[Part, ...] = ()
    notes: tuple[str, ...] = ()
    contents: tuple[Inspection, ...] = ()


def inspect(path: Path) -> Inspection:
    """What is at a path. CheckpointError for a file that cannot be used at all, with the reason."""
    if path.is_dir():
        return _folder(path)
    if path.suffix == ".json":
        return _json(path)
    return _file(path)


def _file(path: Path) -> Inspection:
    content = read_checkpoint(path)
    size = path.stat().st_size
    if not isinstance(content, Mapping):
        return Inspection(path, UNKNOWN, size, notes=(f"It holds a {type(content).__name__}.",))
    if is_state_dict(content):
        part = _part("", content)
        return Inspection(path, part.layout, size, (part,))
    parts, others = [], []
    for name, value in content.items():
        inner, entry = _inner(value, str(name))
        if inner is not None:
            parts.append(_part(entry, inner))
        else:
            others.append(_shown(f"{name} = {value}" if isinstance(value, int | float) else name))
    more = [f"and {len(others) - SHOWN} more"] if len(others) > SHOWN else []
    notes = (f"Beside it: {', '.join((*others[:SHOWN], *more))}.",) if others else ()
    if not parts:
        return Inspection(path, UNKNOWN, size, notes=notes)
    trained = any(part.entry in ENTRIES for part in parts)
    return Inspection(path, "training checkpoint" if trained else parts[0].layout, size, tuple(parts), notes)


def _inner(value: object, entry: str) -> tuple[Mapping[str, Tensor] | None, str]:
    """The state dict in an entry, or in a container in it, and its path."""
    while isinstance(value, Mapping):
        if is_state_dict(value):
            return value, entry
        name = next((name for name in (*ENTRIES, *CONTAINERS) if isinstance(value.get(name), Mapping)), None)
        if name is None:
            break
        value, entry = value[name], f"{entry}.{name}"
    return None, entry


def _part(entry: str, state: Mapping[str, Tensor]) -> Part:
    found = recognise({plain_name(name): tensor for name, tensor in state.items()})
    return Part(
        entry=_shown(entry),
        layout=found.layout,
        dimensions=found.dimensions,
        tensors=len(state),
        parameters=sum(tensor.numel() for tensor in state.values()),
        dtypes=tuple(sorted({str(tensor.dtype).removeprefix("torch.") for tensor in state.values()})),
        missing=tuple(map(_shown, found.missing)),
        unexpected=tuple(map(_shown, found.unexpected)),
    )


def _shown(text: object) -> str:
    """A name in somebody's file, for a terminal: short, and without what would steer it."""
    name = str(text)
    return name if name.isprintable() and len(name) <= LONGEST_NAME else repr(name[:LONGEST_NAME])


def _json(path: Path) -> Inspection:
    try:
        text = path.read_bytes()
        content: Any = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is no JSON file ({error}); copy or download it again") from error
    size = len(text)
    if isinstance(content, dict):
        model = content.get("model")
        vocabulary = model.get("vocab") if isinstance(model, dict) else None
        if isinstance(vocabulary, dict | list):
            return Inspection(path, "tokenizer", size, notes=(f"{len(vocabulary)} tokens in its vocabulary.",))
        if "_class_name" in content:
            return Inspection(path, f"sizes of a {_shown(content['_class_name'])}", size)
        if "rollout" in content or "name" in content:
            return Inspection(path, "model configuration", size, notes=(f"It names '{read_config(path).name}'.",))
    return Inspection(path, UNKNOWN, size)


def _folder(path: Path) -> Inspection:
    if (path / CONFIG_FILE).is_file() and not is_wan_folder(path):
        return _model_folder(path)
    if relative := preset_files(path):
        notes = tuple(_completeness(name, path) for name in PRESETS)
        return _listed(path, "weights folder", [path / file for file in relative], notes)
    names = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES or file.name == "tokenizer.json")
    if is_wan_folder(path):
        tokenizer = path / "google" / "umt5-xxl" / "tokenizer.json"
        return _listed(path, "Wan folder", [*names, *([tokenizer] if tokenizer.is_file() else [])])
    if names:
        return _listed(path, "folder of weights", names)
    return Inspection(path, UNKNOWN, 0, notes=("No file of weights is in it.",))


def _model_folder(path: Path) -> Inspection:
    config = read_config(path / CONFIG_FILE)
    files = config.files
    needed = [files.transformer, *([files.adapter.file] if files.adapter else []), files.vae]
    needed += [files.text_encoder, files.tokenizer]
    decoders = [file for file in (files.light_decoder, files.tiny_decoder) if file]
    there = [file for file in (*needed, *decoders) if (path / file).is_file()]
    notes = [f"It is called '{config.name}'."]
    notes += [f"{file} is missing." for file in needed if file not in there]
    notes += [f"{file} is not there; only its own --decoder needs it." for file in decoders if file not in there]
    return _listed(path, "model folder", [path / file for file in there], tuple(notes))


def _listed(path: Path, layout: str, files: list[Path], notes: tuple[str, ...] = ()) -> Inspection:
    contents = tuple(_readable(file) for file in files)
    return Inspection(path, layout, sum(part.size for part in contents), notes=notes, contents=contents)


def _readable(path: Path) -> Inspection:
    """What a file is, or why it cannot be used: one bad file does not hide the others."""
    try:
        return inspect(path)
    except CheckpointError as error:
        return Inspection(path, "not usable", path.stat().st_size, notes=(f"{error}.",))


def _completeness(name: str, folder: Path) -> str:
    needed = [source.path for source in PRESETS[name].sources if not source.optional]
    missing = [relative for relative in needed if not (folder / relative).is_file()]
    return f"{name}: lacks {', '.join(missing)}." if missing else f"{name}: complete."
