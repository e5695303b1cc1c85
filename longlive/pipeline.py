"""From words to frames: models by name, and clips of a given length."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path

import torch
from torch import Tensor

from longlive import checkpoints
from longlive.config import ModelConfig
from longlive.config_file import read_config
from longlive.errors import CheckpointError, InputError
from longlive.model import Model, VideoModel
from longlive.precision import Precision, choose_dtype
from longlive.rollout import SwitchMode
from longlive.stream import VideoStream
from longlive.text_encoder import TextEncoder

PRESETS = ("tiny",)


def load_model(
    name: str | Path, dtype: Precision | torch.dtype | None = None, device: torch.device | str | None = None
) -> Model:
    """A preset's model or the one in a folder.

    Without `device` a GPU if there is one; without `dtype` the faster one there, by timing. Raises CheckpointError.
    """
    folder, place = model_folder(name), choose_device(device)
    return checkpoints.load_model(folder, dtype or default_dtype(folder, place), place)


def load_video_model(
    name: str | Path, dtype: Precision | torch.dtype | None = None, device: torch.device | str | None = None
) -> VideoModel:
    """`load_model` without the parts that read prompts, and without the libraries that these need."""
    folder, place = model_folder(name), choose_device(device)
    return checkpoints.load_video_model(folder, dtype or default_dtype(folder, place), place)


def load_prompt_encoder(
    name: str | Path, dtype: Precision | torch.dtype | None = None, device: torch.device | str | None = None
) -> TextEncoder:
    """Only the parts of `load_model` that read prompts."""
    folder, place = model_folder(name), choose_device(device)
    return checkpoints.load_prompt_encoder(folder, dtype or default_dtype(folder, place), place)


def model_folder(name: str | Path) -> Path:
    """Where the files of a preset or of a folder's model are. Raises CheckpointError if there is no such model."""
    folder = Path(str(resources.files("longlive"))) / str(name) / "weights" if name in PRESETS else Path(name)
    if not folder.is_dir():
        known = ", ".join(PRESETS)
        raise CheckpointError(f"there is no model '{name}'; name a folder with a config.json, or a preset: {known}")
    return folder


def choose_device(device: torch.device | str | None) -> torch.device:
    return torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def default_dtype(folder: Path, device: torch.device) -> torch.dtype:
    """What `load_model` picks for the model in a folder. Processes that must agree on it ask once and pass it on."""
    return choose_dtype(read_config(folder / "config.json"), device)


def generate(
    model: Model,
    prompt: str,
    seconds: float,
    seed: int = 0,
    *,
    switches: Sequence[tuple[float, str]] = (),
    mode: SwitchMode = "recache",
) -> Iterator[Tensor]:
    """A clip of `seconds`, chunk by chunk, as uint8 RGB frames [T, height, width, 3].

    A switch (second, prompt) takes effect with the first chunk that starts at or after its second. Raises InputError,
    before anything is generated, for an empty prompt, for times outside of the clip and for a switch after the start
    of its last chunk.
    """
    fps = model.config.fps
    if not (math.isfinite(seconds * fps) and seconds > 0):
        raise InputError(f"a clip cannot last {seconds} seconds; give a number above 0")
    if outside := [at for at, _ in switches if not 0 <= at < seconds]:
        raise InputError(
            f"a switch at {outside[0]:g} s lies outside of the clip; give a time from 0 to below {seconds:g}"
        )
    if not all(text.strip() for text in (prompt, *(text for _, text in switches))):
        raise InputError("a prompt is empty; say what the video shows")
    total = max(1, round(seconds * fps))
    last = _last_start(model.config, total)
    if late := [at for at, _ in switches if at * fps > last]:
        raise InputError(
            f"a switch at {late[0]:g} s comes after the clip's last chunk has begun and would not show; "
            f"give a time up to {last / fps:g}, or a longer clip"
        )
    ordered = sorted(switches, key=lambda switch: switch[0])
    return _frames(model, prompt, total, seed, ordered, mode)


def _last_start(config: ModelConfig, total: int) -> int:
    """First frame of the last chunk of a clip of `total` frames: the latest at which a switch can take effect."""
    chunk = config.rollout.chunk_frames * config.vae.temporal_stride
    first = chunk - config.vae.temporal_stride + 1
    return 0 if total <= first else first + (total - first - 1) // chunk * chunk


def _frames(
    model: Model, prompt: str, total: int, seed: int, switches: Sequence[tuple[float, str]], mode: SwitchMode
) -> Iterator[Tensor]:
    stream = VideoStream(model, model.encode([prompt]), seed)
    waiting = list(switches)
    while (made := stream.frame) < total:
        due = [text for at, text in waiting if at * model.config.fps <= made]
        if due:
            stream.switch(model.encode([due[-1]]), mode)
            waiting = waiting[len(due) :]
        yield stream.next_frames()[: total - made]
