"""A small transformer with random weights, none of them zero, so that every part of it matters."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from longlive.config import RolloutConfig, SamplerConfig, TransformerConfig
from longlive.rollout import Rollout
from longlive.transformer import CausalWanTransformer

LATENT = (4, 4, 6)
CONFIG = TransformerConfig(
    dim=24, num_heads=2, ffn_dim=32, num_layers=2, freq_dim=8, text_dim=10, text_len=6, in_channels=4, out_channels=4
)


def small_transformer(config: TransformerConfig = CONFIG) -> CausalWanTransformer:
    transformer = CausalWanTransformer(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in transformer.parameters():
            scale = 1 / math.sqrt(parameter[0].numel()) if parameter.ndim > 1 else 0.5
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale + (parameter.ndim == 1))
    return transformer.requires_grad_(False)


def prompt(seed: int, rows: int = 3) -> Tensor:
    return torch.randn(1, rows, CONFIG.text_dim, generator=torch.Generator().manual_seed(seed))


def small_rollout(transformer: CausalWanTransformer, seed: int = 0, **changes: Any) -> Rollout:
    settings = {"chunk_frames": 2, "window_frames": 6, "sink_frames": 2, **changes}
    config, sampler = RolloutConfig(**settings), SamplerConfig(denoising_steps=(1000, 500))
    return Rollout(transformer, config, sampler, LATENT, prompt(seed), seed)
