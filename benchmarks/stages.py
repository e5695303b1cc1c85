"""The pieces of work that a session is made of, to be timed and counted one by one. Needs torch and numpy alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from longlive.config import DecoderName, ModelConfig
from longlive.kv_cache import KVCache
from longlive.model import VideoModel, build_decoder
from longlive.sampler import FewStepSampler, renoise, to_x0

SEED = 0
CUDNN_FIRST = [
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]
Work = Callable[[], object]


def attention_order(name: str) -> AbstractContextManager[None]:
    """`default`: the kernel that torch would take; `cudnn_first`: cuDNN's where it can."""
    return sdpa_kernel(CUDNN_FIRST, set_priority=True) if name == "cudnn_first" else nullcontext()


def chunks_to_steady(config: ModelConfig) -> int:
    """Chunks after which each is like the one before: the window is full, and frames have left it."""
    return config.rollout.window_frames // config.rollout.chunk_frames + 1


def random_prompt(config: ModelConfig, device: torch.device, seed: int = SEED) -> Tensor:
    """Embeddings [1, text_len, text_dim] of no words at all."""
    shape = (1, config.transformer.text_len, config.transformer.text_dim)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(device)


def with_decoder(model: VideoModel, name: DecoderName) -> VideoModel:
    """The model with another decoder, whose weights are random too, and the same every time."""
    place = model.device
    with torch.random.fork_rng([place] if place.type == "cuda" else []), place:
        torch.manual_seed(SEED)
        decoder = build_decoder(name, model.config.vae)
    decoder.to(place, model.dtype).requires_grad_(False).eval()
    return replace(model, decoder=decoder)


def weight_count(network: nn.Module) -> int:
    """Numbers that were learnt. Quantised ones are buffers; the scales beside them say nothing new."""
    return sum(weight.numel() for name, weight in network.state_dict().items() if not name.endswith(".scale"))


class TransformerStages:
    """A session of the transformer in its steady state: the window is full, and frames have left it."""

    def __init__(self, model: VideoModel) -> None:
        config = model.config
        self._prompt = random_prompt(config, model.device)
        self._transformer = model.transformer
        self._rollout = model.rollout(self._prompt, SEED)
        sampler = FewStepSampler(config.sampler, config.rollout.context_noise)
        levels = (1, config.rollout.chunk_frames)
        with torch.inference_mode():
            self._text = self._transformer.encode_text(self._prompt)
            self._noisy, self._clean = (
                self._transformer.encode_time(torch.full(levels, timestep, device=model.device, dtype=torch.float64))
                for timestep in (sampler.timesteps[0], sampler.timesteps[-1])
            )
        self._sigma, self._next_sigma = (
            torch.full((*levels, 1, 1, 1), sigma, device=model.device, dtype=torch.float64)
            for sigma in sampler.sigmas[:2]
        )
        shape = (1, config.rollout.chunk_frames, *config.latent_shape)
        self._noise = torch.randn(shape, generator=torch.Generator().manual_seed(SEED)).to(model.device)
        for _ in range(chunks_to_steady(config)):
            self._rollout.next_chunk()

    def all(self) -> dict[str, Work]:
        return {
            "denoising_forward": self.denoise,
            "clean_pass": self.clean,
            "text_context": self.text_context,
            "recache": self.recache,
            "chunk": self.chunk,
        }

    @torch.inference_mode()
    def denoise(self) -> Tensor:
        """One denoising step of the newest chunk: the forward, the clean prediction, the noise of the next level."""
        self._begin()
        flow = self._transformer(self._noise, self._noisy, self._text, self._rollout.cache)
        return renoise(to_x0(flow, self._noise, self._sigma), self._noise, self._next_sigma)

    @torch.inference_mode()
    def clean(self) -> None:
        """The forward that stores the keys and values of a finished chunk."""
        self._begin()
        self._transformer(self._noise, self._clean, self._text, self._rollout.cache)

    @torch.inference_mode()
    def text_context(self) -> None:
        """What the cross-attentions read, made of a prompt's embeddings."""
        self._transformer.encode_text(self._prompt)

    def recache(self) -> None:
        """A switch of the prompt: the text context, and the keys and values of the window under it."""
        self._rollout.switch(self._prompt, "recache")

    def chunk(self) -> None:
        """All passes of a chunk."""
        self._rollout.next_chunk()

    def _begin(self) -> None:
        """Prepare a pass over the newest chunk: it attends to the whole window, as it did when it was made."""
        stop = self._rollout.frames
        self._rollout.cache.begin(range(stop - self._noise.shape[1], stop))


def decode_stage(model: VideoModel) -> Work:
    """Frames of one more chunk of a video in progress."""
    shape = (1, model.config.rollout.chunk_frames, *model.config.latent_shape)
    latents = torch.randn(shape, generator=torch.Generator().manual_seed(SEED)).to(model.device)
    state = model.decoder_state()
    model.decode(latents, state)
    return lambda: model.decode(latents, state)


@torch.inference_mode()
def first_flow(model: VideoModel) -> Tensor:
    """What the transformer says of one and the same noise: to compare number formats. float32 on the CPU."""
    config, transformer = model.config, model.transformer
    frames = config.rollout.chunk_frames
    shape = (1, frames, *config.latent_shape)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(SEED)).to(model.device)
    cache = KVCache(
        layers=config.transformer.num_layers,
        batch=1,
        frames=frames,
        sink=0,
        heads=config.transformer.num_heads,
        rotary=transformer.rotary(*config.latent_shape[1:]),
        positions=config.rollout.positions,
        dtype=transformer.dtype,
    )
    cache.begin(range(frames))
    text = transformer.encode_text(random_prompt(config, model.device))
    timesteps = torch.full((1, frames), 1000.0, device=model.device)
    return transformer(noise, timesteps, text, cache).float().cpu()


def stage_flops(model: VideoModel) -> dict[str, int]:
    """Floating-point operations of every transformer stage, by the shapes of its operations; the model's device may be
    `meta`. A product of matrices [m, k] and [k, n] is 2 m k n; what is not a product or a convolution counts nothing.
    """
    return {name: flops(work) for name, work in TransformerStages(model).all().items()}


def flops(work: Work) -> int:
    """Of a run that is not the first: what a session keeps from then on does not count."""
    work()
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


class Clock:
    """Milliseconds of pieces of work: device events on CUDA, the host's clock elsewhere. `most` runs of each."""

    def __init__(self, device: torch.device, most: int) -> None:
        self._device, self._most = device, most

    def repeat(self, work: Work, *, seconds: float = 5.0) -> dict[str, float]:
        """The spread over several runs after two unmeasured ones; at least one, no new one after `seconds`."""
        stop = time.perf_counter() + seconds
        for _ in range(2):
            work()
        self.synchronise()
        times = [self.once(work)]
        while len(times) < self._most and time.perf_counter() < stop:
            times.append(self.once(work))
        return spread(times)

    def once(self, work: Work) -> float:
        """Milliseconds of one run."""
        if self._device.type != "cuda":
            start = time.perf_counter()
            work()
            return 1000 * (time.perf_counter() - start)
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        work()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end)

    def synchronise(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def spread(values: list[float]) -> dict[str, float]:
    """Count, median and extremes."""
    return {
        "n": len(values),
        "median": round(median(values), 3),
        "min": round(min(values), 3),
        "max": round(max(values), 3),
    }


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """Root-mean-square error over the root-mean-square of what is expected."""
    difference = actual.float() - expected.float()
    return round(float(difference.square().mean().sqrt() / expected.float().square().mean().sqrt()), 6)
