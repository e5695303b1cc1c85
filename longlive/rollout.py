"""The generation state of one session: makes the next chunk, and takes a new prompt between chunks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from longlive.config import RolloutConfig, SamplerConfig
from longlive.kv_cache import KVCache
from longlive.noise import NoiseSource, chunk_noise
from longlive.policy import ChunkPolicy, ForwardPass, RolloutPolicy
from longlive.sampler import FewStepSampler, renoise, to_x0
from longlive.transformer import CausalWanTransformer, TimeContext
from longlive.upload import upload

SwitchMode = Literal["recache", "keep", "clear"]


class Rollout:
    """One endless video. Several rollouts may share a transformer; none changes what another gives.

    `prompt` are text embeddings [B, L, text_dim]; `latent_shape` is channels, height, width of a latent frame. Latents
    are float32 on the transformer's device. With an unlimited window (-1) `max_frames` must bound the video.
    """

    def __init__(
        self,
        transformer: CausalWanTransformer,
        config: RolloutConfig,
        sampler: SamplerConfig,
        latent_shape: tuple[int, int, int],
        prompt: Tensor,
        seed: int,
        *,
        noise: NoiseSource = chunk_noise,
        policy: RolloutPolicy | None = None,
        max_frames: int | None = None,
    ) -> None:
        window = max_frames if config.window_frames < 0 else config.window_frames
        if window is None:
            raise ValueError("an unlimited window needs max_frames, the length of the video in latent frames")
        self.transformer = transformer
        self.config = config
        self.seed = seed
        self.window = window
        self.chunk = 0
        self._sampler = FewStepSampler(sampler, config.context_noise)
        self._policy = policy or ChunkPolicy(config.chunk_frames, self._sampler.steps)
        self._noise = noise
        self._noise_ahead: dict[tuple[int, int], Tensor] = {}
        self._chunk_shape = (prompt.shape[0], config.chunk_frames, *latent_shape)
        self._unfinished: dict[int, Tensor] = {}  # latents of the chunks under way
        self._finished = torch.empty((prompt.shape[0], 0, *latent_shape), device=transformer.device)  # the last window
        self._levels: dict[tuple[int, ...], tuple[TimeContext, Tensor, Tensor]] = {}
        self.cache = KVCache(
            layers=transformer.config.num_layers,
            batch=prompt.shape[0],
            frames=window,
            sink=config.sink_frames,
            heads=transformer.config.num_heads,
            rotary=transformer.rotary(*latent_shape[1:]),
            positions=config.positions,
            dtype=transformer.dtype,
        )
        self._read(prompt)

    @property
    def frames(self) -> int:
        """Latent frames made so far."""
        return self.chunk * self.config.chunk_frames

    @torch.inference_mode()
    def next_chunk(self) -> Tensor:
        """Clean latents [B, chunk_frames, C, H, W] of the next chunk. ValueError past `max_frames` where it counts."""
        if self.config.window_frames < 0 and self.frames + self.config.chunk_frames > self.window:
            raise ValueError(f"a chunk after frame {self.frames} is past max_frames, {self.window}")
        for step in self._policy.passes(self.chunk):
            self._run(step)
        latents = self._unfinished.pop(self.chunk)
        self._finished = torch.cat((self._finished, latents), dim=1)[:, -self.window :]
        self.chunk += 1
        # Drawn while the device is still busy with the passes just queued.
        for step in self._policy.passes(self.chunk):
            self._draw_ahead(step)
        return latents

    @torch.inference_mode()
    def switch(self, prompt: Tensor, mode: SwitchMode = "recache") -> None:
        """Go on under another prompt, from the next chunk.

        `recache` rebuilds the keys and values of the window under it, `keep` leaves them, `clear` is a hard cut.
        """
        self._read(prompt)
        if mode == "clear":
            self.cache.clear()
        elif mode == "recache":
            self._recache()

    def _read(self, prompt: Tensor) -> None:
        with torch.inference_mode():
            self._text = self.transformer.encode_text(prompt.to(self.transformer.device))

    def _recache(self) -> None:
        """One forward over the clean latents of the window, in which all frames see each other."""
        frames = self.cache.rewritable(keep_sink=self.config.sink_policy == "keep")
        if not frames:
            return
        self.cache.begin(frames, keep_sink=self.config.sink_policy == "keep")
        time, _, _ = self._level((self._sampler.steps,) * len(frames))
        self.transformer(self._finished[:, -len(frames) :], time, self._text, self.cache)

    def _run(self, step: ForwardPass) -> None:
        chunks = self._chunks(step)
        for chunk, index in chunks:
            if index == 0:
                self._unfinished[chunk] = self._drawn(chunk, 0)
        latents = torch.cat([self._unfinished[chunk] for chunk, _ in chunks], dim=1)
        time, sigma, next_sigma = self._level(step.steps)
        self.cache.begin(step.frames, store=step.store, past=step.past, sink=step.sink)
        flow = self.transformer(latents, time, self._text, self.cache)
        finished = self._sampler.steps
        if all(index == finished for _, index in chunks):
            return
        clean = to_x0(flow, latents, sigma)
        if any(index + 1 < finished for _, index in chunks):
            clean = renoise(clean, self._next_noise(chunks, clean, flow), next_sigma)
        parts = clean.split(self.config.chunk_frames, dim=1)
        self._unfinished.update((chunk, part) for (chunk, _), part in zip(chunks, parts, strict=True))

    def _next_noise(self, chunks: Sequence[tuple[int, int]], clean: Tensor, flow: Tensor) -> Tensor:
        if self._sampler.draws == 1:
            return clean + flow
        return torch.cat(
            [
                self._drawn(chunk, index + 1)
                if index + 1 < self._sampler.steps
                else torch.zeros_like(self._unfinished[chunk])
                for chunk, index in chunks
            ],
            dim=1,
        )

    def _chunks(self, step: ForwardPass) -> Sequence[tuple[int, int]]:
        """The chunks of a pass and the step each is at."""
        size = self.config.chunk_frames
        return [(frame // size, step.steps[frame - step.frames.start]) for frame in step.frames[::size]]

    def _level(self, steps: tuple[int, ...]) -> tuple[TimeContext, Tensor, Tensor]:
        """Time context, noise level and next noise level of a pass. A rollout meets few patterns, again and again."""
        if steps not in self._levels:
            sampler, device = self._sampler, self.transformer.device
            times = torch.tensor([[sampler.timesteps[step] for step in steps]], dtype=torch.float64, device=device)
            sigmas, next_sigmas = (
                torch.tensor(levels, dtype=torch.float64, device=device).view(1, -1, 1, 1, 1)
                for levels in (
                    [sampler.sigmas[step] for step in steps],
                    [sampler.sigmas[min(step + 1, sampler.steps)] for step in steps],
                )
            )
            self._levels[steps] = self.transformer.encode_time(times), sigmas, next_sigmas
        return self._levels[steps]

    def _draw_ahead(self, step: ForwardPass) -> None:
        for chunk, index in self._chunks(step):
            for draw in {0, index + 1} if index == 0 else {index + 1}:
                if draw < self._sampler.draws:
                    self._noise_ahead[chunk, draw] = self._draw(chunk, draw)

    def _drawn(self, chunk: int, step: int) -> Tensor:
        ahead = self._noise_ahead.pop((chunk, step), None)
        return self._draw(chunk, step) if ahead is None else ahead

    def _draw(self, chunk: int, step: int) -> Tensor:
        noise = self._noise(self.seed, chunk, step, self._chunk_shape)
        return upload(noise, self.transformer.device)
