"""What a model and its sessions need of a GPU's memory, found by running it on tensors without memory."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from longlive.allocations import Allocations, held_bytes
from longlive.config import DecoderName, ModelConfig
from longlive.errors import InputError
from longlive.model import VideoModel, build_video_model
from longlive.precision import Precision

UNITS = {"MB": 10**6, "GB": 10**9, "TB": 10**12, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
RESERVED_PART = 20  # one in so many bytes
RESERVED_LEAST = 512 * 2**20
SNAPSHOT_BYTES = 2  # of a number: bfloat16


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes of device memory.

    Weights: `transformer`, `decoder` and, where prompts are read on the same device, `text_encoder`. Of each session:
    `kv_cache`, `prompt` (keys and values of the cross-attentions), `decoder_state` and `rest` (latents, noise, time
    embeddings). For one session at a time, whichever has the device: `chunk`, `recache` and `decode`, what these
    need at their peak beside all that stays. `snapshot` is that of a session: it lies in host memory.
    """

    transformer: int
    decoder: int
    text_encoder: int
    kv_cache: int
    prompt: int
    decoder_state: int
    rest: int
    chunk: int
    recache: int
    decode: int
    snapshot: int

    @property
    def weights(self) -> int:
        return self.transformer + self.decoder + self.text_encoder

    @property
    def session(self) -> int:
        return self.kv_cache + self.prompt + self.decoder_state + self.rest

    @property
    def workspace(self) -> int:
        return max(self.chunk, self.recache, self.decode)

    def total(self, sessions: int) -> int:
        """At the peak with that many sessions, without a reserve."""
        return self.weights + self.workspace + sessions * self.session

    @property
    def least_memory(self) -> int:
        """Of a device that one session fits in."""
        total = self.total(1)
        return max(total + RESERVED_LEAST, RESERVED_PART * (total - 1) // (RESERVED_PART - 1) + 1)

    def sessions_that_fit(self, memory: int) -> int:
        """In a device with that much memory, some of it reserved; 0 if none does."""
        return max(0, (memory - reserved_bytes(memory) - self.total(0)) // self.session)


def reserved_bytes(memory: int) -> int:
    """What no plan can know: the driver's context, workspaces of libraries, gaps between blocks."""
    return max(RESERVED_LEAST, memory // RESERVED_PART)


def plan_memory(
    config: ModelConfig, precision: Precision, decoder: DecoderName, *, text_encoder: bool = False
) -> MemoryPlan:
    """The plan of a model, whose weights need not exist, on a GPU. Takes seconds at full size.

    Activations are counted as a GPU's fused kernels leave them. ValueError if the VAE has no such decoder.
    """
    one, two = (_measured(config, blocks, precision, decoder) for blocks in (1, 2))
    # The blocks are all alike: each further one costs what the second did.
    further = config.transformer.num_layers - 1
    values = {
        field.name: getattr(one, field.name) + further * (getattr(two, field.name) - getattr(one, field.name))
        for field in fields(MemoryPlan)
    }
    return replace(MemoryPlan(**values), text_encoder=_text_encoder_bytes(config, precision) if text_encoder else 0)


def parse_bytes(text: str) -> int:
    """`141GB` or `80 GiB` in bytes; GB are 10**9, GiB 2**30. Raises InputError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-zA-Z]+)", text.strip())
    unit = {name.lower(): size for name, size in UNITS.items()}.get(match[2].lower()) if match else None
    if match is None or unit is None or not float(match[1]):
        raise InputError(f"'{text}' is no size of memory; write it like 141GB (10**9 bytes) or 80GiB (2**30 bytes)")
    return int(float(match[1]) * unit)


def _measured(config: ModelConfig, blocks: int, precision: Precision, decoder: DecoderName) -> MemoryPlan:
    config = replace(config, transformer=replace(config.transformer, num_layers=blocks))
    model = build_video_model(config, precision, decoder, "meta")
    with torch.inference_mode(), Allocations("meta") as memory:
        return _session_measured(model, memory)


def _session_measured(model: VideoModel, memory: Allocations) -> MemoryPlan:
    """Opens a session, fills its window, recaches all of it, goes on until the oldest frames leave."""
    config = model.config
    sizes, rollout_config = config.transformer, config.rollout

    def embeddings() -> Tensor:
        return torch.zeros(1, sizes.text_len, sizes.text_dim, dtype=model.dtype, device=model.device)

    def held(make: Callable[[], object]) -> int:
        before, made = memory.live, make()
        after = memory.live
        del made
        return after - before

    def extra(work: Callable[[], object]) -> int:
        memory.reset_peak()
        work()
        return memory.peak - memory.live

    prompt = held(lambda: model.transformer.encode_text(embeddings()))
    decoder_state = held(model.decoder_state)
    start = memory.live
    state = model.decoder_state()
    rollout = model.rollout(embeddings(), 0, noise=_no_noise)
    kv_cache = held_bytes((*rollout.cache.keys, *rollout.cache.values))
    for _ in range(rollout_config.window_frames // rollout_config.chunk_frames):
        rollout.next_chunk()
    recache = extra(lambda: rollout.switch(embeddings()))
    rollout.next_chunk()
    chunk = extra(rollout.next_chunk)
    session = memory.live - start
    channels, height, width = config.latent_shape
    latents = torch.empty(1, rollout_config.chunk_frames, channels, height, width, device=model.device)
    model.decode(latents, state)  # the first latent of a video takes less than a later one
    decode = extra(lambda: model.decode(latents, state))
    frames = rollout_config.window_frames + rollout_config.sink_frames
    return MemoryPlan(
        transformer=held_bytes(model.transformer.state_dict().values()),
        decoder=held_bytes(model.decoder.parameters()),
        text_encoder=0,
        kv_cache=kv_cache,
        prompt=prompt,
        decoder_state=decoder_state,
        rest=session - kv_cache - prompt - decoder_state,
        chunk=chunk,
        recache=recache,
        decode=decode,
        snapshot=frames * math.prod(config.latent_shape) * SNAPSHOT_BYTES,
    )


def _no_noise(seed: int, chunk: int, step: int, shape: tuple[int, ...]) -> Tensor:
    return torch.empty(shape, device="meta")


def _text_encoder_bytes(config: ModelConfig, precision: Precision) -> int:
    from longlive.text_encoder import build_text_encoder

    parameters = build_text_encoder(config.text_encoder).parameters()
    return sum(parameter.numel() for parameter in parameters) * precision.dtype.itemsize
