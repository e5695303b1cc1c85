"""Number formats: what a model can be asked to compute in, and which of the plain ones this machine is good at.

Importing this loads no torch, so that a command line can name the choices.
"""

from __future__ import annotations

import time
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from longlive.config import ModelConfig

CLEARLY_FASTER = 0.8  # bfloat16 must need at most this share of float32's time: a tie goes to the exact format
ALIASES = {"fp32": "float32", "bf16": "bfloat16"}


class Precision(StrEnum):
    """What the weights of a model are kept in. `bf16` and `fp32` are understood too; anything else is a ValueError.

    `int8`: 8-bit weights and activations; `int8-weight`: 8-bit weights alone; `fp8`: both in e4m3. These three are
    about the linear layers of the transformer's blocks; everything else of such a model is bfloat16.
    """

    float32 = "float32"
    bfloat16 = "bfloat16"
    int8 = "int8"
    int8_weight = "int8-weight"
    fp8 = "fp8"

    @classmethod
    def _missing_(cls, value: object) -> Precision | None:
        return cls(ALIASES[value]) if isinstance(value, str) and value in ALIASES else None

    @classmethod
    def of(cls, dtype: Precision | torch.dtype) -> Precision:
        """The precision itself, or the one whose weights are all of a torch `dtype`."""
        return cls(str(dtype).removeprefix("torch."))

    @property
    def dtype(self) -> torch.dtype:
        """The format of everything that is not quantised."""
        import torch

        return torch.float32 if self is Precision.float32 else torch.bfloat16


PLAIN = (Precision.float32, Precision.bfloat16)


def choose_dtype(config: ModelConfig, device: torch.device) -> torch.dtype:
    """bfloat16 where it is clearly faster for a matrix product of this model's shape, else float32. Takes about 20 ms.

    Accelerators always get bfloat16. The answer can differ between runs on a machine where both are about equal, so
    whoever needs two processes to agree chooses once and hands the answer on.
    """
    import torch

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
    import torch

    rows, inner, columns = shape
    x, weight = torch.ones(rows, inner, dtype=dtype), torch.ones(columns, inner, dtype=dtype)
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        torch.nn.functional.linear(x, weight)
        best = min(best, time.perf_counter() - start)
    return best
