"""Cases of what is computed without a model: noise levels, rotations, sinusoids; and of the two layouts of weights."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from longlive.checkpoints import read_state_dict
from longlive.rope import RotaryTable
from longlive.sampler import FewStepSampler
from longlive.transformer import sinusoid
from longlive.verify.case import Case, Pairs
from longlive.verify.folder import WEIGHTS, GoldenFolder
from longlive.verify.subject import Subject, tensor

LEVELS = ("scheduler.sigmas", "scheduler.timesteps", "denoising_timesteps")
OTHER_INPUTS = re.compile(r"noise|renoise|prompt_embeds\.\d+|scheduler\.training_weights")  # the last: no training here
ROPE = re.compile(r"rope\.freqs_(real|imag)_(first\d+)")
SINUSOID = ("sinusoidal.positions", "sinusoidal.embedding")


def sampler_cases(subject: Subject) -> Iterator[Case]:
    """Of inputs.safetensors."""
    names = subject.folder.tensors("inputs")
    if any(name in names for name in LEVELS):
        yield Case("tables.sampler", "tables", "table", partial(_levels, subject))
    for name in names:
        if name not in LEVELS and not OTHER_INPUTS.fullmatch(name):
            yield Case(f"inputs.{name}", "tables", "table", None)


def table_cases(folder: GoldenFolder) -> Iterator[Case]:
    """Of tables.safetensors."""
    names = folder.tensors("tables")
    if ropes := {match[2] for name in names if (match := ROPE.fullmatch(name))}:
        yield Case("tables.rope", "tables", "statistic", partial(_rope, names, sorted(ropes)))
    if any(name in names for name in SINUSOID):
        yield Case("tables.sinusoidal", "tables", "statistic", partial(_sinusoid, names))
    for name in names:
        if name not in SINUSOID and not ROPE.fullmatch(name):
            yield Case(f"tables.{name}", "tables", "statistic", None)


def layout_cases(folder: GoldenFolder) -> Iterator[Case]:
    """Of the weights, where both published layouts are there."""
    if all(folder.has(name) for name in WEIGHTS):
        yield Case("weights.layouts", "weights", "statistic", partial(_layouts, folder))


def _levels(subject: Subject) -> Pairs:
    """As ratios to the recorded numbers: a float32 timestep of 1000 is only good to 6e-5."""
    goldens, sampler = subject.folder.tensors("inputs"), FewStepSampler(subject.sampler())
    own = (sampler.table, sampler.table * 1000, torch.tensor(sampler.timesteps[:-1]))
    pairs = [(part, goldens[name]) for part, name in zip(own, LEVELS, strict=True) if name in goldens]
    if wrong := [(part, golden) for part, golden in pairs if part.shape != golden.shape]:
        return wrong
    return [(part.double() / golden.double(), torch.ones_like(golden)) for part, golden in pairs]


def _rope(goldens: dict[str, Tensor], counts: list[str]) -> Pairs:
    pairs: Pairs = []
    for name in counts:
        expected = [tensor(goldens, f"rope.freqs_{part}_{name}") for part in ("real", "imag")]
        count, channels = expected[0].shape
        spatial = 2 * (channels // 3)
        # Row and column number of a token both run along the diagonal of a square grid.
        table = RotaryTable(2 * channels, count, count).at(torch.arange(count))
        diagonal = torch.arange(count) * (count + 1)
        for part, golden in zip(table, expected, strict=True):
            time, space = part[:, 0, 0, : channels - spatial], part[0, diagonal, 0, channels - spatial :]
            pairs.append((torch.cat((time, space), dim=-1), golden))
    return pairs


def _sinusoid(goldens: dict[str, Tensor]) -> Pairs:
    positions, expected = (tensor(goldens, name) for name in SINUSOID)
    return [(sinusoid(positions, expected.shape[-1]), expected)]


def _layouts(folder: GoldenFolder) -> Pairs:
    plain, prefixed = (read_state_dict(folder.file(name)) for name in WEIGHTS)
    if plain.keys() != prefixed.keys():
        raise ValueError(f"the two layouts differ in {sorted(plain.keys() ^ prefixed.keys())[:4]}")
    return [(prefixed[name], weight) for name, weight in plain.items()]
