"""Noise as a pure function, the same on every device, in any order, on any number of threads."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

NoiseSource = Callable[[int, int, int, tuple[int, ...]], Tensor]
"""(seed, chunk, step, shape) -> standard normal float32 on the CPU. Step 0 starts a chunk, step i re-noises it for
denoising step i."""


def chunk_noise(seed: int, chunk: int, step: int, shape: tuple[int, ...]) -> Tensor:
    """Standard normal float32 numbers on the CPU, a pure function of the arguments; chunk and step below 2**32.

    Philox keyed by the seed (taken modulo 2**64), its counter started at (0, 0, step, chunk): streams cannot overlap.
    """
    key = np.array([seed % 2**64, 0], dtype=np.uint64)
    counter = np.array([0, 0, step, chunk], dtype=np.uint64)
    generator = np.random.Generator(np.random.Philox(key=key, counter=counter))
    return torch.from_numpy(generator.standard_normal(math.prod(shape), dtype=np.float32)).view(shape)
