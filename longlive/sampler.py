"""The few-step flow sampler: x_t = (1 - sigma) * x0 + sigma * noise, flow = noise - x0 (reference sheet, section 3)."""

from __future__ import annotations

import torch
from torch import Tensor

from longlive.config import SamplerConfig

TABLE_SIZE = 1000


def sigma_table(shift: float) -> Tensor:
    """The 1000 noise levels from 1 down to just above 0, float32; timestep i is 1000 * sigma i."""
    sigma = torch.linspace(1, 0, TABLE_SIZE + 1)[:-1]
    return shift * sigma / (1 + (shift - 1) * sigma)


class FewStepSampler:
    """Knows its levels on the host, so that a step never asks the device for one.

    `timesteps` and `sigmas` have one entry per denoising step and a last one for finished frames: `context_timestep`,
    at which nothing is noisy.
    """

    def __init__(self, config: SamplerConfig, context_timestep: float = 0.0) -> None:
        self.table = sigma_table(config.timestep_shift)
        self._table_timesteps = self.table * TABLE_SIZE
        levels = tuple(
            self._table_timesteps[TABLE_SIZE - step].item() if config.warp else float(step)
            for step in config.denoising_steps
        )
        self.steps = len(levels)
        self.draws = self.steps if config.renoise == "fresh" else 1
        """How many times noise is drawn for a frame."""
        self.timesteps = (*levels, context_timestep)
        self.sigmas = (*(self.sigma(timestep) for timestep in levels), 0.0)

    def sigma(self, timestep: float) -> float:
        """The level of the nearest table entry; never 0, not even for timestep 0. Reads the host only."""
        return self.table[(self._table_timesteps - timestep).abs().argmin()].item()


def to_x0(flow: Tensor, noisy: Tensor, sigma: Tensor) -> Tensor:
    """The clean prediction, in float64, cast back to the dtype of `noisy`; `sigma` broadcasts, float64."""
    return (noisy.double() - sigma * flow.double()).to(noisy.dtype)


def renoise(clean: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """`clean` brought to noise level `sigma` (broadcasts), in the dtype of `clean`."""
    return torch.lerp(clean, noise.to(clean.dtype), sigma.to(clean.dtype))
