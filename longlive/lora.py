"""Low-rank adapters in the published key form, merged into the weights they adapt (reference sheet, section 8)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from longlive.config import AdapterConfig
from longlive.errors import CheckpointError
from longlive.state_dicts import read_state_dict

ENTRY = "generator_lora"
KEY = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<part>[AB])(\.default)?\.weight")


@dataclass(frozen=True)
class Adapter:
    """For each adapted weight, by its name, A [rank, in] and B [out, rank]; `scale` is alpha / rank.

    `origin` is the file it came from, for messages.
    """

    origin: Path
    pairs: Mapping[str, tuple[Tensor, Tensor]]
    scale: float

    def require_fit(self, weights: Mapping[str, Tensor]) -> None:
        """CheckpointError unless every pair has its weight and makes its shape."""
        for name, (down, up) in self.pairs.items():
            if name not in weights:
                raise misfit(self.origin, f"it adapts {name}, which the model lacks")
            if down.shape[0] != up.shape[1] or (up.shape[0], down.shape[1]) != tuple(weights[name].shape):
                raise misfit(
                    self.origin,
                    f"its matrices for {name} are {list(up.shape)} and {list(down.shape)}, the weight is "
                    f"{list(weights[name].shape)}",
                )

    @torch.no_grad()
    def merged(self, name: str, weight: Tensor) -> Tensor:
        """The weight plus scale * B @ A in float32, where a small update is not lost; others as they are."""
        if name not in self.pairs:
            return weight
        down, up = (part.to(weight.device, torch.float32) for part in self.pairs[name])
        return torch.addmm(weight.to(torch.float32), up, down, alpha=self.scale)


def read_adapter(path: Path, config: AdapterConfig) -> Adapter:
    """The adapter in a file: under `generator_lora`, or bare. CheckpointError if it is none of this rank."""
    adapter = pair_up(path, read_state_dict(path, ENTRY), config.alpha / config.rank)
    ranks = {down.shape[0] for down, _ in adapter.pairs.values()}
    if ranks != {config.rank}:
        found = ", ".join(map(str, sorted(ranks)))
        raise misfit(path, f"its rank is {found}, the model's configuration says {config.rank}")
    return adapter


def pair_up(origin: Path, state: Mapping[str, Tensor], scale: float) -> Adapter:
    """An adapter of tensors under their published names. CheckpointError for another name or a lonely matrix."""
    parts: dict[str, dict[str, Tensor]] = {}
    for key, tensor in state.items():
        match = KEY.fullmatch(key)
        if match is None:
            raise misfit(origin, f"{key!r} is no name of an adapter's matrix")
        if tensor.ndim != 2:
            raise misfit(origin, f"{key} is {list(tensor.shape)}, no matrix")
        parts.setdefault(f"{match['module']}.weight", {})[match["part"]] = tensor
    for name, pair in parts.items():
        if len(pair) != 2:
            raise misfit(origin, f"it lacks one of the two matrices for {name}")
    return Adapter(origin, {name: (pair["A"], pair["B"]) for name, pair in parts.items()}, scale)


def misfit(origin: Path, fault: str) -> CheckpointError:
    return CheckpointError(f"{origin} does not fit: {fault}; take the adapter that was trained with this model")
