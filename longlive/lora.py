"""Low-rank adapters in the published key form, merged into the weights they adapt (reference sheet, section 8)."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

_KEY = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<part>[AB])\.weight")


@torch.no_grad()
def merge_lora(module: nn.Module, adapter: Mapping[str, Tensor], scale: float) -> None:
    """Adds scale * B @ A to each adapted weight, in the weight's dtype; `scale` is alpha / rank, 1 as published.

    Merge into float32 weights and cast afterwards: a small update is lost when it is added to bfloat16 ones.
    Raises ValueError for a key or shape that does not belong to `module`.
    """
    parts: dict[str, dict[str, Tensor]] = {}
    for key, tensor in adapter.items():
        match = _KEY.fullmatch(key)
        if match is None:
            raise ValueError(f"{key!r} is no key of an adapter")
        parts.setdefault(match["module"], {})[match["part"]] = tensor
    weights = dict(module.named_parameters())
    for name, pair in parts.items():
        weight = weights.get(f"{name}.weight")
        if weight is None or pair.keys() != {"A", "B"}:
            raise ValueError(f"the adapter of {name!r} has no counterpart, or lacks one of its two matrices")
        delta = pair["B"].to(weight.device, torch.float32) @ pair["A"].to(weight.device, torch.float32)
        if delta.shape != weight.shape:
            raise ValueError(f"the adapter of {name!r} is for {list(delta.shape)}, the weight is {list(weight.shape)}")
        weight.add_(delta.to(weight.dtype), alpha=scale)
