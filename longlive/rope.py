"""Rotary position embedding over time, rows and columns (reference sheet, section 2).

A head's channels are consecutive pairs, each read as one complex number. With c = head_dim / 2 pairs, rows and columns
take c // 3 each and time the rest; every axis has its own 10000-base table over its own pairs.
"""

from __future__ import annotations

import torch
from torch import Tensor

BASE = 10000.0


class RotaryTable:
    """Cosines and sines for one token grid. Angles are made in float64, so a frame position has no upper limit."""

    def __init__(self, head_dim: int, rows: int, columns: int, device: torch.device | str = "cpu") -> None:
        pairs = head_dim // 2
        axis = pairs // 3
        self.time_pairs = pairs - 2 * axis
        self.frequencies = _frequencies(self.time_pairs).to(device)
        row = torch.outer(torch.arange(rows, dtype=torch.float64), _frequencies(axis))
        column = torch.outer(torch.arange(columns, dtype=torch.float64), _frequencies(axis))
        grid = torch.cat((row[:, None].expand(-1, columns, -1), column[None].expand(rows, -1, -1)), dim=-1)
        self.grid = grid.flatten(0, 1).to(device)  # angle of every token of a frame, [rows * columns, 2 * axis]

    def at(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines, each [F, S, 1, head_dim / 2] float32, for `frames` [F]: time positions, any real dtype."""
        time = torch.outer(frames.to(torch.float64), self.frequencies)
        tokens = self.grid.shape[0]
        angles = torch.cat((time[:, None].expand(-1, tokens, -1), self.grid[None].expand(len(frames), -1, -1)), dim=-1)
        return angles.cos().float()[:, :, None], angles.sin().float()[:, :, None]


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate `x` [B, F, S, heads, head_dim] by a table of `RotaryTable.at`, in float32, rounded once to x's dtype."""
    # A complex product is three times faster on a CPU than the same sum written out over the interleaved halves.
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * torch.complex(cos, sin)).flatten(-2).to(x.dtype)


def _frequencies(pairs: int) -> Tensor:
    return BASE ** (-torch.arange(pairs, dtype=torch.float64) / max(pairs, 1))
