"""The cache rules of the reference sheet, section 4, read literally: slow, and unlike the engine's ring."""

from __future__ import annotations

import torch
from torch import Tensor

from longlive.kv_cache import Positions
from longlive.rope import RotaryTable, rotate
from longlive.transformer import CausalWanTransformer


class MovingWindow:
    """One layer, and keys that really move."""

    def __init__(self, capacity: int, sink: int, positions: Positions, table: RotaryTable, heads: int) -> None:
        self.capacity, self.sink, self.table, self.relative = capacity, sink, table, positions == "relative"
        self.keys = torch.zeros(1, capacity, table.tokens, heads, table.head_dim)
        self.values = torch.zeros_like(self.keys)
        self.global_end = self.local_end = self.origin = 0

    def clear(self) -> None:
        """A mode of ours: the time goes on, and what comes next may be written anywhere."""
        self.local_end, self.origin = 0, self.global_end

    def run(self, start: int, q: Tensor, k: Tensor, v: Tensor, *, rewrite_sink: bool = False) -> Tensor:
        count, end = q.shape[1], start + q.shape[1]
        recompute = end <= self.global_end and start > self.origin
        if end > self.global_end and count + self.local_end > self.capacity:
            evicted = count + self.local_end - self.capacity
            for ring in (self.keys, self.values):
                ring[:, self.sink : self.local_end - evicted] = ring[:, self.sink + evicted : self.local_end].clone()
            self.local_end = self.capacity
        else:
            self.local_end += end - self.global_end
        self.global_end = end
        first = self.local_end - count
        kept = max(self.sink - first, 0) if recompute and not rewrite_sink else 0
        times = torch.arange(first, self.local_end) if self.relative else torch.arange(start, end)
        self.keys[:, first + kept : self.local_end] = (k if self.relative else rotate(k, *self.table.at(times)))[
            :, kept:
        ]
        self.values[:, first + kept : self.local_end] = v[:, kept:]
        keys = self.keys[:, : self.local_end]
        if self.relative:
            keys = rotate(keys, *self.table.at(torch.arange(self.local_end)))
        return softmax_attention(rotate(q, *self.table.at(times)), keys, self.values[:, : self.local_end])


class LiteralMemory:
    """All layers of a roll-out as the reference keeps them; `start` is the first frame of the next forward."""

    def __init__(
        self, transformer: CausalWanTransformer, window: int, sink: int, positions: Positions, height: int, width: int
    ) -> None:
        table, heads = transformer.rotary(height, width), transformer.config.num_heads
        self.layers = [MovingWindow(window, sink, positions, table, heads) for _ in transformer.blocks]
        self.start, self.rewrite_sink = 0, False

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return self.layers[layer].run(self.start, q, k, v, rewrite_sink=self.rewrite_sink)


def softmax_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = torch.einsum("bfshd,bgthd->bhfsgt", q, k) / q.shape[-1] ** 0.5
    weights = scores.flatten(-2).softmax(-1).view_as(scores)
    return torch.einsum("bhfsgt,bgthd->bfshd", weights, v)
