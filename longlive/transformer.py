"""The causal Wan DiT with the original key names (reference sheet, section 2).

It knows no cache: every self-attention hands its queries, keys and values to a `SelfAttentionMemory`, which knows the
positions, what else is attended, and what is kept. Tokens are [B, F, S, ...] throughout, S tokens per latent frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from longlive.attention import attend
from longlive.config import TransformerConfig
from longlive.rope import RotaryTable


class SelfAttentionMemory(Protocol):
    """What the self-attention of one forward may see."""

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attention output of q's shape; q, k (normed, not rotated) and v are [B, F, S, heads, head_dim]."""
        ...


@dataclass(frozen=True)
class TextContext:
    """A prompt as the cross-attentions read it: per layer normed keys and values [B, text_len, heads, head_dim]."""

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]


@dataclass(frozen=True)
class TimeContext:
    """Timesteps as the blocks and the head read them; each piece is [B, F, 1, dim] and scales have 1 added.

    Per block: shift, scale, gate of the self-attention, then of the feed-forward. Head: shift, scale.
    """

    blocks: tuple[tuple[Tensor, ...], ...]
    head: tuple[Tensor, ...]


class RMSNorm(nn.Module):
    """Root-mean-square norm over the last axis, weight only."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


class Attention(nn.Module):
    """Projections with q/k norm over the whole width, before the split in heads."""

    def __init__(self, dim: int, heads: int, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(dim, dim)
        self.k = nn.Linear(dim, dim)
        self.v = nn.Linear(dim, dim)
        self.o = nn.Linear(dim, dim)
        self.norm_q = RMSNorm(dim, eps)
        self.norm_k = RMSNorm(dim, eps)

    def query(self, x: Tensor) -> Tensor:
        return self.norm_q(self.q(x)).unflatten(-1, (self.heads, -1))

    def key_value(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.norm_k(self.k(x)).unflatten(-1, (self.heads, -1)), self.v(x).unflatten(-1, (self.heads, -1))


class Block(nn.Module):
    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        dim, eps = config.dim, config.eps
        self.modulation = nn.Parameter(torch.randn(1, 6, dim) / math.sqrt(dim))
        self.norm1 = nn.LayerNorm(dim, eps, elementwise_affine=False)
        self.self_attn = Attention(dim, config.num_heads, eps)
        self.norm3 = nn.LayerNorm(dim, eps)
        self.cross_attn = Attention(dim, config.num_heads, eps)
        self.norm2 = nn.LayerNorm(dim, eps, elementwise_affine=False)
        self.ffn = nn.Sequential(nn.Linear(dim, config.ffn_dim), nn.GELU("tanh"), nn.Linear(config.ffn_dim, dim))

    def forward(
        self,
        x: Tensor,
        time: tuple[Tensor, ...],
        text: tuple[Tensor, Tensor],
        layer: int,
        memory: SelfAttentionMemory,
    ) -> Tensor:
        """x [B, F, S, dim]; `time` and `text` are this layer's parts of the contexts."""
        shift_attn, scale_attn, gate_attn, shift_ffn, scale_ffn, gate_ffn = time
        y = torch.addcmul(shift_attn, self.norm1(x), scale_attn)
        out = memory.attend(layer, self.self_attn.query(y), *self.self_attn.key_value(y))
        x = torch.addcmul(x, self.self_attn.o(out.flatten(-2)), gate_attn)
        q = self.cross_attn.query(self.norm3(x))
        out = attend(q.flatten(1, 2), *text).view_as(q)
        x = x + self.cross_attn.o(out.flatten(-2))
        y = torch.addcmul(shift_ffn, self.norm2(x), scale_ffn)
        return torch.addcmul(x, self.ffn(y), gate_ffn)


class Head(nn.Module):
    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.modulation = nn.Parameter(torch.randn(1, 2, config.dim) / math.sqrt(config.dim))
        self.norm = nn.LayerNorm(config.dim, config.eps, elementwise_affine=False)
        self.head = nn.Linear(config.dim, math.prod(config.patch_size) * config.out_channels)

    def forward(self, x: Tensor, time: tuple[Tensor, ...]) -> Tensor:
        shift, scale = time
        return self.head(torch.addcmul(shift, self.norm(x), scale))


def sinusoid(timesteps: Tensor, size: int) -> Tensor:
    """Cosines, then sines, of real numbers `timesteps` [...] at falling rates: [..., size] float64."""
    half = size // 2
    rates = 10000.0 ** (-torch.arange(half, dtype=torch.float64, device=timesteps.device) / half)
    angles = timesteps.to(torch.float64).unsqueeze(-1) * rates
    return torch.cat((angles.cos(), angles.sin()), dim=-1)


class CausalWanTransformer(nn.Module):
    """Predicts the flow (noise - clean) of latent frames, given a prompt and a memory of other frames."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.dim
        self.patch_embedding = nn.Conv3d(config.in_channels, dim, config.patch_size, config.patch_size)
        self.text_embedding = nn.Sequential(nn.Linear(config.text_dim, dim), nn.GELU("tanh"), nn.Linear(dim, dim))
        self.time_embedding = nn.Sequential(nn.Linear(config.freq_dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.time_projection = nn.Sequential(nn.SiLU(), nn.Linear(dim, 6 * dim))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.head = Head(config)
        self._initialise()

    @property
    def dtype(self) -> torch.dtype:
        return self.patch_embedding.weight.dtype

    @property
    def device(self) -> torch.device:
        return self.patch_embedding.weight.device

    def rotary(self, height: int, width: int) -> RotaryTable:
        """Rotations for latent frames of `height` x `width`."""
        _, rows, columns = self.config.patch_size
        return RotaryTable(self.config.head_dim, height // rows, width // columns, self.device)

    def encode_text(self, embeds: Tensor) -> TextContext:
        """The context of prompt `embeds` [B, L <= text_len, text_dim]; absent rows are zeros, and attended."""
        if embeds.shape[1] > self.config.text_len:
            raise ValueError(f"{embeds.shape[1]} text rows, the transformer reads at most {self.config.text_len}")
        padded = F.pad(embeds.to(self.dtype), (0, 0, 0, self.config.text_len - embeds.shape[1]))
        text = self.text_embedding(padded)
        keys, values = zip(*(block.cross_attn.key_value(text) for block in self._blocks()), strict=True)
        return TextContext(keys, values)

    def encode_time(self, timesteps: Tensor) -> TimeContext:
        """The context of `timesteps` [B, F], real numbers in 0..1000. Worth keeping for timesteps that come again."""
        # The sinusoid is made in float64 and rounded once: bfloat16 cannot hold a timestep of 937.5.
        embedding = self.time_embedding(sinusoid(timesteps, self.config.freq_dim).to(self.dtype))
        projected = self.time_projection(embedding).unflatten(-1, (6, 1, -1))  # [B, F, 6, 1, dim]
        blocks = torch.stack([block.modulation for block in self._blocks()])[:, :, None, :, None] + projected
        head = self.head.modulation[:, None, :, None] + embedding[:, :, None, None]
        return TimeContext(
            tuple(
                (shift_attn, 1 + scale_attn, gate_attn, shift_ffn, 1 + scale_ffn, gate_ffn)
                for shift_attn, scale_attn, gate_attn, shift_ffn, scale_ffn, gate_ffn in (
                    block.unbind(2) for block in blocks.unbind(0)
                )
            ),
            (head[:, :, 0], 1 + head[:, :, 1]),
        )

    def forward(
        self, latents: Tensor, timesteps: Tensor | TimeContext, text: TextContext, memory: SelfAttentionMemory
    ) -> Tensor:
        """Flow [B, F, C, H, W] of noisy `latents` of that shape; `timesteps` [B, F] or their context."""
        time = timesteps if isinstance(timesteps, TimeContext) else self.encode_time(timesteps)
        x = self._patchify(latents)
        for layer, block in enumerate(self.blocks):
            x = block(x, time.blocks[layer], (text.keys[layer], text.values[layer]), layer, memory)
        return self._unpatchify(self.head(x, time.head), latents)

    def _blocks(self) -> list[Block]:
        return cast(list[Block], self.blocks)

    def _patchify(self, latents: Tensor) -> Tensor:
        """Tokens [B, F, S, dim], row by row. The patches do not overlap, so the convolution is one matrix product."""
        _, p, q = self.config.patch_size
        batch, frames, channels, height, width = latents.shape
        x = latents.to(self.dtype).reshape(batch, frames, channels, height // p, p, width // q, q)
        x = x.permute(0, 1, 3, 5, 2, 4, 6).reshape(batch, frames, -1, channels * p * q)
        return F.linear(x, self.patch_embedding.weight.flatten(1), self.patch_embedding.bias)

    def _unpatchify(self, tokens: Tensor, latents: Tensor) -> Tensor:
        _, p, q = self.config.patch_size
        batch, frames, _, height, width = latents.shape
        x = tokens.view(batch, frames, height // p, width // q, p, q, -1).permute(0, 1, 6, 2, 4, 3, 5)
        return x.reshape(batch, frames, -1, height, width)

    def _initialise(self) -> None:
        """Wan's start: uniform Xavier linears, small embeddings, and a head that predicts zero flow."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.xavier_uniform_(self.patch_embedding.weight.flatten(1))
        for linear in (*self.text_embedding, *self.time_embedding):
            if isinstance(linear, nn.Linear):
                nn.init.normal_(linear.weight, std=0.02)
        nn.init.zeros_(self.head.head.weight)
