"""What names a model's weights and rules, so that a snapshot of one model is not gone on from with another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from longlive.config import ModelConfig

SAMPLES = 64
SAMPLE_BYTES = 1 << 16


def model_identity(config: ModelConfig, weights: Iterable[Path]) -> str:
    """Hex digits that differ for other weights of the transformer, another roll-out or other latents.

    The number format, the decoder, the names of files and what happens at the end of the positions do not matter. Of
    each file of `weights` its size and samples all over it count: reading gigabytes to name them would take longer than
    loading them.
    """
    rules = {
        "transformer": asdict(config.transformer),
        "sampler": asdict(config.sampler),
        "rollout": {name: value for name, value in asdict(config.rollout).items() if name != "at_limit"},
        "entry": config.files.entry,
        "adapter": config.files.adapter and (config.files.adapter.rank, config.files.adapter.alpha),
        "latents": [*config.latent_shape, *config.vae.mean, *config.vae.std],
    }
    digest = hashlib.blake2b(json.dumps(rules, sort_keys=True).encode(), digest_size=16)
    for path in weights:
        size = path.stat().st_size
        digest.update(str(size).encode())
        with path.open("rb") as file:
            for sample in range(SAMPLES):
                file.seek(sample * max(0, size - SAMPLE_BYTES) // (SAMPLES - 1))
                digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()
