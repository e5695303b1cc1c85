"""What a folder's numbers are held against: this engine's transformer with that folder's weights."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

from longlive.checkpoints import load_transformer, read_state_dict
from longlive.config import AdapterConfig, SamplerConfig, TransformerConfig
from longlive.kv_cache import KVCache
from longlive.lora import Adapter, read_adapter
from longlive.transformer import CausalWanTransformer
from longlive.verify.folder import WEIGHTS, GoldenConfig, GoldenError, GoldenFolder

Layers = list[tuple[Tensor, Tensor]]  # ordered keys and values of every layer


class Subject:
    """The transformer of a folder of goldens, and its inputs. Weights are loaded when they are first asked for."""

    def __init__(self, folder: GoldenFolder, dtype: torch.dtype, device: torch.device | str) -> None:
        self.folder, self.dtype, self.device = folder, dtype, device
        self.transformer = cache(self._load)
        self.merged = cache(self._load_merged)

    @property
    def config(self) -> GoldenConfig:
        return self.folder.config()

    def sampler(self) -> SamplerConfig:
        config = self.config
        return SamplerConfig(
            timestep_shift=config.timestep_shift,
            denoising_steps=config.denoising_step_list,
            warp=config.warp_denoising_step,
        )

    def input(self, name: str) -> Tensor:
        """A tensor of inputs.safetensors."""
        return tensor(self.folder.tensors("inputs"), name)

    def prompt(self, index: int) -> Tensor:
        return self.input(f"prompt_embeds.{index}").to(self.device)

    def _load(self, adapter: Adapter | None = None) -> CausalWanTransformer:
        config = self.config
        path = next((self.folder.file(name) for name in WEIGHTS if self.folder.has(name)), None)
        if path is None:
            raise GoldenError(f"there is neither {' nor '.join(WEIGHTS)}.safetensors")
        state = read_state_dict(path)
        _, channels, *patch = tensor(state, "patch_embedding.weight").shape
        return load_transformer(
            path,
            TransformerConfig(
                dim=config.dim,
                num_heads=config.num_heads,
                ffn_dim=config.ffn_dim,
                num_layers=config.num_layers,
                freq_dim=config.freq_dim,
                text_dim=config.text_dim,
                text_len=config.text_len,
                in_channels=channels,
                out_channels=tensor(state, "head.head.weight").shape[0] // math.prod(patch),
                patch_size=(patch[0], patch[1], patch[2]),
                eps=config.eps,
            ),
            self.dtype,
            self.device,
            adapter=adapter,
        )

    def _load_merged(self) -> CausalWanTransformer:
        path, config = self.folder.file("lora_weights"), self.config
        rank, alpha = config.lora_rank, config.lora_alpha
        return self._load(read_adapter(path, AdapterConfig(file=path.name, rank=rank, alpha=alpha)))


def tensor(tensors: dict[str, Tensor], name: str) -> Tensor:
    """A tensor that a comparison needs. GoldenError if it is not recorded."""
    if name not in tensors:
        raise GoldenError(f"the folder lacks the tensor {name}")
    return tensors[name]


def ordered(memory: KVCache) -> Layers:
    """The contents of every layer in time order."""
    return [memory.ordered(layer) for layer in range(len(memory.keys))]
