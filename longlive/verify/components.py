"""Cases of the parts around the transformer: the video VAE and the text encoder, in either of two layouts.

The LongLive goldens hold decoded pixels frame by frame and clamped; the Wan component goldens hold every video channels
first, not clamped, and also record the decoder's state. The names of a file's tensors tell which it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib.util import find_spec
from typing import cast

import torch
from torch import Tensor

from longlive.checkpoints import load_text_encoder, load_vae
from longlive.config import TextEncoderConfig, VAEConfig
from longlive.decoder import DecoderState
from longlive.text_encoder import build_text_encoder, encode_ids
from longlive.vae import WanVAE
from longlive.verify.case import Case, Compare, Kind, NotSupported, Pairs
from longlive.verify.folder import GoldenFolder
from longlive.verify.settings import configure
from longlive.verify.subject import tensor

T5_NAMES = {"vocab": "vocab_size"}
T5_LENGTHS = ("len", "lens")  # of the recorded inputs, not of the encoder
COLD = re.compile(r"frames\.(cold_(\d+)_(\d+))")
WAN_CHUNK = re.compile(r"frames\.chunk\d+")


class VAEGoldens:
    """The cases of vae_io.safetensors."""

    def __init__(self, folder: GoldenFolder, dtype: torch.dtype, device: torch.device | str) -> None:
        self.folder, self.dtype, self.device = folder, dtype, device
        self.numbers = folder.tensors("vae_io")
        self.wan = any(re.match(r"(frames|video|encoded)\b", name) for name in self.numbers)
        self.kind: Kind = "wan_vae" if self.wan else "vae"
        self.vae = cache(self._load)
        self.streamed = cache(self._stream)

    def cases(self) -> Iterator[Case]:
        used = {"latents", "mean", "std"}
        for names, case in self._known():
            if names & self.numbers.keys():
                used |= names
                yield case
        for name in self.numbers.keys() - used:
            yield Case(f"vae.{name}", "vae", self.kind, None)

    def _known(self) -> Iterator[tuple[set[str], Case]]:
        """Every case there may be, with the names that record it."""

        def case(name: str, compare: Compare, kind: Kind = self.kind) -> Case:
            return Case(f"vae.{name}", "vae", kind, compare)

        if self.wan:
            chunks = {name for name in self.numbers if WAN_CHUNK.fullmatch(name)}
            yield {"frames"}, case("whole", partial(self._whole, "frames"))
            yield chunks, case("streamed", partial(self._streamed_chunks, len(chunks)))
            yield {"video", "encoded"}, case("encode", partial(self._encode, "video", "encoded"))
            yield {"latents_denorm"}, case("denormalise", self._denormalise)
            yield {"state_rms"}, case("state", self._state, "statistic")
            for name in self.numbers:
                if match := COLD.fullmatch(name):
                    yield {name}, case(match[1], partial(self._cold, slice(int(match[2]), int(match[3])), name))
        else:
            yield {"pixels"}, case("whole", partial(self._whole, "pixels"))
            yield {"chunk_latents", "chunk_frames"}, case("streamed", self._streamed_whole)
            names = "encode.pixels", "encode.latents"
            yield set(names), case("encode", partial(self._encode, *names))

    def _load(self) -> WanVAE:
        settings = dict(self.folder.component("vae"))
        settings.update({name: self.numbers[name].tolist() for name in ("mean", "std") if name in self.numbers})
        config = configure(VAEConfig, settings)
        return load_vae(self.folder.file("vae_weights"), config, self.dtype, self.device)

    def _whole(self, name: str) -> Pairs:
        return [(self.vae().decode(self._latents(), clamp=not self.wan), self._video(name))]

    def _streamed_whole(self) -> Pairs:
        parts, _ = self.streamed()
        counts = tensor(self.numbers, "chunk_frames").tolist()
        if [part.shape[1] for part in parts] != counts:
            raise ValueError(f"the chunks have {[part.shape[1] for part in parts]} frames, expected {counts}")
        return [(torch.cat(parts, dim=1), self._video("pixels"))]

    def _streamed_chunks(self, count: int) -> Pairs:
        parts, _ = self.streamed()
        return [(parts[index], self._video(f"frames.chunk{index}")) for index in range(count)]

    def _stream(self) -> tuple[list[Tensor], DecoderState]:
        latents, vae = self._latents(), self.vae()
        batch, _, _, height, width = latents.shape
        state = vae.init_state(batch, height, width, self.dtype, self.device)
        parts = [vae.decode(part, state, clamp=not self.wan) for part in latents.split(self._pieces(), dim=1)]
        return parts, state

    def _pieces(self) -> list[int]:
        """Latents per chunk of the stream. Wan records only its pixels: a latent gives 4, the first one 1."""
        if not self.wan:
            return tensor(self.numbers, "chunk_latents").tolist()
        count = sum(WAN_CHUNK.fullmatch(name) is not None for name in self.numbers)
        frames = [self._video(f"frames.chunk{index}").shape[1] for index in range(count)]
        pieces = [-(-number // self.vae().config.temporal_stride) for number in frames]
        return pieces or [self._latents().shape[1]]

    def _encode(self, pixels: str, latents: str) -> Pairs:
        return [(self.vae().encode(self._video(pixels).to(self.device)), self._video(latents))]

    def _denormalise(self) -> Pairs:
        return [(self.vae().denormalise(self._latents()), self._video("latents_denorm"))]

    def _state(self) -> Pairs:
        _, state = self.streamed()
        rms = torch.stack([part.double().square().mean().sqrt() for part in state.history])
        return [(rms, self.numbers["state_rms"])]

    def _cold(self, piece: slice, name: str) -> Pairs:
        return [(self.vae().decode(self._latents()[:, piece], clamp=False), self._video(name))]

    def _latents(self) -> Tensor:
        return self._video("latents").to(self.device)

    def _video(self, name: str) -> Tensor:
        """Pixels or latents as [B, T, C, H, W]. LongLive's encoder input is channels first too."""
        video = tensor(self.numbers, name)
        return video.transpose(1, 2) if self.wan or name == "encode.pixels" else video


def text_cases(folder: GoldenFolder, dtype: torch.dtype, device: torch.device | str) -> Iterator[Case]:
    """The cases of t5_io.safetensors. Not supported where the library that runs the encoder is not installed."""
    numbers = folder.tensors("t5_io")
    kind: Kind = "wan_text" if "hidden" in numbers else "text"

    @cache
    def config() -> TextEncoderConfig:
        if find_spec("transformers") is None:
            raise NotSupported("the text encoder needs transformers, which is not installed here")
        settings = folder.component("t5")
        names = {T5_NAMES.get(name, name): value for name, value in settings.items() if name not in T5_LENGTHS}
        return configure(TextEncoderConfig, names)

    model = cache(lambda: load_text_encoder(folder.file("t5_weights"), config(), dtype, device))

    def inputs() -> tuple[Tensor, Tensor]:
        ids, mask = (tensor(numbers, name).to(device) for name in ("ids", "mask"))
        return ids, mask

    def compare_raw(name: str) -> Pairs:
        ids, mask = inputs()
        return [(model()(input_ids=ids, attention_mask=mask).last_hidden_state, numbers[name])]

    def compare_embeds(name: str) -> Pairs:
        return [(encode_ids(model(), *inputs()), numbers[name])]

    def compare_lengths(name: str) -> Pairs:
        return [(inputs()[1].sum(dim=1), numbers[name])]

    def compare_buckets(name: str) -> Pairs:
        attention = build_text_encoder(config()).get_submodule("encoder.block.0.layer.0.SelfAttention")
        bucket = cast(Callable[[Tensor], Tensor], attention._relative_position_bucket)
        return [(bucket(tensor(numbers, "distance")), numbers[name])]

    compares: dict[str, Callable[[str], Pairs]] = {
        "output_raw": compare_raw,
        "hidden": compare_raw,
        "prompt_embeds": compare_embeds,
        "lens": compare_lengths,
        "bucket": compare_buckets,
    }
    for name in numbers:
        if name in compares:
            exact = name in ("lens", "bucket")
            yield Case(f"t5.{name}", "t5", "statistic" if exact else kind, partial(compares[name], name))
        elif name not in ("ids", "mask", "distance"):
            yield Case(f"t5.{name}", "t5", kind, None)
