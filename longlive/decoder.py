"""What turns latents into frames: one interface for all decoders, and what a decoder remembers of one video."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn


@dataclass
class DecoderState:
    """What a decoder remembers of one video: per layer that looks back its last input frames, updated in place.

    `latents_seen` is 0 before the first latent of a video, which gives one frame where each later one gives several.
    """

    history: list[Tensor]
    latents_seen: int = 0

    def restart(self, latents_seen: int = 0) -> None:
        """Forget the past, as `VideoDecoder.init_state` begins, in the same memory."""
        for layer in self.history:
            layer.zero_()
        self.latents_seen = latents_seen


class VideoDecoder(Protocol):
    """A streaming decoder: it serves many videos at a time, each with a state of its own.

    Frame counts do not depend on the decoder: 1 + s (F - 1) for the first F latents of a video, s F for F later ones,
    s = `VAEConfig.temporal_stride`. How a video is cut into calls changes nothing but rounding.
    """

    def init_state(
        self,
        batch: int,
        height: int,
        width: int,
        dtype: torch.dtype,
        device: torch.device | str,
        latents_seen: int = 0,
    ) -> DecoderState:
        """The state before the next latent of `batch` videos; `height` and `width` are those of the latents.

        With `latents_seen` above 0 it is that of a video in progress whose past is lost: the history is zero. Its
        frames get right after a few latents, so whoever restores a video decodes some that it has shown before.
        """
        ...

    def decode(self, latents: Tensor, state: DecoderState) -> Tensor:
        """Pixels `[B, T, 3, H, W]` in -1..1 of the next normalised latents `[B, F, C, h, w]` of the state's video.

        Computes in the parameters' dtype and advances the state.
        """
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """The weights."""
        ...
