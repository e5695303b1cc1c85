"""The files of a folder of goldens."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from longlive.verify.case import NotSupported
from longlive.verify.settings import configure

CONFIG = "config.json"
COMPONENT_CONFIGS = ("vae_t5_config.json", CONFIG)
WEIGHTS = ("weights_wan_layout", "weights_generator_layout")
FILES = {
    *("inputs", "single_forward", "rollouts", "recache_state", "lora_weights", "lora_outputs", "tables", *WEIGHTS),
    *("vae_weights", "vae_io", "t5_weights", "t5_io"),
}
# Published settings that change the numbers and have one value here.
FIXED = {"independent_first_frame": False, "i2v": False, "qk_norm": True, "cross_attn_norm": True}


class GoldenError(Exception):
    """A file of the folder that cannot be used: which, and what is wrong with it."""


@dataclass(frozen=True, kw_only=True)
class GoldenConfig:
    """`config.json` of a folder with a transformer; lengths in latent frames."""

    dim: int
    num_heads: int
    ffn_dim: int
    num_layers: int
    freq_dim: int
    text_dim: int
    text_len: int
    eps: float
    nfb: int  # frames of a chunk
    local_attn_size: int  # window
    sink_size: int
    timestep_shift: float
    denoising_step_list: tuple[int, ...]
    warp_denoising_step: bool = True
    context_noise: float = 0.0
    switches: tuple[int, ...] = ()
    early_switch: int | None = None
    unaligned_switch: int | None = None
    lora_rank: int = 1
    lora_alpha: float = 1


class GoldenFolder:
    """Reads each file once, when it is first asked for. Its methods raise GoldenError for a damaged file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tensors = cache(self._tensors)
        self.config = cache(self._config)

    def file(self, name: str) -> Path:
        return self.path / f"{name}.safetensors"

    def has(self, name: str) -> bool:
        return self.file(name).is_file()

    def unknown_files(self) -> list[str]:
        """Names of the safetensors files of which this version knows nothing."""
        return sorted(file.name for file in self.path.glob("*.safetensors") if file.stem not in FILES)

    def component(self, part: str) -> dict[str, object]:
        """The settings of `vae` or `t5`; empty if no file has any."""
        for name in COMPONENT_CONFIGS:
            if (self.path / name).is_file() and part in (settings := self._json(name)):
                found = settings[part]
                if not isinstance(found, dict):
                    raise GoldenError(f"{name}: {part} is no object of settings")
                return found
        return {}

    def _tensors(self, name: str) -> dict[str, Tensor]:
        """The tensors of a file; none if there is no such file."""
        if not self.has(name):
            return {}
        try:
            return load_file(self.file(name))
        except SafetensorError as error:
            raise GoldenError(f"{name}.safetensors is damaged: {error}") from error

    def _config(self) -> GoldenConfig:
        """The settings of the transformer. NotSupported for one that this version has only one value for."""
        settings = self._json(CONFIG)
        for name, value in FIXED.items():
            if (found := settings.get(name, value)) != value:
                raise NotSupported(f"{CONFIG}: {name} {json.dumps(found)} is not supported")
        # A folder also records how it was made, which is nobody's setting here.
        own = {field.name: settings[field.name] for field in fields(GoldenConfig) if field.name in settings}
        try:
            return configure(GoldenConfig, own)
        except ValueError as error:
            raise GoldenError(f"{CONFIG} does not describe a roll-out: {error}") from error

    def _json(self, name: str) -> dict[str, object]:
        try:
            content = json.loads((self.path / name).read_bytes())
        except ValueError as error:
            raise GoldenError(f"{name} is no JSON: {error}") from error
        if not isinstance(content, dict):
            raise GoldenError(f"{name} is no object of settings")
        return content
