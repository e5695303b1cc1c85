"""The finished parts as a model folder in the published key layouts."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from longlive.config import ModelConfig, RolloutConfig, VAEConfig
from longlive.text_encoder import publish_umt5_keys
from longlive.tiny.captions import examples
from longlive.tiny.training.dit_stage import TEXT, TRANSFORMER, TinyModel
from longlive.tiny.training.few_step_stage import SAMPLER
from longlive.tiny.world import FPS, SIZE
from longlive.vae import WanVAE


def tiny_config(vae: VAEConfig) -> ModelConfig:
    """The served configuration: LongLive's chunk, window and sink, positions without an end."""
    return ModelConfig(
        name="tiny",
        transformer=TRANSFORMER,
        vae=vae,
        text_encoder=TEXT,
        sampler=SAMPLER,
        rollout=RolloutConfig(positions="relative"),
        height=SIZE,
        width=SIZE,
        fps=FPS,
        examples=tuple(examples(6)),
    )


def export(model: TinyModel, vae: WanVAE, vae_config: VAEConfig, folder: Path) -> Path:
    """Writes config.json, tokenizer.json and the three safetensors files (bfloat16) that `load_model` reads."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(tiny_config(vae_config).model_dump_json(indent=1) + "\n")
    model.tokenizer.save(str(folder / "tokenizer.json"))
    parts: dict[str, dict[str, Tensor]] = {
        "transformer": model.transformer.state_dict(),
        "vae": vae.state_dict(),
        "text_encoder": publish_umt5_keys(model.text_encoder.state_dict()),
    }
    for name, state in parts.items():
        save_file(
            {k: v.to(torch.bfloat16).contiguous().clone() for k, v in state.items()}, folder / f"{name}.safetensors"
        )
    return folder
