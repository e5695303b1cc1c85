"""Stage 5: from many steps to the served four, by regression on the model's own trajectories.

A frozen copy walks the probability-flow ODE from noise to a clean chunk on a fine grid that contains the served noise
levels; the student learns to jump to that end from each of those levels at once (the ODE initialisation of
Self-Forcing, section 3 of its paper). All chunks of a clip are done in parallel under their clean context.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from longlive.config import SamplerConfig
from longlive.config_file import to_json
from longlive.sampler import FewStepSampler
from longlive.tiny.training.block_causal import CHUNK, BlockCausalMemory, Pattern
from longlive.tiny.training.dit_stage import CONTEXT_NOISE, TinyModel, caption, pick
from longlive.tiny.training.latents import CHUNKS, LatentData
from longlive.tiny.training.trainer import Stage, Trainer, Worker
from longlive.transformer import TextContext

SAMPLER = SamplerConfig(timestep_shift=3.0, renoise="predicted")
STAGE = Stage("few-step", steps=130, batch=8, adam_lr=4e-4, muon_lr=0.004, ema=0.97, warmup=10, decay_from=0.4)
BORDERS = (2, CHUNKS - 1)  # chunks that switches come with; few, for each is another shape to compile
BETWEEN = 2  # teacher steps for each served one


def teacher_grid(sigmas: Sequence[float]) -> list[float]:
    """Noise levels of the teacher's walk: the served ones, `BETWEEN` even steps apart, and finally 0."""
    ends = [*sigmas, 0.0]
    grid = [a + (b - a) * i / BETWEEN for a, b in pairwise(ends) for i in range(BETWEEN)]
    # The last served step is the longest one and ends in detail.
    return [*grid, grid[-1] / 2, 0.0]


class FewStepTuning:
    """The losses of this stage for a student and its frozen teacher."""

    def __init__(self, student: TinyModel) -> None:
        self.student = student
        self.teacher = copy.deepcopy(student).requires_grad_(False)
        sampler = FewStepSampler(SAMPLER)
        self.sigmas = sampler.sigmas[: sampler.steps]
        self.grid = teacher_grid(self.sigmas)

    def loss(self, data: LatentData, batch: int, seed: int, kind: str) -> Tensor:
        """Mean squared error of the student's clean prediction, weighted as a flow error; one number per chunk."""
        rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
        border = 0
        if kind == "start":
            latents, _, scenes = pick(rng, data.starts, 4 * batch)
            captions = [caption(rng, scene) for scene in scenes]
            clean, last = 0, 0
        elif kind == "plain":
            latents, _, scenes = pick(rng, data.plain, batch)
            captions = [caption(rng, scene) for scene in scenes]
            clean, last = CHUNKS - 1, CHUNKS - 1
        else:
            border = rng.choice(BORDERS)
            latents, before, scenes = pick(rng, data.switched[border - 1], batch)
            captions = [caption(rng, new, old) for old, new in zip(before, scenes, strict=True)]
            clean, last = CHUNKS - 1, CHUNKS - 1
        chunks = latents.float().unflatten(1, (-1, CHUNK))
        context = chunks[:, :clean]
        level = CONTEXT_NOISE * torch.rand((len(latents), clean, 1, 1, 1, 1), generator=generator)
        level *= torch.rand((len(latents), 1, 1, 1, 1, 1), generator=generator) < 0.5
        context = torch.lerp(context, torch.randn(context.shape, generator=generator), level)
        shape = (len(latents), last + 1 - border, *chunks.shape[2:])
        noise = torch.randn(shape, generator=generator)
        with torch.no_grad():
            prompt = self.teacher.prompt(captions)
            states, end = self._walk(context, noise, prompt, Pattern(clean, border, border, last, 1))
        pattern = Pattern(clean, border, border, last, len(self.sigmas))
        flow = self._flow(
            self.student, context, torch.cat(states, 1), self.sigmas, self.student.prompt(captions), pattern
        )
        sigma = torch.tensor(self.sigmas).repeat_interleave(shape[1]).view(1, -1, 1, 1, 1, 1)
        error = flow - (torch.cat(states, 1) - end.repeat(1, len(self.sigmas), 1, 1, 1, 1)) / sigma
        return (error**2).mean(dim=(0, 2, 3, 4, 5)).view(len(self.sigmas), -1).mean(0)

    def _walk(
        self, context: Tensor, noise: Tensor, prompt: TextContext, pattern: Pattern
    ) -> tuple[list[Tensor], Tensor]:
        """States at the served levels, and the end of the teacher's walk."""
        x, states = noise, []
        for sigma, following in pairwise(self.grid):
            if sigma in self.sigmas:
                states.append(x)
            x = x + (following - sigma) * self._flow(self.teacher, context, x, (sigma,), prompt, pattern)
        return states, x

    @staticmethod
    def _flow(
        model: TinyModel, context: Tensor, noisy: Tensor, sigmas: Sequence[float], prompt: TextContext, pattern: Pattern
    ) -> Tensor:
        """Flow of the noised chunks `[B, copies * chunks, 3, C, H, W]`, copy i at noise level `sigmas[i]`."""
        span = noisy.shape[1] // len(sigmas)
        times = torch.cat((torch.zeros(pattern.clean), 1000 * torch.tensor(sigmas).repeat_interleave(span)))
        times = times.repeat_interleave(CHUNK).expand(len(noisy), -1)
        sequence = torch.cat((context, noisy), 1).flatten(1, 2)
        flow = model.transformer(sequence, times, prompt, BlockCausalMemory(pattern, model.table))
        return flow.unflatten(1, (-1, CHUNK))[:, pattern.clean :].float()


def train_few_step(
    model: TinyModel,
    data: LatentData,
    worker: Worker,
    directory: Path,
    report: Callable[[str], None],
    stage: Stage = STAGE,
) -> None:
    """Stage 5; `model` must hold the weights that stage 4 ended with."""
    tuning = FewStepTuning(model)
    origin = {**data.origin, **model.origin(), "sampler": to_json(SAMPLER)}
    trainer = Trainer(model, stage, worker, directory, origin, model.muon_names())

    def loss_of(step: int) -> dict[str, Tensor]:
        kind = random.Random(step).choices(("plain", "switch", "start"), (0.3, 0.4, 0.3))[0]
        loss = tuning.loss(data, stage.batch, worker.seed(stage.name, step), kind).mean()
        return {"loss": loss, kind: loss}

    trainer.run(loss_of, report)
