"""Small models in every published layout: folders whose files have the names, entries and prefixes of the real ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from longlive.config import AdapterConfig, ModelConfig, ModelFiles
from longlive.config_file import read_config, to_json
from longlive.presets import PRESETS

RANK = 4
ALPHA = 8.0
ADAPTED = (
    *(f"{kind}_attn.{part}" for kind in ("self", "cross") for part in "qkvo"),
    "ffn.0",
    "ffn.2",
)

State = Mapping[str, Tensor]


def plain(name: str) -> str:
    return f"model.{name}"


def sharded(name: str) -> str:
    """As a sharded, compiled and checkpointed module names its blocks' tensors."""
    head, _, rest = name.partition(".0.")
    inner = f"{head}.0._fsdp_wrapped_module._checkpoint_wrapped_module.{rest}" if rest else name
    return f"_fsdp_wrapped_module._orig_mod.model.{inner}"


def renamed(state: State, rename: Callable[[str], str]) -> dict[str, Tensor]:
    return {rename(name): tensor for name, tensor in state.items()}


def spoilt(state: State) -> dict[str, Tensor]:
    """Other weights of the same shapes: what must not be taken."""
    return {name: tensor + 1 for name, tensor in state.items()}


def lora(blocks: int, weights: State, rank: int = RANK) -> dict[str, Tensor]:
    """Random matrices for the linears that the published adapter is about, under its names."""
    generator = torch.Generator().manual_seed(5)
    adapter = {}
    for block in range(blocks):
        for module in ADAPTED:
            outs, ins = weights[f"blocks.{block}.{module}.weight"].shape
            prefix = f"base_model.model.blocks.{block}.{module}"
            adapter[f"{prefix}.lora_A.weight"] = torch.randn(rank, ins, generator=generator) * 0.1
            adapter[f"{prefix}.lora_B.weight"] = torch.randn(outs, rank, generator=generator) * 0.1
    return adapter


def merged(weights: State, adapter: State, scale: float) -> dict[str, Tensor]:
    """The weights with the adapter in them, by its definition."""
    out = dict(weights)
    for name, down in adapter.items():
        if name.endswith(".lora_A.weight"):
            module = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
            up = adapter[name.replace("lora_A", "lora_B")]
            out[f"{module}.weight"] = weights[f"{module}.weight"].double() + scale * up.double() @ down.double()
    return {name: tensor.float() for name, tensor in out.items()}


def publish(untrained: Path, folder: Path, preset: str) -> tuple[ModelConfig, dict[str, Tensor]]:
    """A model folder with the preset's file names and rules and the untrained model's sizes.

    Returns its configuration and the transformer's weights as they must come out of it.
    """
    sizes, published = read_config(untrained / "config.json"), PRESETS[preset].config
    files = published.files
    if files.adapter:
        files = replace(files, adapter=AdapterConfig(file=files.adapter.file, rank=RANK, alpha=ALPHA))
    config = replace(sizes, name=preset, rollout=published.rollout, files=files)
    weights = load_file(untrained / "transformer.safetensors")
    save(folder / files.transformer, _checkpoint(files, weights))
    if files.adapter:
        adapter = lora(sizes.transformer.num_layers, weights)
        save(folder / files.adapter.file, {"generator_lora": adapter, "critic_lora": spoilt(adapter), "step": 3000})
        weights = merged(weights, adapter, ALPHA / RANK)
    save(folder / files.vae, load_file(untrained / "vae.safetensors"))
    save(folder / files.text_encoder, load_file(untrained / "text_encoder.safetensors"))
    tokenizer = folder / files.tokenizer
    tokenizer.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.write_bytes((untrained / "tokenizer.json").read_bytes())
    (folder / "config.json").write_text(to_json(config))
    return config, weights


def save(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)


def _checkpoint(files: ModelFiles, weights: State) -> dict[str, object]:
    """What a trainer writes: the weights asked for, and others beside them."""
    other = "generator" if files.entry == "generator_ema" else "generator_ema"
    rename = sharded if files.entry == "generator_ema" else plain
    return {
        other: renamed(spoilt(weights), plain),
        files.entry: renamed(weights, rename),
        "critic": renamed(spoilt(weights), plain),
        "generator_optimizer": {"state": {}, "param_groups": [{"lr": 1e-5}]},
        "step": 700,
    }
