"""Where a model's files are: a preset's in the weights folder, another model's beside its config.json."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from longlive.config import ModelConfig
from longlive.config_file import read_config
from longlive.errors import CheckpointError
from longlive.presets import PACKAGED, PRESETS, known

WEIGHTS_VARIABLE = "LONGLIVE_WEIGHTS"
CONFIG_FILE = "config.json"


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
        raise CheckpointError(
            f"{path} is missing; `longlive fetch {self.name}` downloads it, or name the folder that has "
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
    folder = Path(str(resources.files("longlive"))) / PACKAGED / "weights" if packaged else Path(name).expanduser()
    if folder.is_file():
        raise CheckpointError(
            f"{folder} is a file; a model is a folder with a {CONFIG_FILE} (docs/models.md), or a preset: {known()}"
        )
    if not folder.is_dir():
        raise CheckpointError(f"there is no model '{name}'; name a folder with a {CONFIG_FILE}, or a preset: {known()}")
    return ModelFolder(str(name), read_config(folder / CONFIG_FILE), folder)


def weights_folder(given: Path | None = None) -> Path:
    """Where the presets' files are: what is given, else $LONGLIVE_WEIGHTS, else ~/.cache/longlive."""
    return Path(given or os.environ.get(WEIGHTS_VARIABLE) or "~/.cache/longlive").expanduser()
