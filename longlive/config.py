"""Frozen configurations of the models and of a rollout; `config_file` reads and writes them.

Plain data classes, so that the engine's core needs torch and nothing else. A value that cannot be is a ValueError.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

Positions = Literal["absolute", "relative"]
SinkPolicy = Literal["keep", "reset"]
DecoderName = Literal["wan", "light", "tiny"]

LIGHT_WIDTH_DIVISOR = 4  # the light decoder is the Wan one with every width a quarter: 24 instead of 96


class _Config:
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}  # for `config_file`

    def _require_positive(self, *names: str) -> None:
        for name in names:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class TransformerConfig(_Config):
    """The causal Wan DiT. Defaults: Wan2.1-T2V-1.3B."""

    dim: int = 1536
    num_heads: int = 12
    ffn_dim: int = 8960
    num_layers: int = 30
    freq_dim: int = 256
    text_dim: int = 4096
    text_len: int = 512
    in_channels: int = 16
    out_channels: int = 16
    patch_size: tuple[int, int, int] = (1, 2, 2)
    eps: float = 1e-6

    @property
    def head_dim(self) -> int:
        return self.dim // self.num_heads

    def __post_init__(self) -> None:
        self._require_positive("dim", "num_heads", "ffn_dim", "num_layers", "freq_dim", "text_dim", "text_len")
        self._require_positive("in_channels", "out_channels")
        if self.dim % self.num_heads or self.head_dim % 2:
            raise ValueError(f"dim {self.dim} must split into {self.num_heads} heads of even size")
        if self.patch_size[0] != 1 or min(self.patch_size) < 1:
            raise ValueError("the causal DiT has one token grid per latent frame: patch_size[0] must be 1")


WAN_LATENT_MEAN = (
    -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508,
    0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921,
)  # fmt: skip
WAN_LATENT_STD = (
    2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
    3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class VAEConfig(_Config):
    """The causal Wan video VAE. `mean` and `std` normalise the latent channels. Defaults: Wan2.1_VAE."""

    dim: int = 96
    z_dim: int = 16
    dim_mult: tuple[int, ...] = (1, 2, 4, 4)
    num_res_blocks: int = 2
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

    def frames(self, latents: int) -> int:
        """How many pixel frames the first `latents` latent frames of a video are."""
        return 1 + (latents - 1) * self.temporal_stride if latents > 0 else 0

    def __post_init__(self) -> None:
        self._require_positive("dim", "z_dim", "num_res_blocks")
        if len(self.temporal_downsample) != len(self.dim_mult) - 1:
            raise ValueError("temporal_downsample needs one entry for each of the len(dim_mult) - 1 down-samplings")
        if not len(self.mean) == len(self.std) == self.z_dim:
            raise ValueError(f"mean and std need z_dim = {self.z_dim} numbers each")


@dataclass(frozen=True, kw_only=True)
class TextEncoderConfig(_Config):
    """The UMT5 encoder. Defaults: UMT5-XXL."""

    vocab_size: int = 256384
    dim: int = 4096
    dim_attn: int = 4096
    dim_ffn: int = 10240
    num_heads: int = 64
    num_layers: int = 24
    num_buckets: int = 32
    max_distance: int = 128

    def __post_init__(self) -> None:
        self._require_positive("vocab_size", "dim", "dim_attn", "dim_ffn")
        self._require_positive("num_heads", "num_layers", "num_buckets", "max_distance")


@dataclass(frozen=True, kw_only=True)
class SamplerConfig(_Config):
    """Few-step flow sampler (reference sheet, section 3). `denoising_steps` are timesteps, 1 to 1000.

    Between steps a clean prediction is brought back to the next noise level with `fresh` noise (LongLive and its base),
    or with the noise that the same prediction implies: `predicted`, an Euler step of the probability-flow ODE.
    """

    timestep_shift: float = 5.0
    denoising_steps: tuple[int, ...] = (1000, 750, 500, 250)
    warp: bool = True
    renoise: Literal["fresh", "predicted"] = "fresh"

    def __post_init__(self) -> None:
        self._require_positive("timestep_shift")
        if not self.denoising_steps or not all(0 < step <= 1000 for step in self.denoising_steps):
            raise ValueError(f"denoising_steps {list(self.denoising_steps)} must be timesteps from 1 to 1000")


@dataclass(frozen=True, kw_only=True)
class RolloutConfig(_Config):
    """Lengths in latent frames; the window includes the sink and the chunk being made. -1: attend to everything.

    `sink_policy`: whether a recache keeps the sink once frames have left the window, or makes the oldest frames of
    the window the new one. `absolute` positions end at `max_positions`, the size of the table that the published
    models were made with; `at_limit` says what happens there: the rollout refuses to go on, or counts anew from its
    sink by a recache. `relative` positions have no end.
    """

    chunk_frames: int = 3
    window_frames: int = 12
    sink_frames: int = 3
    positions: Positions = "absolute"
    max_positions: int = 1024
    at_limit: Literal["refuse", "rebase"] = "refuse"
    sink_policy: SinkPolicy = "keep"
    context_noise: float = 0.0

    def __post_init__(self) -> None:
        self._require_positive("chunk_frames", "max_positions")
        if self.sink_frames < 0:
            raise ValueError(f"sink_frames must be 0 or more, not {self.sink_frames}")
        if self.window_frames != -1 and self.window_frames < self.sink_frames + self.chunk_frames:
            raise ValueError(
                f"window_frames {self.window_frames} must be -1 or hold the sink and a chunk, "
                f"{self.sink_frames} + {self.chunk_frames} frames"
            )
        if self.at_limit == "rebase" and self.window_frames == -1:
            raise ValueError("at_limit 'rebase' needs a limited window, or what is attended to outgrows the positions")
        anew = self.sink_frames + self.window_frames + self.chunk_frames
        if self.at_limit == "rebase" and self.max_positions < anew:
            raise ValueError(
                f"max_positions {self.max_positions} must hold the sink, the window and a chunk, {anew} frames, or "
                "counting anew would pass it"
            )


@dataclass(frozen=True, kw_only=True)
class AdapterConfig(_Config):
    """A LoRA that is merged into the transformer when it is loaded; its scale is `alpha / rank`."""

    file: str
    rank: int = 256
    alpha: float = 256

    def __post_init__(self) -> None:
        self._require_positive("rank", "alpha")


@dataclass(frozen=True, kw_only=True)
class ModelFiles(_Config):
    """Where the parts of a model lie in its folder. `entry` is the state dict to take of a training checkpoint.

    A model has a `light` or a `tiny` decoder if it names the file of one.
    """

    transformer: str = "transformer.safetensors"
    entry: Literal["generator", "generator_ema"] = "generator"
    adapter: AdapterConfig | None = None
    vae: str = "vae.safetensors"
    light_decoder: str | None = None
    tiny_decoder: str | None = None
    text_encoder: str = "text_encoder.safetensors"
    tokenizer: str = "tokenizer.json"


@dataclass(frozen=True, kw_only=True)
class ModelConfig(_Config):
    """Everything that names a model: its parts, its rollout, the video it makes, prompts to begin and to go on with."""

    name: str
    transformer: TransformerConfig = TransformerConfig()
    vae: VAEConfig = VAEConfig()
    text_encoder: TextEncoderConfig = TextEncoderConfig()
    sampler: SamplerConfig = SamplerConfig()
    rollout: RolloutConfig = RolloutConfig()
    files: ModelFiles = ModelFiles()
    height: int = 480
    width: int = 832
    fps: int = 16
    examples: tuple[str, ...] = ()
    follow_ups: tuple[str, ...] = ()

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one latent frame."""
        stride = self.vae.spatial_stride
        return self.vae.z_dim, self.height // stride, self.width // stride

    def first_frame(self, chunk: int) -> int:
        """Number of the first pixel frame of a chunk; both are counted from 0."""
        return self.vae.frames(chunk * self.rollout.chunk_frames)

    def __post_init__(self) -> None:
        self._require_positive("height", "width", "fps")
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
