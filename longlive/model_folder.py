"""Where a model's files are: a preset's in the weights folder, another model's beside its config.json."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from longlive.config import ModelConfig
from longlive.config_file import read_config
from longlive.errors import CheckpointError
from longlive.presets import PACKAGED, PRESETS, WAN, known

WEIGHTS_VARIABLE = "LONGLIVE_WEIGHTS"
CONFIG_FILE = "config.json"
_WAN_FILES = ("Wan2.1_VAE.pth", "models_t5_umt5-xxl-enc-bf16.pth", "diffusion_pytorch_model.safetensors")


@dataclass(frozen=True)
class ModelFolder:
    """A model's configuration, and the folder that its files lie in. `name` is what it was asked for by."""

    name: str
    config: ModelConfig
    folder: Path

    def file(self, relative: str) -> Path:
        """The path of one of the model's files. CheckpointError if it is not there."""
        path = self.folder / relative
        if path.is_file():
            return path
        if path.is_dir():
            raise CheckpointError(f"{path} is a folder; the model '{self.name}' needs a file there")
        if self.name not in PRESETS:
            raise CheckpointError(f"{path} is missing; put it there, or correct 'files' in {CONFIG_FILE}")
        source = next(source for source in PRESETS[self.name].sources if source.path == relative)
        if source.repo is None:
            raise CheckpointError(f"{path} is missing; no hub has it, so put your own checkpoint there")
        where = "" if self.folder == weights_folder() else f" --to {shlex.quote(str(self.folder))}"
        what = " --with-decoders" if source.optional else ""
        raise CheckpointError(
            f"{path} is missing; `longlive fetch {self.name}{where}{what}` downloads it, or name the folder that has "
            f"{relative} with --weights or {WEIGHTS_VARIABLE}"
        )


def find_model(name: str | Path, weights: Path | None = None) -> ModelFolder:
    """The configuration of a preset or of a folder's model, and where its files are to be; none of them is looked for.

    `weights` is the folder of the presets' files (default: $LONGLIVE_WEIGHTS, else ~/.cache/longlive); the packaged
    model and a folder bring theirs. Raises CheckpointError if there is no such model.
    """
    if str(name) in PRESETS:
        return ModelFolder(str(name), PRESETS[str(name)].config, weights_folder(weights))
    packaged = str(name) == PACKAGED
    folder = Path(str(resources.files("longlive"))) / PACKAGED / "weights" if packaged else _expanded(Path(name))
    if folder.is_file():
        raise CheckpointError(
            f"{folder} is a file; a model is a folder with a {CONFIG_FILE} (docs/models.md), or a preset: {known()}"
        )
    if not str(name) or not folder.is_dir():
        raise CheckpointError(f"there is no model '{name}'; name a folder with a {CONFIG_FILE}, or a preset: {known()}")
    if not (folder / CONFIG_FILE).is_file() or is_wan_folder(folder):
        raise CheckpointError(f"{folder} is no model folder: {_instead(folder)}")
    return ModelFolder(str(name), read_config(folder / CONFIG_FILE), folder)


def preset_files(folder: Path) -> list[str]:
    """Which files of presets a folder has, where presets look for them."""
    sources = (source.path for preset in PRESETS.values() for source in preset.sources)
    return [relative for relative in dict.fromkeys(sources) if (folder / relative).is_file()]


def is_wan_folder(folder: Path) -> bool:
    """Whether this is Wan2.1 as it is published, whole or in part, and no model of ours with such a file."""
    config = folder / CONFIG_FILE
    return any((folder / name).is_file() for name in _WAN_FILES) and (
        not config.is_file() or b'"_class_name"' in config.read_bytes()
    )


def _instead(folder: Path) -> str:
    """What to name in the place of a folder that is something else."""
    if found := preset_files(folder):
        complete = [
            name
            for name, preset in PRESETS.items()
            if all(source.path in found for source in preset.sources if not source.optional)
        ]
        return (
            "it holds files of presets; name it with --weights, and with --model one of "
            f"{', '.join(complete or PRESETS)}"
        )
    if is_wan_folder(folder):
        return (
            f"it is a part of the presets, which look for it as {WAN} in the folder of --weights; "
            f"name one with --model: {', '.join(PRESETS)}"
        )
    return f"it has no {CONFIG_FILE} (docs/models.md); name one that has, or a preset: {known()}"


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise CheckpointError(f"{path} is in a home folder that is not there; write the path in full") from error


def weights_folder(given: Path | None = None) -> Path:
    """Where the presets' files are: what is given, else $LONGLIVE_WEIGHTS, else ~/.cache/longlive."""
    return _expanded(Path(given or os.environ.get(WEIGHTS_VARIABLE) or "~/.cache/longlive"))
