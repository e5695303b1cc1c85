"""The student's own roll-out, with gradients: Self-Forcing (section 3), with LongLive's window, sink and recache.

It is the serving roll-out. In each chunk one denoising step, the exit, is computed with gradients and ends the chunk;
the steps before it, and all keys and values of other chunks, are constants.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from longlive.config import RolloutConfig, SamplerConfig
from longlive.kv_cache import KVCache
from longlive.noise import NoiseSource, chunk_noise
from longlive.policy import ForwardPass
from longlive.rollout import Rollout
from longlive.sampler import FewStepSampler, to_x0
from longlive.transformer import CausalWanTransformer, TextContext, TimeContext

ExitOf = Callable[[int], int]
"""The denoising step with which a chunk ends, from 0; a pure function of the chunk."""


def drawn_exits(seed: int, steps: int, clip_of: Callable[[int], int]) -> ExitOf:
    """One uniform exit of `steps` for all chunks of a clip; `clip_of` says which clip a chunk belongs to."""
    return lambda chunk: random.Random(f"exit {seed} {clip_of(chunk)}").randrange(steps)


@dataclass(frozen=True)
class ExitPolicy:
    """A `ChunkPolicy` whose chunks are finished by an earlier step: its clean prediction is taken as it is."""

    chunk_frames: int
    steps: int
    exit_of: ExitOf

    def passes(self, chunk: int) -> Sequence[ForwardPass]:
        """ValueError for an exit that is no step."""
        frames = range(chunk * self.chunk_frames, (chunk + 1) * self.chunk_frames)
        last, finished = self.exit_of(chunk), (self.steps,) * self.chunk_frames
        if not 0 <= last < self.steps:
            raise ValueError(f"chunk {chunk} ends with step {last}; there are steps 0 to {self.steps - 1}")
        before = [ForwardPass(frames, (step,) * self.chunk_frames) for step in range(last)]
        return [*before, ForwardPass(frames, (last,) * self.chunk_frames, finished), ForwardPass(frames, finished)]


class SelfForcing:
    """One video of `B` sequences under training; `clip` goes on with it. Arguments and errors as of `Rollout`."""

    def __init__(
        self,
        transformer: CausalWanTransformer,
        config: RolloutConfig,
        sampler: SamplerConfig,
        latent_shape: tuple[int, int, int],
        prompt: Tensor,
        seed: int,
        exit_of: ExitOf,
        *,
        noise: NoiseSource = chunk_noise,
        max_frames: int | None = None,
    ) -> None:
        self._transformer = transformer
        self._sampler = FewStepSampler(sampler, config.context_noise)
        self._prompt = prompt
        self._made: list[Tensor] = []
        self.rollout = Rollout(
            transformer,
            config,
            sampler,
            latent_shape,
            prompt,
            seed,
            noise=noise,
            policy=ExitPolicy(config.chunk_frames, self._sampler.steps, exit_of),
            forward=self._forward,
            max_frames=max_frames,
        )

    def clip(self, chunks: int) -> Tensor:
        """Latents [B, chunks * chunk_frames, C, H, W] of the next chunks, with gradients to the transformer.

        Its weights may have changed since the clip before; the keys and values that it goes on from have not.
        """
        self.rollout.reread()
        for _ in range(chunks):
            self.rollout.next_chunk()
        made, self._made = self._made, []
        return torch.cat(made, dim=1)

    def switch(self, prompt: Tensor) -> None:
        """Go on under another prompt [B, L, text_dim] by a KV recache, as serving does (LongLive, section 3.1)."""
        self.rollout.switch(prompt)
        self._prompt = prompt

    def _forward(
        self, step: ForwardPass, latents: Tensor, time: TimeContext, text: TextContext, cache: KVCache
    ) -> Tensor:
        if step.after is None:
            return self._transformer(latents, time, text, cache)
        index = step.steps[0]
        with torch.inference_mode(mode=False), torch.enable_grad():
            noisy = latents.clone()  # what inference made cannot be remembered for a gradient
            times = torch.full((1, len(step.frames)), self._sampler.timesteps[index], dtype=torch.float64)
            prompt = self._prompt.to(self._transformer.device)
            text = self._transformer.encode_text(prompt)
            flow = self._transformer(noisy, times.to(noisy.device), text, cache.context())
            sigma = torch.full((1, 1, 1, 1, 1), self._sampler.sigmas[index], dtype=torch.float64, device=noisy.device)
            self._made.append(to_x0(flow, noisy, sigma))
        return flow.detach()
