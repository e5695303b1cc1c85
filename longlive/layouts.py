"""What a state dict is, told from the names and shapes in it, and what a whole one of its kind would hold.

Nothing here reads a tensor's data.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from longlive.config import LIGHT_WIDTH_DIVISOR, TextEncoderConfig, TransformerConfig, VAEConfig
from longlive.lora import KEY as ADAPTER_KEY
from longlive.taehv import TAEHVConfig, TAEHVDecoder
from longlive.transformer import CausalWanTransformer
from longlive.vae import WanDecoder, WanVAE
from longlive.vae_names import MARK as DIFFUSERS_MARK
from longlive.vae_names import original_vae_names

Shapes = Mapping[str, tuple[int, ...]]

UNKNOWN = "something else"


@dataclass(frozen=True)
class Finding:
    """A kind of state dict, its dimensions by name, and what does not agree with a whole one of these dimensions."""

    layout: str
    dimensions: Mapping[str, int] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()


def recognise(state: Mapping[str, Tensor]) -> Finding:
    """What a state dict under plain names is."""
    if any(ADAPTER_KEY.fullmatch(name) for name in state):
        return _adapter(state)
    if DIFFUSERS_MARK in state:
        try:
            state, origin = original_vae_names(state), ", diffusers names"
        except ValueError:
            return Finding(UNKNOWN)
    else:
        origin = ""
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    for marks, read in _KINDS:
        if all(len(shapes.get(mark, ())) == rank for mark, rank in marks.items()):
            try:
                layout, dimensions, expected = read(shapes)
            except (ValueError, KeyError, IndexError, ZeroDivisionError):
                continue  # the sizes make no whole model of this kind
            return Finding(layout + origin, dimensions, *_compare(expected, shapes))
    return Finding(UNKNOWN)


def _compare(expected: Shapes, shapes: Shapes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is missing or of another shape, and what is too much."""
    missing = [name for name in expected if name not in shapes]
    misshapen = [
        f"{name} {list(shape)} (is {list(shapes[name])})"
        for name, shape in expected.items()
        if name in shapes and shapes[name] != shape
    ]
    return (*missing, *misshapen), tuple(name for name in shapes if name not in expected)


def _adapter(state: Mapping[str, Tensor]) -> Finding:
    pairs: dict[str, dict[str, Tensor]] = {}
    unexpected = []
    for name, tensor in state.items():
        match = ADAPTER_KEY.fullmatch(name)
        if match is None:
            unexpected.append(name)
        else:
            pairs.setdefault(match["module"], {})[match["part"]] = tensor
    missing = tuple(f"{module}: lora_{part}" for module, pair in pairs.items() for part in "AB" if part not in pair)
    misshapen = tuple(
        f"{module}: lora_{part} {list(tensor.shape)} is no matrix"
        for module, pair in pairs.items()
        for part, tensor in pair.items()
        if tensor.ndim != 2
    )
    ranks = {pair["A"].shape[0] for pair in pairs.values() if "A" in pair and pair["A"].ndim == 2}
    dimensions = {"modules": len(pairs), "blocks": _count(pairs, r"blocks\.(\d+)\.")}
    if len(ranks) == 1:
        dimensions |= {"rank": min(ranks)}
    elif ranks:
        dimensions |= {"smallest rank": min(ranks), "largest rank": max(ranks)}
    return Finding("LoRA of a Wan DiT", dimensions, (*missing, *misshapen), tuple(unexpected))


def _transformer(shapes: Shapes) -> tuple[str, dict[str, int], Shapes]:
    usual = TransformerConfig()
    dim, channels, *patch = shapes["patch_embedding.weight"]
    outs = _axis(shapes, "head.head.weight", 0, usual.out_channels * math.prod(patch))
    dimensions = {
        "dim": dim,
        "ffn_dim": _axis(shapes, "blocks.0.ffn.0.weight", 0, usual.ffn_dim),
        "num_layers": _count(shapes, r"blocks\.(\d+)\."),
        "freq_dim": _axis(shapes, "time_embedding.0.weight", 1, usual.freq_dim),
        "text_dim": _axis(shapes, "text_embedding.0.weight", 1, usual.text_dim),
        "in_channels": channels,
        "out_channels": outs // math.prod(patch),
    }
    patch_size = (patch[0], patch[1], patch[2])
    return (
        "Wan DiT",
        dimensions,
        _shapes(
            # No shape depends on the number of heads.
            lambda: CausalWanTransformer(TransformerConfig(**dimensions, num_heads=1, patch_size=patch_size))
        ),
    )


def _vae(shapes: Shapes) -> tuple[str, dict[str, int], Shapes]:
    full = VAEConfig()
    dim, z_dim = shapes["decoder.head.0.gamma"][0], _axis(shapes, "conv2.weight", 0, full.z_dim)
    levels = len(full.dim_mult)
    per_level = (_count(shapes, r"decoder\.upsamples\.(\d+)\.") + 1) // levels  # the last level has no up-sampler
    config = VAEConfig(dim=dim, z_dim=z_dim, num_res_blocks=per_level - 2, mean=(0.0,) * z_dim, std=(1.0,) * z_dim)
    whole = any(name.startswith("encoder.") for name in shapes)
    layout = "Wan VAE" if whole else "decoder of a Wan VAE"
    if dim == full.dim // LIGHT_WIDTH_DIVISOR:
        layout = f"light {layout}"
    dimensions = {"dim": dim, "z_dim": z_dim, "num_res_blocks": config.num_res_blocks}
    return layout, dimensions, _shapes(lambda: WanVAE(config) if whole else WanDecoder(config))


def _taehv(shapes: Shapes) -> tuple[str, dict[str, int], Shapes]:
    width, z_dim = shapes["decoder.1.weight"][:2]
    widths = (width, *(shapes[f"decoder.{layer}.weight"][0] for layer in (8, 14, 20)))
    decoder = _shapes(lambda: TAEHVDecoder(TAEHVConfig(z_dim=z_dim, widths=widths)))
    expected = dict(decoder)
    for layer, inner in zip((7, 13, 19), widths, strict=False):
        name = f"decoder.{layer}.conv.weight"  # may make more frames than a Wan decoder's: the last ones count
        rows = shapes.get(name, (0,))[0]
        if rows > decoder[name][0] and rows % inner == 0:
            expected[name] = shapes[name]
    expected |= {name: shape for name, shape in shapes.items() if name.startswith("encoder.")}
    return "TAEHV (tiny decoder)", {"z_dim": z_dim, "width": width}, expected


def _umt5(shapes: Shapes) -> tuple[str, dict[str, int], Shapes]:
    vocabulary, dim = shapes["token_embedding.weight"]
    inner = shapes["blocks.0.attn.q.weight"][0]
    buckets = _axis(shapes, "blocks.0.pos_embedding.embedding.weight", 0, TextEncoderConfig().num_buckets)
    heads = _axis(shapes, "blocks.0.pos_embedding.embedding.weight", 1, TextEncoderConfig().num_heads)
    ffn = _axis(shapes, "blocks.0.ffn.fc1.weight", 0, TextEncoderConfig().dim_ffn)
    sizes = {
        "vocab_size": vocabulary,
        "dim": dim,
        "dim_ffn": ffn,
        "num_heads": heads,
        "num_layers": _count(shapes, r"blocks\.(\d+)\."),
    }
    return "UMT5 text encoder", sizes, umt5_shapes(TextEncoderConfig(**sizes, dim_attn=inner, num_buckets=buckets))


def umt5_shapes(config: TextEncoderConfig) -> Shapes:
    """What the published file of a text encoder holds."""
    dim, inner, ffn = config.dim, config.dim_attn, config.dim_ffn
    block = {
        "norm1": (dim,),
        "attn.q": (inner, dim),
        "attn.k": (inner, dim),
        "attn.v": (inner, dim),
        "attn.o": (dim, inner),
        "norm2": (dim,),
        "ffn.gate.0": (ffn, dim),
        "ffn.fc1": (ffn, dim),
        "ffn.fc2": (dim, ffn),
        "pos_embedding.embedding": (config.num_buckets, config.num_heads),
    }
    return {
        "token_embedding.weight": (config.vocab_size, dim),
        "norm.weight": (dim,),
        **{
            f"blocks.{number}.{name}.weight": shape
            for number in range(config.num_layers)
            for name, shape in block.items()
        },
    }


# Names that only this kind has, with the number of axes of each.
_KINDS: tuple[tuple[dict[str, int], Callable[[Shapes], tuple[str, dict[str, int], Shapes]]], ...] = (
    ({"patch_embedding.weight": 5, "blocks.0.self_attn.q.weight": 2}, _transformer),
    ({"decoder.conv1.weight": 5, "decoder.head.0.gamma": 4}, _vae),
    ({"decoder.1.weight": 4, "decoder.3.conv.0.weight": 4}, _taehv),
    ({"token_embedding.weight": 2, "blocks.0.attn.q.weight": 2}, _umt5),
)


def _shapes(build: Callable[[], nn.Module]) -> Shapes:
    with torch.device("meta"):
        module = build()
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def _axis(shapes: Shapes, name: str, axis: int, usual: int) -> int:
    """An axis of a tensor; the usual size if it is missing, to say what else is."""
    shape = shapes.get(name, ())
    return shape[axis] if axis < len(shape) else usual


def _count(names: Iterable[str], numbered: str) -> int:
    """How many different numbers there are in names that begin with a pattern: no name alone makes a model large."""
    found = (re.match(numbered, name) for name in names)
    return len({match[1] for match in found if match})
