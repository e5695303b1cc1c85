"""A bidirectional flow model as a score: what a clip would be without its noise, of every frame from every other."""

from __future__ import annotations

import torch
from torch import Tensor

from longlive.attention import attend
from longlive.rope import RotaryTable, rotate
from longlive.sampler import to_x0
from longlive.transformer import CausalWanTransformer, TextContext


class WholeClip:
    """A `SelfAttentionMemory` in which all frames of one forward see each other, at positions from 0."""

    def __init__(self, table: RotaryTable, frames: int) -> None:
        self._rotation = table.at(torch.arange(frames))

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """See `SelfAttentionMemory`."""
        q, k = rotate(q, *self._rotation), rotate(k, *self._rotation)
        return attend(q.flatten(1, 2), k.flatten(1, 2), v.flatten(1, 2)).view_as(q)


def predict_flow(model: CausalWanTransformer, noisy: Tensor, sigma: Tensor, text: TextContext) -> Tensor:
    """Flow (noise - clean) of clips [B, F, C, H, W] at noise levels `sigma` [B] in 0..1."""
    memory = WholeClip(model.rotary(*noisy.shape[-2:]), noisy.shape[1])
    times = (1000 * sigma.double()).unsqueeze(1).expand(-1, noisy.shape[1])
    return model(noisy, times, text, memory)


def predict_clean(model: CausalWanTransformer, noisy: Tensor, sigma: Tensor, text: TextContext) -> Tensor:
    """The clean clips that `predict_flow` implies, in the dtype of `noisy`."""
    return to_x0(predict_flow(model, noisy, sigma, text), noisy, sigma.double().view(-1, 1, 1, 1, 1))
