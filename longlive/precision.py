"""Which number format this machine is good at, by timing rather than by name."""

from __future__ import annotations

import time

import torch

from longlive.config import ModelConfig

CLEARLY_FASTER = 0.8  # bfloat16 must need at most this share of float32's time: a tie goes to the exact format


def choose_dtype(config: ModelConfig, device: torch.device) -> torch.dtype:
    """bfloat16 where it is clearly faster for a matrix product of this model's shape, else float32. Takes about 20 ms.

    Accelerators always get bfloat16. The answer can differ between runs on a machine where both are about equal, so
    whoever needs two processes to agree chooses once and hands the answer on.
    """
    if device.type != "cpu":
        return torch.bfloat16
    _, height, width = config.latent_shape
    _, patch_height, patch_width = config.transformer.patch_size
    tokens = config.rollout.chunk_frames * (height // patch_height) * (width // patch_width)
    shape = (min(tokens, 1024), config.transformer.dim, min(config.transformer.ffn_dim, 2048))
    faster = _product_seconds(shape, torch.bfloat16) < CLEARLY_FASTER * _product_seconds(shape, torch.float32)
    return torch.bfloat16 if faster else torch.float32


def _product_seconds(shape: tuple[int, int, int], dtype: torch.dtype, repeats: int = 20) -> float:
    """The best of several timings: noise from other processes only ever adds."""
    rows, inner, columns = shape
    x, weight = torch.ones(rows, inner, dtype=dtype), torch.ones(columns, inner, dtype=dtype)
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        torch.nn.functional.linear(x, weight)
        best = min(best, time.perf_counter() - start)
    return best
