"""Frozen, strict configurations of the models and of a rollout. Unknown keys are errors; data files use these names."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[int, Field(gt=0)]
Timestep = Annotated[int, Field(gt=0, le=1000)]  # what the sampler's table holds


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TransformerConfig(_Config):
    """The causal Wan DiT. Defaults: Wan2.1-T2V-1.3B."""

    dim: Positive = 1536
    num_heads: Positive = 12
    ffn_dim: Positive = 8960
    num_layers: Positive = 30
    freq_dim: Positive = 256
    text_dim: Positive = 4096
    text_len: Positive = 512
    in_channels: Positive = 16
    out_channels: Positive = 16
    patch_size: tuple[int, int, int] = (1, 2, 2)
    eps: float = 1e-6

    @property
    def head_dim(self) -> int:
        return self.dim // self.num_heads

    @model_validator(mode="after")
    def _shapes_fit(self) -> TransformerConfig:
        if self.dim % self.num_heads or self.head_dim % 2:
            raise ValueError(f"dim {self.dim} must split into {self.num_heads} heads of even size")
        if self.patch_size[0] != 1:
            raise ValueError("the causal DiT has one token grid per latent frame: patch_size[0] must be 1")
        return self


WAN_LATENT_MEAN = (
    -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508,
    0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921,
)  # fmt: skip
WAN_LATENT_STD = (
    2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
    3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160,
)  # fmt: skip


class VAEConfig(_Config):
    """The causal Wan video VAE. `mean` and `std` normalise the latent channels. Defaults: Wan2.1_VAE."""

    dim: Positive = 96
    z_dim: Positive = 16
    dim_mult: tuple[int, ...] = (1, 2, 4, 4)
    num_res_blocks: Positive = 2
    temporal_downsample: tuple[bool, ...] = (False, True, True)
    mean: tuple[float, ...] = WAN_LATENT_MEAN
    std: tuple[float, ...] = WAN_LATENT_STD

    @property
    def spatial_stride(self) -> int:
        """Pixels per latent cell along height and width."""
        return 2 ** (len(self.dim_mult) - 1)

    @property
    def temporal_stride(self) -> int:
        """Pixel frames per latent frame, after the first (which gives one)."""
        return 2 ** sum(self.temporal_downsample)

    @model_validator(mode="after")
    def _lengths_fit(self) -> VAEConfig:
        if len(self.temporal_downsample) != len(self.dim_mult) - 1:
            raise ValueError("temporal_downsample needs one entry for each of the len(dim_mult) - 1 down-samplings")
        if not len(self.mean) == len(self.std) == self.z_dim:
            raise ValueError(f"mean and std need z_dim = {self.z_dim} numbers each")
        return self


class TextEncoderConfig(_Config):
    """The UMT5 encoder. Defaults: UMT5-XXL."""

    vocab_size: Positive = 256384
    dim: Positive = 4096
    dim_attn: Positive = 4096
    dim_ffn: Positive = 10240
    num_heads: Positive = 64
    num_layers: Positive = 24
    num_buckets: Positive = 32
    max_distance: Positive = 128


class SamplerConfig(_Config):
    """Few-step flow sampler (reference sheet, section 3).

    Between steps a clean prediction is brought back to the next noise level with `fresh` noise (LongLive and its base),
    or with the noise that the same prediction implies: `predicted`, an Euler step of the probability-flow ODE.
    """

    timestep_shift: Annotated[float, Field(gt=0)] = 5.0
    denoising_steps: Annotated[tuple[Timestep, ...], Field(min_length=1)] = (1000, 750, 500, 250)
    warp: bool = True
    renoise: Literal["fresh", "predicted"] = "fresh"


class RolloutConfig(_Config):
    """Lengths in latent frames; the window includes the sink and the chunk being made. -1: attend to everything."""

    chunk_frames: Positive = 3
    window_frames: int = 12
    sink_frames: Annotated[int, Field(ge=0)] = 3
    positions: Literal["absolute", "relative"] = "absolute"
    global_sink: bool = True
    context_noise: float = 0.0

    @model_validator(mode="after")
    def _lengths_fit(self) -> RolloutConfig:
        if self.window_frames != -1 and self.window_frames < self.sink_frames + self.chunk_frames:
            raise ValueError(
                f"window_frames {self.window_frames} must be -1 or hold the sink and a chunk, "
                f"{self.sink_frames} + {self.chunk_frames} frames"
            )
        return self


class ModelConfig(_Config):
    """Everything that names a model: its parts, its rollout, the video it makes, prompts to begin and to go on with."""

    name: str
    transformer: TransformerConfig = TransformerConfig()
    vae: VAEConfig = VAEConfig()
    text_encoder: TextEncoderConfig = TextEncoderConfig()
    sampler: SamplerConfig = SamplerConfig()
    rollout: RolloutConfig = RolloutConfig()
    height: Positive = 480
    width: Positive = 832
    fps: Positive = 16
    examples: tuple[str, ...] = ()
    follow_ups: tuple[str, ...] = ()

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one latent frame."""
        stride = self.vae.spatial_stride
        return self.vae.z_dim, self.height // stride, self.width // stride

    @model_validator(mode="after")
    def _parts_fit(self) -> ModelConfig:
        stride = self.vae.spatial_stride
        _, patch_height, patch_width = self.transformer.patch_size
        if self.height % (stride * patch_height) or self.width % (stride * patch_width):
            raise ValueError(f"{self.width}x{self.height} is not a whole number of latent patches (stride {stride})")
        if self.text_encoder.dim != self.transformer.text_dim:
            raise ValueError("text_encoder.dim must equal transformer.text_dim")
        if not self.vae.z_dim == self.transformer.in_channels == self.transformer.out_channels:
            raise ValueError("vae.z_dim, transformer.in_channels and transformer.out_channels must be equal")
        if self.rollout.window_frames < 0:
            raise ValueError("a model makes videos without end: rollout.window_frames must be limited")
        return self
