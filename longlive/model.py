"""A model: its networks and the configuration that says how they play together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from longlive.config import LIGHT_WIDTH_DIVISOR, DecoderName, ModelConfig, VAEConfig
from longlive.decoder import DecoderState, VideoDecoder
from longlive.identity import model_identity
from longlive.noise import NoiseSource, chunk_noise
from longlive.precision import Precision
from longlive.quantization import quantize
from longlive.rollout import Rollout
from longlive.taehv import TAEHVConfig, TAEHVDecoder
from longlive.transformer import CausalWanTransformer
from longlive.vae import WanDecoder

if TYPE_CHECKING:
    from longlive.text_encoder import TextEncoder

RANDOM_SEED = 0
RANDOM_HEAD_STD = 0.1


@dataclass(frozen=True)
class VideoModel:
    """What makes frames of embedded prompts: all that a process needs whose prompts are read elsewhere.

    Shared by all sessions of the process; what belongs to one session is in `rollout` and `decoder_state`. `dtype` is
    that of everything that is not quantised; `identity` is what `model_identity` says of the weights.
    """

    config: ModelConfig
    transformer: CausalWanTransformer
    decoder: VideoDecoder
    dtype: torch.dtype
    device: torch.device
    identity: str

    def rollout(self, prompt: Tensor, seed: int, *, noise: NoiseSource = chunk_noise) -> Rollout:
        """A new video under the prompt with these embeddings [1, L, text_dim]."""
        config = self.config
        return Rollout(self.transformer, config.rollout, config.sampler, config.latent_shape, prompt, seed, noise=noise)

    def decoder_state(self, latents_seen: int = 0) -> DecoderState:
        """The decoder's state before the first chunk of a video, or, its past lost, of one that far in."""
        _, height, width = self.config.latent_shape
        return self.decoder.init_state(1, height, width, self.dtype, self.device, latents_seen)

    @torch.inference_mode()
    def decode(self, latents: Tensor, state: DecoderState) -> Tensor:
        """float32 frames [1, T, 3, H, W] in -1..1 of the next latents of the video that `state` belongs to."""
        return self.decoder.decode(latents.to(self.dtype), state).float()


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


def build_decoder(name: DecoderName, config: VAEConfig) -> WanDecoder | TAEHVDecoder:
    """The decoder of that name for the latents of the VAE with this configuration, weights not loaded.

    `own_weights` of what it returns picks its entries of a published file. ValueError if there is none for this VAE.
    """
    match name:
        case "wan":
            return WanDecoder(config)
        case "light":
            if config.dim % LIGHT_WIDTH_DIVISOR:
                raise ValueError(f"a light decoder needs a VAE width that {LIGHT_WIDTH_DIVISOR} divides: {config.dim}")
            return WanDecoder(replace(config, dim=config.dim // LIGHT_WIDTH_DIVISOR))
        case "tiny":
            return TAEHVDecoder(TAEHVConfig.beside(config))


def build_video_model(
    config: ModelConfig, precision: Precision, decoder: DecoderName, device: torch.device | str
) -> VideoModel:
    """A model that nobody trained, to measure or to plan: the same weights every time, or none on "meta".

    No weight is left at zero, so that a video moves and depends on its prompt.
    """
    place = torch.device(device)
    with torch.random.fork_rng([place] if place.type == "cuda" else []), place:
        torch.manual_seed(RANDOM_SEED)
        transformer = CausalWanTransformer(config.transformer)
        nn.init.normal_(transformer.head.head.weight, std=RANDOM_HEAD_STD)
        frame_maker = build_decoder(decoder, config.vae)
    for network in (transformer, frame_maker):
        network.to(place, precision.dtype).requires_grad_(False).eval()
    quantize(transformer, precision)
    return VideoModel(config, transformer, frame_maker, precision.dtype, place, model_identity(config, ()))
