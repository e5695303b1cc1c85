"""Dense attention, the one place that chooses a kernel."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

WRITTEN_OUT_LIMIT = 1 << 22  # scores; 8 MiB in bfloat16


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Unmasked attention of `q` [B, N, heads, head_dim] over `k`, `v` [B, M, heads, head_dim]; returns q's shape."""
    query, key, value = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    scores = q.shape[0] * q.shape[2] * q.shape[1] * k.shape[1]
    if q.device.type == "cpu" and q.dtype is torch.bfloat16 and scores <= WRITTEN_OUT_LIMIT:
        # Written out: on CPUs the fused kernel takes 1.5 times as long in bfloat16, and its backward four times. The
        # scores are rounded to bfloat16, which doubles the error of the output, to a relative 0.5 %; scores in float32
        # would take 1.3 times as long for the tiny model's chunks and six times for 768 keys.
        weights = ((query * q.shape[-1] ** -0.5) @ key.transpose(-1, -2)).softmax(-1)
        return (weights @ value).transpose(1, 2)
    return F.scaled_dot_product_attention(query, key, value).transpose(1, 2)
