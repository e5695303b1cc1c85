"""TAEHV's tiny video decoder, the layout of `taew2_1`: images upsampled one by one, with one frame of memory.

Facts: github.com/madebyollin/taehv. Its only look at other frames is the memory block, which sees its own input of the
frame before; so a chunk runs in parallel, and a stream needs the last input frame of every block.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from longlive.config import VAEConfig
from longlive.decoder import DecoderState

BLOCKS = 3  # memory blocks of one width
PUBLISHED_WIDTHS = (256, 128, 64, 64)  # beside a Wan VAE of width 96


@dataclass(frozen=True)
class TAEHVConfig:
    """One width per level and one for the last convolutions; height and width double after each level.

    `growth`: how many frames each level makes of one.
    """

    z_dim: int = 16
    widths: tuple[int, ...] = PUBLISHED_WIDTHS
    growth: tuple[int, ...] = (1, 2, 2)

    def __post_init__(self) -> None:
        if len(self.widths) != len(self.growth) + 1 or min(self.widths) < 1:
            raise ValueError(f"widths {self.widths} must be one more than the levels in growth {self.growth}, above 0")

    @classmethod
    def beside(cls, vae: VAEConfig) -> TAEHVConfig:
        """A decoder of this VAE's latents, as much narrower than the VAE as the published one is than Wan's."""
        widths = tuple(max(1, round(width * vae.dim / VAEConfig().dim)) for width in PUBLISHED_WIDTHS[:-1])
        levels = len(vae.temporal_downsample)
        if levels != len(widths):
            raise ValueError(f"a tiny decoder doubles height and width {len(widths)} times, this VAE {levels} times")
        growth = tuple(2 if temporal else 1 for temporal in vae.temporal_downsample)
        return cls(vae.z_dim, (*widths, widths[-1]), growth)


class SoftClamp(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x / 3) * 3


class MemoryBlock(nn.Module):
    """A residual block that also sees its own input of the frame before."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(2 * width, width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: Tensor, last: Tensor) -> Tensor:
        """`x` `[B * T, C, H, W]`, T consecutive frames per video; `last` `[B, C, H, W]`, the frame before them, becomes
        their last one."""
        frames = x.unflatten(0, (last.shape[0], -1))
        before = torch.cat([last.unsqueeze(1), frames[:, :-1]], dim=1).flatten(0, 1)
        last.copy_(frames[:, -1])
        return torch.relu(self.conv(torch.cat([x, before], dim=1)) + x)


class Growth(nn.Module):
    """Makes `frames` consecutive frames of each one: the earliest comes from the first channels."""

    def __init__(self, width: int, frames: int) -> None:
        super().__init__()
        self.frames = frames
        self.conv = nn.Conv2d(width, frames * width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).unflatten(1, (self.frames, -1)).flatten(0, 1)


class TAEHVDecoder(nn.Module):
    """Normalised latents to pixels, with the parameter names of the published file. A `VideoDecoder`.

    Its state holds per memory block `[B, C, H, W]`. It reads the normalised latents as they are, as `taew2_1` was
    trained to; a file in the same layout that was trained on the VAE's own latents gives wrong colours.
    """

    def __init__(self, config: TAEHVConfig) -> None:
        super().__init__()
        self.config = config
        layers: list[nn.Module] = [SoftClamp(), nn.Conv2d(config.z_dim, config.widths[0], 3, padding=1), nn.ReLU()]
        for level, frames in enumerate(config.growth):
            width, next_width = config.widths[level : level + 2]
            layers += [MemoryBlock(width) for _ in range(BLOCKS)]
            layers += [nn.Upsample(scale_factor=2), Growth(width, frames)]
            layers.append(nn.Conv2d(width, next_width, 3, padding=1, bias=False))
        layers += [nn.ReLU(), nn.Conv2d(config.widths[-1], 3, 3, padding=1)]
        self.decoder = nn.Sequential(*layers)

    def own_weights(self, published: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The entries of a file that this module has to hold.

        The file holds an encoder as well, and its growth weights may be those of a decoder that makes more frames of
        one: then the last rows count, which make the latest frame.
        """
        own = {key: tensor for key, tensor in published.items() if not key.startswith("encoder.")}
        for number, layer in enumerate(self.decoder):
            if isinstance(layer, Growth) and (weight := own.get(f"decoder.{number}.conv.weight")) is not None:
                own[f"decoder.{number}.conv.weight"] = weight[-layer.conv.out_channels :]
        return own

    def init_state(
        self,
        batch: int,
        height: int,
        width: int,
        dtype: torch.dtype,
        device: torch.device | str,
        latents_seen: int = 0,
    ) -> DecoderState:
        """See `VideoDecoder.init_state`."""
        history = []
        for level, channels in enumerate(self.config.widths[:-1]):
            shape = (batch, channels, height * 2**level, width * 2**level)
            history += [torch.zeros(shape, dtype=dtype, device=device) for _ in range(BLOCKS)]
        return DecoderState(history, latents_seen)

    def decode(self, latents: Tensor, state: DecoderState) -> Tensor:
        """See `VideoDecoder.decode`."""
        batch, count = latents.shape[:2]
        history = iter(state.history)
        x = latents.to(next(self.parameters()).dtype).flatten(0, 1)
        for layer in self.decoder:
            x = layer(x, next(history)) if isinstance(layer, MemoryBlock) else layer(x)
        frames = x.unflatten(0, (batch, -1))
        if state.latents_seen == 0:
            # Made of a past that was not: the first latent of a video stands for one frame, and that is its last one.
            frames = frames[:, frames.shape[1] // count - 1 :]
        state.latents_seen += count
        return frames.clamp(0, 1) * 2 - 1
