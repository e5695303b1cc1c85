"""Cases of one forward of the transformer: with and without a context, inside, and with an adapter merged in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from longlive.kv_cache import KVCache
from longlive.sampler import FewStepSampler, to_x0
from longlive.transformer import CausalWanTransformer
from longlive.verify.case import Case, Compare, NotSupported, Pairs
from longlive.verify.subject import Layers, Subject, ordered, tensor

STARTS = ("empty", "warm")
INPUT = re.compile(r"x|timestep\.\w+|warm\.context_latents")
OUTPUT = re.compile(r"(?P<start>\w+)\.(?P<step>\w+)\.(flow|x0)")
INSIDE = re.compile(r"acts\.(?P<start>\w+)\.(?P<step>\w+)\.(?P<part>.+)")
STORED = re.compile(r"cache_([kv])\.(\d+)")  # what a layer keeps of the forward's own frames
# Where a recorded activation comes out of our modules. The patches are seen as what enters the first block.
MODULES = (
    (r"block\.(\d+)\.(self_attn|cross_attn)", r"blocks.\1.\2.o"),
    (r"block\.(\d+)\.ffn", r"blocks.\1.ffn"),
    (r"block\.(\d+)", r"blocks.\1"),
    (r"(head|text_embedding|time_embedding|time_projection)", r"\1"),
)


@dataclass(frozen=True)
class Forward:
    """What one forward gave. `stored` are the keys and values of its own frames."""

    flow: Tensor
    x0: Tensor
    stored: Layers


def forward_cases(subject: Subject) -> Iterator[Case]:
    """Of single_forward.safetensors."""
    names = subject.folder.tensors("single_forward")
    for name in names:
        if not (INPUT.fullmatch(name) or OUTPUT.fullmatch(name) or INSIDE.fullmatch(name)):
            yield Case(name, "single_forward", "forward", None)
    for start, step in _groups(OUTPUT, names):
        compare = partial(_forward, subject, start, step) if start in STARTS else None
        yield Case(f"{start}.{step}", "single_forward", "forward", compare)
    for start, step in _groups(INSIDE, names):
        compare = partial(_inside, subject, start, step) if start in STARTS else None
        yield Case(f"acts.{start}.{step}", "single_forward", "forward", compare)


def adapted_forward(subject: Subject, form: str, start: str, step: str) -> Compare:
    """Compares a recorded forward with an adapter; ours is always merged, and must give what it gives beside them."""
    return partial(_adapted, subject, form, start, step) if start in STARTS else None


def _groups(pattern: re.Pattern[str], names: dict[str, Tensor]) -> list[tuple[str, str]]:
    found = (match for name in names if (match := pattern.fullmatch(name)))
    return list(dict.fromkeys((match["start"], match["step"]) for match in found))


def _forward(subject: Subject, start: str, step: str) -> Pairs:
    return _outputs(subject, subject.transformer(), subject.folder.tensors("single_forward"), "", start, step)


def _adapted(subject: Subject, form: str, start: str, step: str) -> Pairs:
    return _outputs(subject, subject.merged(), subject.folder.tensors("lora_outputs"), f"{form}.", start, step)


def _outputs(
    subject: Subject, transformer: CausalWanTransformer, goldens: dict[str, Tensor], prefix: str, start: str, step: str
) -> Pairs:
    result = _run(subject, transformer, start, step)
    outputs = {"flow": result.flow, "x0": result.x0}
    return [
        (out, goldens[name]) for part, out in outputs.items() if (name := f"{prefix}{start}.{step}.{part}") in goldens
    ]


def _inside(subject: Subject, start: str, step: str) -> Pairs:
    """Every recorded activation of a forward."""
    transformer, prefix = subject.transformer(), f"acts.{start}.{step}."
    goldens = {
        name.removeprefix(prefix): golden
        for name, golden in subject.folder.tensors("single_forward").items()
        if name.startswith(prefix)
    }
    seen: dict[str, Tensor] = {}
    with ExitStack() as hooks:
        for part in goldens:
            if part == "patch_embedding":
                hook = transformer.blocks[0].register_forward_pre_hook(
                    lambda _, inputs: seen.update(patch_embedding=inputs[0].flatten(1, 2).transpose(1, 2))
                )
                hooks.callback(hook.remove)
            elif not STORED.fullmatch(part):
                hooks.callback(_module(transformer, part).register_forward_hook(_keep(seen, part)).remove)
        stored = _run(subject, transformer, start, step).stored
    for part in goldens:
        if match := STORED.fullmatch(part):
            seen[part] = stored[int(match[2])]["kv".index(match[1])]
    # Tokens are grouped by frame here and run on in the recorded numbers, or are laid out as a grid.
    return [(seen[part].reshape(golden.shape), golden) for part, golden in goldens.items()]


def _module(transformer: CausalWanTransformer, part: str) -> torch.nn.Module:
    for pattern, path in MODULES:
        if match := re.fullmatch(pattern, part):
            return transformer.get_submodule(match.expand(path))
    raise NotSupported(f"this version knows no activation {part}")


def _keep(seen: dict[str, Tensor], part: str) -> Callable[[torch.nn.Module, object, Tensor], None]:
    def hook(_module: torch.nn.Module, _inputs: object, output: Tensor) -> None:
        seen[part] = output

    return hook


def _run(subject: Subject, transformer: CausalWanTransformer, start: str, step: str) -> Forward:
    goldens, config, device = subject.folder.tensors("single_forward"), subject.config, subject.device
    latents, timesteps = tensor(goldens, "x").to(device), tensor(goldens, f"timestep.{step}")
    text = transformer.encode_text(subject.prompt(0))
    context = tensor(goldens, "warm.context_latents").to(device) if start == "warm" else latents[:, :0]
    memory = KVCache(
        layers=config.num_layers,
        batch=latents.shape[0],
        frames=config.local_attn_size if config.local_attn_size > 0 else context.shape[1] + latents.shape[1],
        sink=config.sink_size,
        heads=config.num_heads,
        rotary=transformer.rotary(*latents.shape[-2:]),
        positions="absolute",
        dtype=subject.dtype,
    )
    for chunk in context.split(config.nfb, dim=1) if context.shape[1] else ():
        memory.begin(range(memory.end, memory.end + chunk.shape[1]))
        transformer(chunk, torch.zeros(chunk.shape[:2], device=device), text, memory)
    memory.begin(range(memory.end, memory.end + latents.shape[1]))
    flow = transformer(latents, timesteps.to(device), text, memory)
    sampler = FewStepSampler(subject.sampler())
    sigma = torch.tensor([[sampler.sigma(t) for t in row] for row in timesteps.tolist()], dtype=torch.float64)
    own = slice(memory.fill - latents.shape[1], memory.fill)
    stored = [(keys[:, own], values[:, own]) for keys, values in ordered(memory)]
    return Forward(flow, to_x0(flow, latents, sigma[..., None, None, None].to(device)), stored)
