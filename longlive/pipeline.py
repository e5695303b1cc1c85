"""From words to frames: models by name, and clips of a given length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from longlive import checkpoints
from longlive.clip import Clip, Schedule, Switch, Time, require_prompt, schedule
from longlive.config import DecoderName, ModelConfig
from longlive.model import Model, VideoModel
from longlive.model_folder import ModelFolder, find_model
from longlive.precision import Precision, choose_dtype
from longlive.stream import VideoStream
from longlive.switch import SwitchMode, SwitchName
from longlive.text_encoder import TextEncoder


def load_model(
    name: str | Path,
    dtype: Precision | torch.dtype | None = None,
    device: torch.device | str | None = None,
    *,
    weights: Path | None = None,
    decoder: DecoderName = "wan",
) -> Model:
    """The model of a preset, whose files are in the folder `weights`, or the one in a folder of its own.

    Without `device` a GPU if there is one; without `dtype` the faster one there, by timing; without `weights`
    $LONGLIVE_WEIGHTS, else ~/.cache/longlive. Raises CheckpointError, and InputError for a decoder it does not have.
    """
    model, place = find_model(name, weights), choose_device(device)
    return checkpoints.load_model(model, _precision(model, dtype, place), place, decoder)


def load_video_model(
    name: str | Path,
    dtype: Precision | torch.dtype | None = None,
    device: torch.device | str | None = None,
    *,
    weights: Path | None = None,
    decoder: DecoderName = "wan",
) -> VideoModel:
    """`load_model` without the parts that read prompts, and without the libraries that these need."""
    model, place = find_model(name, weights), choose_device(device)
    return checkpoints.load_video_model(model, _precision(model, dtype, place), place, decoder)


def load_prompt_encoder(
    name: str | Path,
    dtype: Precision | torch.dtype | None = None,
    device: torch.device | str | None = None,
    *,
    weights: Path | None = None,
) -> TextEncoder:
    """Only the parts of `load_model` that read prompts."""
    model, place = find_model(name, weights), choose_device(device)
    return checkpoints.load_prompt_encoder(model, _precision(model, dtype, place), place)


def choose_device(device: torch.device | str | None) -> torch.device:
    return torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def default_precision(config: ModelConfig, device: torch.device) -> Precision:
    """What `load_model` picks for a model. Processes that must agree on it ask once and pass it on."""
    return Precision.of(choose_dtype(config, device))


def _precision(model: ModelFolder, dtype: Precision | torch.dtype | None, device: torch.device) -> Precision:
    return default_precision(model.config, device) if dtype is None else Precision.of(dtype)


def generate(model: Model, clip: Clip, mode: SwitchMode | SwitchName = "recache") -> Iterator[Tensor]:
    """A clip, chunk by chunk, as uint8 RGB frames [T, height, width, 3]; the last chunk is cut to the clip's length.

    Raises InputError, before anything is generated, for an empty prompt and for what `schedule` refuses.
    """
    require_prompt(clip.prompt)
    schedule(model.config, clip.length, clip.switches)
    stream = VideoStream(model, model.encode([clip.prompt]), clip.seed)
    return proceed(model, stream, clip.length, clip.switches, mode)


def proceed(
    model: Model,
    stream: VideoStream,
    length: Time,
    switches: Sequence[Switch] = (),
    mode: SwitchMode | SwitchName = "recache",
    *,
    whole: bool = False,
) -> Iterator[Tensor]:
    """The next `length` of a stream, as `generate` gives it; times count from where the stream is.

    The stream then stands at the end of its last chunk, which is given `whole` if it is to be gone on from. Raises what
    `schedule` raises, at once.
    """
    return _frames(model, stream, schedule(model.config, length, switches, stream.chunk, whole=whole), mode)


def _frames(model: Model, stream: VideoStream, plan: Schedule, mode: SwitchMode | SwitchName) -> Iterator[Tensor]:
    end = stream.frame + plan.frames
    while stream.frame < end:
        if stream.chunk in plan.prompts:
            stream.switch(model.encode([plan.prompts[stream.chunk]]), mode)
        room = end - stream.frame
        yield stream.next_frames()[:room]
