"""A model: its networks, loaded, and the configuration that says how they play together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from longlive.config import ModelConfig
from longlive.noise import NoiseSource, chunk_noise
from longlive.rollout import Rollout
from longlive.text_encoder import TextEncoder
from longlive.transformer import CausalWanTransformer
from longlive.vae import VAEState, WanVAE


@dataclass(frozen=True)
class VideoModel:
    """What makes frames of embedded prompts: all that a process needs whose prompts are read elsewhere.

    Shared by all sessions of the process; what belongs to one session is in `rollout` and `vae_state`.
    """

    config: ModelConfig
    transformer: CausalWanTransformer
    vae: WanVAE
    dtype: torch.dtype
    device: torch.device

    def rollout(self, prompt: Tensor, seed: int, *, noise: NoiseSource = chunk_noise) -> Rollout:
        """A new video under the prompt with these embeddings [1, L, text_dim]."""
        config = self.config
        return Rollout(self.transformer, config.rollout, config.sampler, config.latent_shape, prompt, seed, noise=noise)

    def vae_state(self) -> VAEState:
        """The decoder's state before the first chunk of a video."""
        _, height, width = self.config.latent_shape
        return self.vae.init_state(1, height, width, self.dtype, self.device)

    @torch.inference_mode()
    def decode(self, latents: Tensor, state: VAEState) -> Tensor:
        """Pixel frames [1, T, 3, H, W] in -1..1 of the next latents of the video that `state` belongs to."""
        return self.vae.decode(latents.to(self.dtype), state)


@dataclass(frozen=True)
class Model(VideoModel):
    """A whole model, which also reads prompts."""

    text_encoder: TextEncoder

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """Text embeddings [N, text_len, text_dim] of raw prompts."""
        return self.text_encoder(prompts)

    def unknown_words(self, prompt: str) -> list[str]:
        """Words that the model has never seen and ignores."""
        return self.text_encoder.unknown_words(prompt)

    def cut_words(self, prompt: str) -> list[str]:
        """Words at the end of a long prompt that the model does not read any more."""
        return self.text_encoder.cut_words(prompt)
