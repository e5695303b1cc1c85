"""Dense attention, the one place that chooses a kernel."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Unmasked attention of `q` [B, N, heads, head_dim] over `k`, `v` [B, M, heads, head_dim]; returns q's shape."""
    out = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
    return out.transpose(1, 2)
