"""What several tests need: models that nobody trained, and whether a browser is here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest
import torch
from safetensors.torch import save_file

from longlive.config import ModelConfig, RolloutConfig, TextEncoderConfig, TransformerConfig, VAEConfig
from longlive.config_file import to_json
from longlive.text_encoder import build_text_encoder, publish_umt5_keys
from longlive.tiny.captions import TEXT_LEN, build_tokenizer
from longlive.transformer import CausalWanTransformer
from longlive.vae import WanVAE

UNTRAINED = ModelConfig(
    name="untrained",
    transformer=TransformerConfig(
        dim=48, num_heads=2, ffn_dim=96, num_layers=2, freq_dim=32, text_dim=32, text_len=TEXT_LEN
    ),
    vae=VAEConfig(dim=8),
    text_encoder=TextEncoderConfig(
        vocab_size=128, dim=32, dim_attn=32, dim_ffn=48, num_heads=2, num_layers=1, num_buckets=16, max_distance=32
    ),
    rollout=RolloutConfig(positions="relative"),
    height=64,
    width=64,
)


def make_untrained_model(folder: Path, config: ModelConfig = UNTRAINED, seed: int = 0) -> Path:
    """Writes a model folder in the published layouts, with the tiny world's tokenizer and random weights.

    No parameter is left at zero, so that the picture moves and depends on the prompt.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        transformer, vae = CausalWanTransformer(config.transformer), WanVAE(config.vae)
        encoder = build_text_encoder(config.text_encoder, device="cpu")
        for name, parameter in transformer.named_parameters():
            if name.startswith("head.head"):
                torch.nn.init.normal_(parameter, std=0.1)
    tokenizer = build_tokenizer()
    assert tokenizer.get_vocab_size() <= config.text_encoder.vocab_size
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(to_json(config, indent=2))
    save_file(_contiguous(transformer.state_dict()), folder / "transformer.safetensors")
    save_file(_contiguous(vae.state_dict()), folder / "vae.safetensors")
    save_file(_contiguous(publish_umt5_keys(encoder.state_dict())), folder / "text_encoder.safetensors")
    return folder


def _contiguous(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.contiguous() for name, tensor in state.items()}


def find_chromium() -> str:
    """The system's browser. Skips the calling test without one, except in CI, where that is a failure."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        path = shutil.which(name)
        # Ubuntu's packages are stubs that only say where the browser is.
        if path and subprocess.run([path, "--version"], capture_output=True, check=False).returncode == 0:
            return path
    _skip("no Chromium here: `make setup` installs it where it can, else install your system's package")


def find_hls_js() -> Path:
    """The script of hls.js. Skips the calling test without it, except in CI, where that is a failure."""
    path = Path(sys.prefix) / "share" / "hls.light.min.js"
    if not path.is_file():
        _skip("no hls.js here: `make setup` fetches it where it can")
    return path


def _skip(sentence: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(sentence)
    pytest.skip(sentence)
