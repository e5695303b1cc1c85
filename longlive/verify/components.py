"""Cases of the parts around the transformer: the video VAE and the text encoder, in either of two layouts.

The LongLive goldens hold pixels frame by frame and clamped; the Wan component goldens hold channels first, not clamped,
and also record the decoder's state.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from longlive.checkpoints import load_text_encoder, load_vae
from longlive.config import TextEncoderConfig, VAEConfig
from longlive.text_encoder import encode_ids
from longlive.vae import VAEState, WanVAE
from longlive.verify.case import Case, Kind, Pairs

CONFIGS = ("vae_t5_config.json", "config.json")
T5_NAMES = {"vocab": "vocab_size"}
T5_LENGTHS = ("len", "lens")  # of the recorded inputs, not of the encoder


def component_cases(folder: Path, dtype: torch.dtype, device: torch.device | str) -> Iterator[Case]:
    """The cases that the folder's files name; weights are loaded when the first of them runs."""
    config: dict[str, dict[str, object]] = next(
        (json.loads((folder / name).read_bytes()) for name in CONFIGS if (folder / name).is_file()), {}
    )
    if (folder / "vae_io.safetensors").is_file():
        yield from _VAEGoldens(folder, config.get("vae", {}), dtype, device).cases()
    if (folder / "t5_io.safetensors").is_file():
        yield from _text_cases(folder, config.get("t5", {}), dtype, device)


class _VAEGoldens:
    def __init__(
        self, folder: Path, settings: dict[str, object], dtype: torch.dtype, device: torch.device | str
    ) -> None:
        self.numbers = load_file(folder / "vae_io.safetensors")
        self.wan = "frames" in self.numbers
        self.dtype, self.device = dtype, device
        statistics = {name: tuple(self.numbers[name].tolist()) for name in ("mean", "std")}
        self.vae: Callable[[], WanVAE] = cache(
            lambda: load_vae(
                folder / "vae_weights.safetensors",
                VAEConfig.model_validate({**settings, **statistics}),
                dtype,
                device,
            )
        )
        self.streamed = cache(self._stream)

    def cases(self) -> Iterator[Case]:
        kind: Kind = "wan_vae" if self.wan else "vae"
        numbers = self.numbers
        yield Case("vae.whole", "vae", kind, self._whole)
        yield Case("vae.streamed", "vae", kind, self._streamed)
        yield Case("vae.encode", "vae", kind, self._encode)
        if "latents_denorm" in numbers:
            yield Case("vae.denormalise", "vae", kind, self._denormalise)
        if "state_rms" in numbers:
            yield Case("vae.state", "vae", "statistic", self._state)
        for name in numbers:
            if match := re.fullmatch(r"frames\.(cold_(\d+)_(\d+))", name):
                piece = slice(int(match[2]), int(match[3]))
                yield Case(f"vae.{match[1]}", "vae", kind, partial(self._cold, piece, name))

    def _whole(self) -> Pairs:
        return [(self.vae().decode(self._latents(), clamp=not self.wan), self._frames_first(self._pixels_name()))]

    def _streamed(self) -> Pairs:
        parts = self.streamed()[0]
        whole = self._frames_first(self._pixels_name())
        if self.wan:
            return [(part, self._frames_first(f"frames.chunk{index}")) for index, part in enumerate(parts)]
        counts = self.numbers["chunk_frames"].tolist()
        if [part.shape[1] for part in parts] != counts:
            raise ValueError(f"the chunks have {[part.shape[1] for part in parts]} frames, expected {counts}")
        return [(torch.cat(parts, dim=1), whole)]

    def _stream(self) -> tuple[list[Tensor], VAEState]:
        latents, vae = self._latents(), self.vae()
        batch, _, _, height, width = latents.shape
        state = vae.init_state(batch, height, width, self.dtype, self.device)
        parts = [vae.decode(part, state, clamp=not self.wan) for part in latents.split(self._chunk_latents(), dim=1)]
        return parts, state

    def _chunk_latents(self) -> list[int]:
        if not self.wan:
            return self.numbers["chunk_latents"].tolist()
        count = sum(name.startswith("frames.chunk") for name in self.numbers)
        frames = [self._frames_first(f"frames.chunk{index}").shape[1] for index in range(count)]
        return [-(-number // self.vae().config.temporal_stride) for number in frames]

    def _encode(self) -> Pairs:
        pixels = self._frames_first("video" if self.wan else "encode.pixels").to(self.device)
        latents = self.numbers["encoded" if self.wan else "encode.latents"]
        return [(self.vae().encode(pixels), latents.transpose(1, 2) if self.wan else latents)]

    def _denormalise(self) -> Pairs:
        return [(self.vae().denormalise(self._latents()), self.numbers["latents_denorm"].transpose(1, 2))]

    def _state(self) -> Pairs:
        _, state = self.streamed()
        return [
            (torch.stack([part.double().square().mean().sqrt() for part in state.history]), self.numbers["state_rms"])
        ]

    def _cold(self, piece: slice, name: str) -> Pairs:
        return [(self.vae().decode(self._latents()[:, piece], clamp=not self.wan), self._frames_first(name))]

    def _latents(self) -> Tensor:
        latents = self.numbers["latents"].to(self.device)
        return latents.transpose(1, 2) if self.wan else latents

    def _pixels_name(self) -> str:
        return "frames" if self.wan else "pixels"

    def _frames_first(self, name: str) -> Tensor:
        """A video as [B, T, 3, H, W]; a clip never has three frames, so three is the channels."""
        video = self.numbers[name]
        return video.transpose(1, 2) if video.shape[1] == 3 else video


def _text_cases(
    folder: Path, settings: dict[str, object], dtype: torch.dtype, device: torch.device | str
) -> Iterator[Case]:
    numbers = load_file(folder / "t5_io.safetensors")
    raw = "hidden" if "hidden" in numbers else "output_raw"
    kind: Kind = "wan_text" if raw == "hidden" else "text"
    config = {T5_NAMES.get(name, name): value for name, value in settings.items() if name not in T5_LENGTHS}
    model = cache(
        lambda: load_text_encoder(
            folder / "t5_weights.safetensors", TextEncoderConfig.model_validate(config), dtype, device
        )
    )
    ids, mask = numbers["ids"].to(device), numbers["mask"].to(device)

    def compare_raw() -> Pairs:
        return [(model()(input_ids=ids, attention_mask=mask).last_hidden_state, numbers[raw])]

    def compare_embeds() -> Pairs:
        return [(encode_ids(model(), ids, mask), numbers["prompt_embeds"])]

    yield Case(f"t5.{raw}", "t5", kind, compare_raw)
    yield Case("t5.prompt_embeds", "t5", kind, compare_embeds)
