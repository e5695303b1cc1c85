"""Models by name: what each preset is made of, how it rolls out, and where its files are published.

A preset's files lie in a *weights folder*, laid out as the reference's own checkouts are: point it at one and nothing
has to be copied. Facts: reference sheet, section 8; the table of Wan-1.3B relatives, its section 8.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from longlive.config import AdapterConfig, ModelConfig, ModelFiles, RolloutConfig
from longlive.errors import InputError

PACKAGED = "tiny"
WAN = "wan_models/Wan2.1-T2V-1.3B"


@dataclass(frozen=True)
class Source:
    """A file to have: `file` of a hub's `repo` goes `into` a folder of the weights folder. Decoders are optional.

    `repo` is None where nobody publishes the file; then `file` says what to put there.
    """

    repo: str | None
    file: str
    into: str = ""
    optional: bool = False

    @property
    def path(self) -> str:
        """Where it lies in the weights folder."""
        return str(PurePosixPath(self.into) / self.file)


@dataclass(frozen=True)
class Preset:
    """A model whose files somebody else publishes."""

    config: ModelConfig
    sources: tuple[Source, ...]


def find_preset(name: str) -> Preset:
    """What is published under a name. InputError for another one."""
    if name in PRESETS:
        return PRESETS[name]
    if name == PACKAGED:
        raise InputError(f"'{PACKAGED}' is part of this package; there is nothing to download")
    raise InputError(f"there is no preset '{name}'; take one of {', '.join(PRESETS)}")


def known() -> str:
    """The names of all presets, for messages."""
    return ", ".join((PACKAGED, *PRESETS))


_COMMON_SOURCES = (
    Source("Wan-AI/Wan2.1-T2V-1.3B", "Wan2.1_VAE.pth", WAN),
    Source("Wan-AI/Wan2.1-T2V-1.3B", "models_t5_umt5-xxl-enc-bf16.pth", WAN),
    Source("Wan-AI/Wan2.1-T2V-1.3B", "google/umt5-xxl/tokenizer.json", WAN),
    Source("lightx2v/Autoencoders", "lightvaew2_1.pth", "decoders", optional=True),
    Source("lightx2v/Autoencoders", "taew2_1.pth", "decoders", optional=True),
)


def _files(
    transformer: Source, entry: Literal["generator", "generator_ema"], adapter: Source | None = None
) -> ModelFiles:
    return ModelFiles(
        transformer=transformer.path,
        entry=entry,
        adapter=AdapterConfig(file=adapter.path, rank=256, alpha=256) if adapter else None,
        vae=f"{WAN}/Wan2.1_VAE.pth",
        light_decoder="decoders/lightvaew2_1.pth",
        tiny_decoder="decoders/taew2_1.pth",
        text_encoder=f"{WAN}/models_t5_umt5-xxl-enc-bf16.pth",
        tokenizer=f"{WAN}/google/umt5-xxl/tokenizer.json",
    )


# Subject and place are said again in every follow-up: the models read each prompt as if it were the only one.
_EXAMPLES = (
    "A red fox with a bushy tail trots along a snowy forest path at dawn, thin fog between dark pine trunks, its "
    "breath white in the cold air, the camera gliding beside it at eye level, soft blue light, photorealistic.",
    "An elderly watchmaker with round glasses and a grey beard bends over a wooden workbench in a small cluttered "
    "shop, brass gears and pocket watches around him, a warm desk lamp lighting his careful hands, shallow focus.",
    "A small white sailing boat crosses a wide turquoise bay on a bright afternoon, green hills behind it, sunlight "
    "glittering on low waves, gulls circling the mast, filmed from a slowly circling drone.",
)
_FOLLOW_UPS = (
    "A red fox with a bushy tail stops on a snowy forest path at dawn, lifts its head and listens, thin fog between "
    "dark pine trunks, the camera holding still at eye level, soft blue light, photorealistic.",
    "A red fox with a bushy tail trots along a snowy forest path as heavy snow begins to fall, large flakes drifting "
    "between dark pine trunks, the camera gliding beside it at eye level, photorealistic.",
    "An elderly watchmaker with round glasses and a grey beard leans back at a wooden workbench in a small cluttered "
    "shop and smiles, a ticking brass pocket watch in his hand, a warm desk lamp beside him, shallow focus.",
    "A small white sailing boat crosses a wide bay under a dark stormy sky, green hills behind it fading into rain, "
    "high grey waves breaking over its bow, filmed from a slowly circling drone.",
)


def _preset(name: str, rollout: RolloutConfig, files: ModelFiles, *sources: Source) -> Preset:
    config = ModelConfig(name=name, rollout=rollout, files=files, examples=_EXAMPLES, follow_ups=_FOLLOW_UPS)
    return Preset(config, (*sources, *_COMMON_SOURCES))


# The table of positions ends after 256 s. LongLive's training recaches at every prompt, so counting anew by a recache
# asks nothing new of it, and a live video must not end there. The models made for 21 latent frames never met a recache,
# and nobody has shown what one does to them: they stop at the end of the table, long past what they were made for.
_LONGLIVE = RolloutConfig(chunk_frames=3, window_frames=12, sink_frames=3, positions="absolute", at_limit="rebase")
_CHUNK_WISE = RolloutConfig(chunk_frames=3, window_frames=21, sink_frames=0, positions="absolute", at_limit="refuse")
_FRAME_WISE = RolloutConfig(chunk_frames=1, window_frames=21, sink_frames=0, positions="absolute", at_limit="refuse")

_LONGLIVE_BASE = Source("Efficient-Large-Model/LongLive-1.3B", "models/longlive_base.pt", "longlive_models")
_LONGLIVE_LORA = Source("Efficient-Large-Model/LongLive-1.3B", "models/lora.pt", "longlive_models")
_SELF_FORCING = Source("gdhe17/Self-Forcing", "checkpoints/self_forcing_dmd.pt")
_SELF_FORCING_FRAME_WISE = Source(
    None, "checkpoints/self_forcing_dmd_framewise.pt"
)  # its authors keep it to themselves
_CAUSAL_FORCING = Source("zhuhz22/Causal-Forcing", "chunkwise/causal_forcing.pt", "checkpoints")
_CAUSAL_FORCING_FRAME_WISE = Source("zhuhz22/Causal-Forcing", "framewise/causal_forcing.pt", "checkpoints")

PRESETS: Mapping[str, Preset] = {
    preset.config.name: preset
    for preset in (
        _preset(
            "longlive-1.3b",
            _LONGLIVE,
            _files(_LONGLIVE_BASE, "generator", _LONGLIVE_LORA),
            _LONGLIVE_BASE,
            _LONGLIVE_LORA,
        ),
        _preset("self-forcing", _CHUNK_WISE, _files(_SELF_FORCING, "generator_ema"), _SELF_FORCING),
        _preset(
            "self-forcing-framewise",
            _FRAME_WISE,
            _files(_SELF_FORCING_FRAME_WISE, "generator_ema"),
            _SELF_FORCING_FRAME_WISE,
        ),
        _preset("causal-forcing", _CHUNK_WISE, _files(_CAUSAL_FORCING, "generator"), _CAUSAL_FORCING),
        _preset(
            "causal-forcing-framewise",
            _FRAME_WISE,
            _files(_CAUSAL_FORCING_FRAME_WISE, "generator_ema"),
            _CAUSAL_FORCING_FRAME_WISE,
        ),
    )
}
