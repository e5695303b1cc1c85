"""The finished parts as a model folder in the published key layouts."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import save_file
from torch import Tensor

from longlive.config import ModelConfig, VAEConfig
from longlive.config_file import to_json
from longlive.text_encoder import publish_umt5_keys
from longlive.tiny.captions import EXAMPLES
from longlive.tiny.training.block_causal import ROLLOUT
from longlive.tiny.training.dit_stage import TinyModel
from longlive.tiny.training.few_step_stage import SAMPLER
from longlive.tiny.world import FPS, SIZE
from longlive.vae import WanVAE

PARTS = ("transformer", "vae", "text_encoder")
FILES = {"config.json", "tokenizer.json", *(f"{part}.safetensors" for part in PARTS)}
FOLLOW_UPS = ("it starts to snow", "now it is night", "it turns blue", "it moves left", "the sky clears")


def refuse_foreign(folder: Path) -> None:
    """FileExistsError unless a model may go there: nothing yet, an empty folder, or an earlier model."""
    if folder.exists() and (not folder.is_dir() or {file.name for file in folder.iterdir()} - FILES):
        raise FileExistsError(f"{folder} holds something else than a model; name a new or an empty folder")


def tiny_config(model: TinyModel, vae: VAEConfig) -> ModelConfig:
    """The served configuration."""
    return ModelConfig(
        name="tiny",
        transformer=model.transformer.config,
        vae=vae,
        text_encoder=model.text_config,
        sampler=SAMPLER,
        rollout=ROLLOUT,
        height=SIZE,
        width=SIZE,
        fps=FPS,
        examples=EXAMPLES,
        follow_ups=FOLLOW_UPS,
    )


def export(model: TinyModel, vae: WanVAE, vae_config: VAEConfig, folder: Path) -> None:
    """Writes config.json, tokenizer.json and the three safetensors files (bfloat16) that `load_model` reads.

    The folder appears complete; an earlier model there is replaced. FileExistsError if it holds anything else.
    """
    folder = folder.resolve()
    refuse_foreign(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as beside:
        made = Path(beside) / "made"
        made.mkdir()
        _write(model, vae, vae_config, made)
        if folder.exists():
            folder.rename(Path(beside) / "replaced")
        made.rename(folder)


def _write(model: TinyModel, vae: WanVAE, vae_config: VAEConfig, folder: Path) -> None:
    (folder / "config.json").write_text(to_json(tiny_config(model, vae_config), indent=1) + "\n")
    model.tokenizer.save(str(folder / "tokenizer.json"))
    states: tuple[dict[str, Tensor], ...] = (
        model.transformer.state_dict(),
        vae.state_dict(),
        publish_umt5_keys(model.text_encoder.state_dict()),
    )
    for part, state in zip(PARTS, states, strict=True):
        save_file(
            {k: v.to(torch.bfloat16).contiguous().clone() for k, v in state.items()}, folder / f"{part}.safetensors"
        )
