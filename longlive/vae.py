"""The causal Wan video VAE: whole clips for training, streams with a per-session state for serving.

Parameter names are those of the published `Wan2.1_VAE.pth`. The first frame of a video is one latent frame of its own;
after it, every latent frame is `temporal_stride` pixel frames. All maths is causal in time, so a stream needs only the
last two input frames of every temporal convolution: a `DecoderState` holds them as fixed-shape tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from longlive.config import VAEConfig
from longlive.decoder import DecoderState

ENCODER_PARTS = ("encoder", "conv1")  # of a whole VAE's file
HISTORY = 2  # frames a temporal convolution of width 3 looks back


class CausalConv3d(nn.Conv3d):
    """A 3D convolution that sees no later frame. `slot` is its place in `DecoderState.history` (decoder only)."""

    slot: int | None = None

    def __init__(self, in_channels: int, out_channels: int, kernel: tuple[int, int, int]) -> None:
        super().__init__(in_channels, out_channels, kernel, padding=(0, kernel[1] // 2, kernel[2] // 2))

    def forward(self, x: Tensor, state: DecoderState | None = None) -> Tensor:
        if self.kernel_size[0] == 1:
            return super().forward(x)
        if state is None or self.slot is None:
            return self._convolve(F.pad(x, (0, 0, 0, 0, HISTORY, 0)))
        history = state.history[self.slot]
        x = torch.cat([history, x], dim=2)
        history.copy_(x[:, :, -HISTORY:].detach())
        return self._convolve(x)

    def _convolve(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or x.dtype != torch.float32 or not torch.backends.mkldnn.is_available():
            return super().forward(x)
        # With one thread and a small batch PyTorch would pick a float32 path that is up to 15 times slower.
        _, height, width = self.kernel_size
        padding, ones = (0, height // 2, width // 2), (1, 1, 1)
        return torch.mkldnn_convolution(x, self.weight, self.bias, padding, ones, ones, 1)


class ChannelNorm(nn.Module):
    """L2-normalises over channels (dimension 1), times sqrt(channels) and `gamma`, which is a root-mean-square norm.

    `axes` is the number of dimensions after the channels.
    """

    def __init__(self, channels: int, axes: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels, *[1] * axes))

    def forward(self, x: Tensor) -> Tensor:
        last = x.movedim(1, -1)  # a view of the channels-last memory that the convolutions prefer
        return F.rms_norm(last, last.shape[-1:], self.gamma.flatten().to(x.dtype), eps=1e-12).movedim(-1, 1)


class ResidualBlock(nn.Module):
    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            ChannelNorm(in_channels, 3),
            nn.SiLU(),
            CausalConv3d(in_channels, out_channels, (3, 3, 3)),
            ChannelNorm(out_channels, 3),
            nn.SiLU(),
            nn.Identity(),  # the published module has a dropout here; its place is part of the parameter names
            CausalConv3d(out_channels, out_channels, (3, 3, 3)),
        )
        self.shortcut = (
            CausalConv3d(in_channels, out_channels, (1, 1, 1)) if in_channels != out_channels else nn.Identity()
        )

    def forward(self, x: Tensor, state: DecoderState | None) -> Tensor:
        return self.shortcut(x) + _run(self.residual, x, state)


class Attention(nn.Module):
    """Single-head self-attention inside each frame, with a residual connection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels, 2)
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + _per_frame(self._attend, x)

    def _attend(self, x: Tensor) -> Tensor:
        tokens = self.to_qkv(self.norm(x)).flatten(2).transpose(1, 2).unsqueeze(1)
        query, key, value = tokens.chunk(3, dim=-1)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.squeeze(1).transpose(1, 2).unflatten(2, x.shape[2:]))


class Downsample(nn.Module):
    """Halves height and width, and with `temporal` also time: frame 0 passes, each later pair becomes one frame."""

    def __init__(self, channels: int, temporal: bool) -> None:
        super().__init__()
        self.resample = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(channels, channels, 3, stride=2))
        self.time_conv = nn.Conv3d(channels, channels, (3, 1, 1), stride=(2, 1, 1)) if temporal else None

    def forward(self, x: Tensor) -> Tensor:
        x = _per_frame(self.resample, x)
        if self.time_conv is None or x.shape[2] == 1:
            return x
        return torch.cat([x[:, :, :1], self.time_conv(x)], dim=2)


class Upsample(nn.Module):
    """Doubles height and width, halves the channels; with `temporal` doubles time too, save for frame 0 of a video."""

    def __init__(self, channels: int, temporal: bool) -> None:
        super().__init__()
        self.resample = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(channels, channels // 2, 3, padding=1))
        self.time_conv = CausalConv3d(channels, 2 * channels, (3, 1, 1)) if temporal else None

    def forward(self, x: Tensor, state: DecoderState | None) -> Tensor:
        if self.time_conv is not None:
            # Frame 0 skips the temporal convolution altogether: frame 1 has zeros for its history, not frame 0.
            starts = state is None or state.latents_seen == 0
            first, rest = (x[:, :, :1], x[:, :, 1:]) if starts else (x[:, :, :0], x)
            if rest.shape[2]:
                pairs = self.time_conv(rest, state).unflatten(1, (2, -1))  # the earlier frame in the first half
                doubled = pairs.permute(0, 3, 1, 4, 5, 2).flatten(1, 2).movedim(-1, 1)
                x = torch.cat([first, doubled], dim=2)
        return _per_frame(self.resample, x)


def _run(layers: nn.Sequential, x: Tensor, state: DecoderState | None) -> Tensor:
    for layer in layers:
        x = layer(x, state) if isinstance(layer, CausalConv3d | ResidualBlock | Upsample) else layer(x)
    return x


def _per_frame(image_map: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Applies a map of images to every frame of `[B, C, T, H, W]`."""
    batch, _, frames, _, _ = x.shape
    return image_map(x.transpose(1, 2).flatten(0, 1)).unflatten(0, (batch, frames)).transpose(1, 2)


def _middle(channels: int) -> nn.Sequential:
    return nn.Sequential(ResidualBlock(channels, channels), Attention(channels), ResidualBlock(channels, channels))


def _head(channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(ChannelNorm(channels, 3), nn.SiLU(), CausalConv3d(channels, out_channels, (3, 3, 3)))


class Encoder(nn.Module):
    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths = [config.dim, *(config.dim * mult for mult in config.dim_mult)]
        self.conv1 = CausalConv3d(3, widths[0], (3, 3, 3))
        layers: list[nn.Module] = []
        for level, (width, next_width) in enumerate(pairwise(widths)):
            layers.append(ResidualBlock(width, next_width))
            layers += [ResidualBlock(next_width, next_width) for _ in range(config.num_res_blocks - 1)]
            if level < len(config.temporal_downsample):
                layers.append(Downsample(next_width, config.temporal_downsample[level]))
        self.downsamples = nn.Sequential(*layers)
        self.middle = _middle(widths[-1])
        self.head = _head(widths[-1], 2 * config.z_dim)

    def forward(self, x: Tensor) -> Tensor:
        return _run(self.head, _run(self.middle, _run(self.downsamples, self.conv1(x), None), None), None)


class Decoder(nn.Module):
    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths = [config.dim * mult for mult in reversed(config.dim_mult)]
        temporal = list(reversed(config.temporal_downsample))
        self.conv1 = CausalConv3d(config.z_dim, widths[0], (3, 3, 3))
        self.middle = _middle(widths[0])
        layers: list[nn.Module] = []
        in_width = widths[0]
        for level, width in enumerate(widths):
            layers.append(ResidualBlock(in_width, width))
            layers += [ResidualBlock(width, width) for _ in range(config.num_res_blocks)]
            if level < len(temporal):
                layers.append(Upsample(width, temporal[level]))
                in_width = width // 2
        self.upsamples = nn.Sequential(*layers)
        self.head = _head(widths[-1], 3)

    def forward(self, x: Tensor, state: DecoderState | None) -> Tensor:
        x = _run(self.middle, self.conv1(x, state), state)
        return _run(self.head, _run(self.upsamples, x, state), state)


class WanDecoder(nn.Module):
    """Normalised latents `[B, F, C, H/8, W/8]` to pixels `[B, T, 3, H, W]` in [-1, 1], T = 1 + 4 (F - 1).

    The half of the VAE that serving needs. Strides 8 and 4 stand for `config.spatial_stride` and
    `config.temporal_stride`. Computes in the parameters' dtype. A `VideoDecoder`; per temporal convolution its state
    holds `[B, C, 2, H, W]`.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        self.conv2 = CausalConv3d(config.z_dim, config.z_dim, (1, 1, 1))
        self.decoder = Decoder(config)
        # On the CPU even under a meta device: no checkpoint holds them, so nothing would fill them in later.
        for name, values in (("mean", config.mean), ("std", config.std)):
            constant = torch.tensor(values, device="cpu").view(-1, 1, 1)
            self.register_buffer(name, constant, persistent=False)
        looking_back = (m for m in self.decoder.modules() if isinstance(m, CausalConv3d) and m.kernel_size[0] > 1)
        for slot, conv in enumerate(looking_back):
            conv.slot = slot

    def own_weights(self, published: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The entries of a file that this module has to hold: a decoder takes a whole VAE's file, less its encoder."""
        return {
            key: tensor
            for key, tensor in published.items()
            if hasattr(self, part := key.partition(".")[0]) or part not in ENCODER_PARTS
        }

    def denormalise(self, latents: Tensor) -> Tensor:
        """Normalised latents to the VAE's own; divides by the rounded reciprocal, as the published code does."""
        return latents.to(self.mean.dtype) / (1 / self.std) + self.mean

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
        history: list[Tensor] = []
        scale = 1
        for layer in (self.decoder.conv1, *self.decoder.middle, *self.decoder.upsamples, *self.decoder.head):
            for conv in layer.modules():
                if isinstance(conv, CausalConv3d) and conv.slot is not None:
                    shape = (batch, conv.in_channels, HISTORY, height * scale, width * scale)
                    zeros = torch.zeros(shape, dtype=dtype, device=device)
                    history.append(zeros.contiguous(memory_format=torch.channels_last_3d))
            if isinstance(layer, Upsample):
                scale *= 2
        return DecoderState(history, latents_seen)

    def decode(
        self, latents: Tensor, state: DecoderState | None = None, *, group: int = 3, clamp: bool = True
    ) -> Tensor:
        """Pixels of normalised latents.

        Without a state: a whole clip in one differentiable call. With one: the continuation of that state's video,
        `group` latents per inner call; equal to the whole clip up to rounding, and independent of other states.
        """
        x = self.conv2(self.denormalise(latents).transpose(1, 2))
        if state is None:
            pixels = self.decoder(x, None)
        else:
            parts = []
            for piece in x.split(group, dim=2):
                parts.append(self.decoder(piece, state))
                state.latents_seen += piece.shape[2]
            pixels = torch.cat(parts, dim=2)
        pixels = pixels.transpose(1, 2)
        return pixels.clamp(-1, 1) if clamp else pixels


class WanVAE(WanDecoder):
    """The decoder with its encoder, the whole published file: what turns pixels into latents for training."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__(config)
        self.encoder = Encoder(config)
        self.conv1 = CausalConv3d(2 * config.z_dim, 2 * config.z_dim, (1, 1, 1))

    def normalise(self, raw: Tensor) -> Tensor:
        """The VAE's own latents `[B, F, C, H, W]` to normalised ones; inverse of `denormalise`."""
        return (raw - self.mean) * (1 / self.std)

    def posterior(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance `[B, F, C, H, W]`, not normalised, of a clip of 1 + 4n frames; differentiable."""
        frames, stride = pixels.shape[1], self.config.temporal_stride
        if (frames - 1) % stride:
            raise ValueError(f"a clip has 1 + {stride}n frames, got {frames}")
        moments = self.conv1(self.encoder(pixels.transpose(1, 2).to(self.mean.dtype)))
        mean, logvar = moments.transpose(1, 2).chunk(2, dim=2)
        return mean, logvar

    def encode(self, pixels: Tensor) -> Tensor:
        """Normalised posterior mean of a whole clip of 1 + 4n frames; differentiable."""
        return self.normalise(self.posterior(pixels)[0])
