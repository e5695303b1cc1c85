"""The engine at full size on a GPU: frames per second, milliseconds and TFLOP/s of each stage, memory, correctness.

`python benchmarks/gpu.py --out gpu.json`. Needs torch 2.11 or newer and numpy, and no weights: they are random, which
takes as long. The comparison with the reference's recorded numbers also needs safetensors, and transformers for the
text encoder. The JSON is written anew after every part, so that whatever ends it early leaves what was measured; a
part that fails is an error in it, and the others go on. `--size tiny` runs the same code on a CPU in seconds.
"""

from __future__ import annotations

import argparse
import copy
import gc
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

# A bare machine has torch, and this package is not installed on it.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from longlive.attention import attend
from longlive.config import (
    DecoderName,
    ModelConfig,
    RolloutConfig,
    TextEncoderConfig,
    TransformerConfig,
    VAEConfig,
)
from longlive.model import VideoModel, build_video_model
from longlive.precision import Precision
from longlive.stream import VideoStream
from longlive.taehv import TAEHVDecoder
from memory import live_tensor_bytes
from record import MIB, ROOT, Record, collect, deadline, provenance
from stages import (
    SEED,
    Clock,
    TransformerStages,
    attention_order,
    chunks_to_steady,
    decode_stage,
    first_flow,
    flops,
    random_prompt,
    relative_error,
    spread,
    stage_flops,
    weight_count,
    with_decoder,
)

SIZES = {
    "full": ModelConfig(name="longlive-1.3b"),
    "tiny": ModelConfig(
        name="random-tiny",
        transformer=TransformerConfig(
            dim=64, num_heads=2, ffn_dim=128, num_layers=2, freq_dim=32, text_dim=32, text_len=16
        ),
        vae=VAEConfig(dim=16, num_res_blocks=1),
        text_encoder=TextEncoderConfig(dim=32),
        rollout=RolloutConfig(),
        height=32,
        width=32,
    ),
}
RUNS = {"full": 16, "tiny": 3}  # of each piece of work, or as many as its seconds allow
PRECISIONS = (Precision.bfloat16, Precision.int8, Precision.fp8)
DECODERS: tuple[DecoderName, ...] = ("wan", "light", "tiny")
ORDERS = ("default", "cudnn_first")
KERNELS = (SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION)


class Benchmark:
    """All parts, for one configuration on one device."""

    def __init__(self, size: str, device: torch.device, record: Record, goldens: Path) -> None:
        self._config, self._runs = SIZES[size], RUNS[size]
        self._device, self._record, self._goldens = device, record, goldens
        self._clock = Clock(device, self._runs)
        self._order = "default"
        self._flops: dict[str, int] = {}
        self._flow: torch.Tensor | None = None
        self._prompt = random_prompt(self._config, device)

    def run(self) -> None:
        self._flops = self._record.run("flops", self._count) or {}
        self._record.run("attention", self._attention)
        self._record.run("verify", lambda: verify(self._goldens, self._device))
        for precision in PRECISIONS:
            model = self._built(precision)
            if model is not None:
                self._measure(model, precision)
                if precision is Precision.bfloat16:
                    self._examine(model)
            del model  # before the next one is built

    def _examine(self, model: VideoModel) -> None:
        self._record.run("two sessions, alternating", lambda: self._alternating(model))
        self._record.run("decoders against float32", lambda: self._decoder_errors(model))
        self._record.run("wan decoder, cudnn.benchmark", lambda: self._tuned_decode(model))
        self._record.run("chunk, relative positions", lambda: self._endless_chunk(model))

    def _measure(self, model: VideoModel, precision: Precision) -> None:
        orders = ORDERS if precision is Precision.bfloat16 and self._may_choose() else (self._order,)
        times = {}
        for order in orders:
            name = f"{precision}: stages, attention {order}"
            with attention_order(order):
                times[order] = self._record.run(name, lambda: self._stages(model))
        if len(orders) > 1:
            measured = {order: part["chunk"]["ms"]["median"] for order, part in times.items() if part}
            self._order = min(measured, key=lambda order: measured[order], default="default")
        with attention_order(self._order):
            for name in DECODERS:
                self._record.run(f"{precision}, {name} decoder", lambda name=name: self._frames(model, name))  # type: ignore[misc]

    def _may_choose(self) -> bool:
        """cuDNN's kernels are known to be slower before Hopper; on a CPU there are none, and the code is only tried."""
        return self._device.type != "cuda" or torch.cuda.get_device_capability(self._device)[0] >= 9

    def _built(self, precision: Precision) -> VideoModel | None:
        made: list[VideoModel] = []

        def build() -> dict[str, Any]:
            model = build_video_model(self._config, precision, "wan", self._device)
            weights = [*model.transformer.parameters(), *model.transformer.buffers()]
            flow = first_flow(model)
            made.append(model)  # not before: one that cannot run has nothing to be measured
            if precision is Precision.bfloat16:
                self._flow = flow
            return {
                "transformer_parameters": weight_count(model.transformer),
                "transformer_mib": _mib(weights),
                "flow_error_to_bfloat16": None if self._flow is None else relative_error(flow, self._flow),
            }

        self._record.run(f"{precision}: build", build)
        return made[0] if made else None

    def _count(self) -> dict[str, Any]:
        """TFLOP of the stages, counted from shapes on a device without memory."""
        model = build_video_model(self._config, Precision.bfloat16, "wan", "meta")
        decoders = {f"decode {name}": flops(decode_stage(with_decoder(model, name))) for name in DECODERS}
        return stage_flops(model) | decoders

    def _attention(self) -> dict[str, Any]:
        """One layer's attention of a chunk over its window, by kernel; the error is against float32, in one head."""
        config = self._config
        _, height, width = config.latent_shape
        _, rows, columns = config.transformer.patch_size
        tokens = height // rows * (width // columns)
        heads, size = config.transformer.num_heads, config.transformer.head_dim
        lengths = (config.rollout.chunk_frames * tokens, config.rollout.window_frames * tokens)
        q, k, v = (
            torch.randn(1, length, heads, size, device=self._device, dtype=torch.bfloat16)
            for length in (lengths[0], lengths[1], lengths[1])
        )
        one = (slice(None), slice(None), slice(0, 1))
        with sdpa_kernel(SDPBackend.MATH):
            expected = attend(q[one].float(), k[one].float(), v[one].float())
        work = 4 * lengths[0] * lengths[1] * heads * size
        results: dict[str, Any] = {"queries": lengths[0], "keys": lengths[1], "heads": heads, "head_dim": size}
        results["default_kernel"] = _fused_kernel(*(x.transpose(1, 2) for x in (q, k, v)))
        for kernel in (None, *KERNELS):
            name = "default" if kernel is None else kernel.name
            try:
                with sdpa_kernel(kernel) if kernel is not None else attention_order("default"):
                    ms = self._clock.repeat(lambda: attend(q, k, v), seconds=2)
                    error = relative_error(attend(q, k, v)[one], expected)
                results[name] = _rate(ms, work) | {"relative_error": error}
            except RuntimeError as error:
                results[name] = {"error": str(error).strip().splitlines()[0][:200]}
        return results

    def _stages(self, model: VideoModel) -> dict[str, Any]:
        before = self._allocated()
        stages = TransformerStages(model)
        cache_mib = (self._allocated() - before) / MIB
        results: dict[str, Any] = {
            name: _rate(self._clock.repeat(work), self._flops.get(name)) for name, work in stages.all().items()
        }
        return results | {"rollout_mib": round(cache_mib, 1)}

    def _frames(self, model: VideoModel, name: DecoderName) -> dict[str, Any]:
        """A live session: embeddings in, frames on the host out."""
        model = with_decoder(model, name)
        decode = _rate(self._clock.repeat(decode_stage(model)), self._flops.get(f"decode {name}"))
        collect(self._device)
        before = self._allocated()
        first: list[float] = []
        for _ in range(2):  # the second one is warm
            start = time.perf_counter()
            stream = VideoStream(model, self._prompt, SEED)
            stream.next_frames()
            first.append(1000 * (time.perf_counter() - start))
        chunks = self._chunks(lambda: len(stream.next_frames()))
        return {
            "attention": self._order,
            "frames_per_second": chunks["frames_per_second"],
            "real_time_factor": round(self._config.fps / chunks["frames_per_second"], 4),
            "chunk_ms": chunks["ms"],
            "warm_first_chunk_ms": round(first[-1], 2),
            "decode": decode,
            "decoder_mib": _mib(list(model.decoder.parameters())),
            "session_mib": round((self._allocated() - before) / MIB, 1),
        }

    def _chunks(self, make: Callable[[], int], seconds: float = 12.0) -> dict[str, Any]:
        """Steady chunks by the host's clock; `make` gives the number of frames, which it has waited for."""
        for _ in range(chunks_to_steady(self._config)):
            make()
        stop = time.perf_counter() + seconds
        times: list[float] = []
        frames = 0
        while len(times) < 3 or (len(times) < self._runs and time.perf_counter() < stop):
            start = time.perf_counter()
            frames = make()
            times.append(1000 * (time.perf_counter() - start))
        ms = spread(times)
        return {"ms": ms, "frames_per_second": round(1000 * frames / ms["median"], 2)}

    def _alternating(self, model: VideoModel) -> dict[str, Any]:
        """Two sessions take turns; neither may differ from what it is alone."""
        count = chunks_to_steady(self._config) + 1
        prompts = [random_prompt(self._config, self._device, seed) for seed in (1, 2)]
        with attention_order(self._order):
            expected = [self._alone(model, prompt, seed, count) for seed, prompt in enumerate(prompts, 1)]
            before = self._allocated()
            streams = [VideoStream(model, prompt, seed) for seed, prompt in enumerate(prompts, 1)]
            turns = [[stream.next_frames() for stream in streams] for _ in range(count)]
            two_mib = (self._allocated() - before) / MIB
            chunks = self._chunks(lambda: sum(len(stream.next_frames()) for stream in streams))
        return {
            "attention": self._order,
            "frames_per_second_together": chunks["frames_per_second"],
            "ms_for_a_chunk_of_each": chunks["ms"],
            "two_sessions_mib": round(two_mib, 1),
            "both_are_bit_equal_to_themselves_alone": all(
                torch.equal(frames, own)
                for turn, alone in zip(turns, zip(*expected, strict=True), strict=True)
                for frames, own in zip(turn, alone, strict=True)
            ),
        }

    @staticmethod
    def _alone(model: VideoModel, prompt: torch.Tensor, seed: int, count: int) -> list[torch.Tensor]:
        """Chunks of a session that nothing runs beside; it is gone before the next one starts."""
        stream = VideoStream(model, prompt, seed)
        return [stream.next_frames() for _ in range(count)]

    def _decoder_errors(self, model: VideoModel) -> dict[str, Any]:
        """bfloat16 pixels against float32 ones of the same weights, two chunks of one video."""
        frames = self._config.rollout.chunk_frames
        latents = torch.randn(1, 2 * frames, *self._config.latent_shape, device=self._device)
        errors: dict[str, Any] = {}
        for name in DECODERS:
            fast = with_decoder(model, name)
            _grey(fast.decoder)
            pixels = []
            for decoder, dtype in ((fast.decoder, fast.dtype), (_in_float32(fast.decoder), torch.float32)):
                state = decoder.init_state(1, *self._config.latent_shape[1:], dtype, self._device)
                with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
                    parts = [decoder.decode(part.to(dtype), state).cpu() for part in latents.split(frames, dim=1)]
                pixels.append(torch.cat(parts, dim=1))
            errors[name] = relative_error(*pixels)
        return errors

    def _tuned_decode(self, model: VideoModel) -> dict[str, Any]:
        """The Wan decoder with convolutions that cuDNN has timed and chosen itself."""
        with torch.backends.cudnn.flags(enabled=True, benchmark=True):
            return _rate(self._clock.repeat(decode_stage(model)), self._flops.get("decode wan"))

    def _endless_chunk(self, model: VideoModel) -> dict[str, Any]:
        """With keys that are kept unrotated, so that a video has no end; the other stages have absolute positions."""
        rollout = replace(self._config.rollout, positions="relative")
        endless = replace(model, config=replace(self._config, rollout=rollout))
        with attention_order(self._order):
            return _rate(self._clock.repeat(TransformerStages(endless).chunk), self._flops.get("chunk"))

    def _allocated(self) -> int:
        gc.collect()
        if self._device.type == "cuda":
            return torch.cuda.memory_allocated(self._device)
        return live_tensor_bytes()


def verify(goldens: Path, device: torch.device) -> dict[str, Any]:
    """The recorded numbers of the reference, on this device."""
    from longlive.verify import run_verify

    results: dict[str, Any] = {}
    for dtype in (torch.float32, torch.bfloat16):
        cases = list(run_verify(goldens, dtype, device))
        results[str(dtype).removeprefix("torch.")] = {
            "passed": sum(case.passed for case in cases),
            "failed": [
                f"{case.case}: {case.note}" if case.error is None else f"{case.case}: {case.error} > {case.tolerance}"
                for case in cases
                if case.supported and not case.passed
            ],
            "not_supported": [f"{case.case}: {case.note}" for case in cases if not case.supported],
        }
    return results


def _fused_kernel(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> str:
    """The kernel that torch takes by itself."""
    return SDPBackend(torch._fused_sdp_choice(query, key, value)).name


def _in_float32(decoder: Any) -> Any:
    return copy.deepcopy(decoder).float()


def _grey(decoder: object) -> None:
    """Moves the pixels of a random tiny decoder off the black at which they are cut, where no rounding can be seen."""
    if isinstance(decoder, TAEHVDecoder):
        last = decoder.decoder[-1]
        assert isinstance(last, torch.nn.Conv2d)
        assert last.bias is not None
        last.bias.fill_(0.5)


def _rate(ms: dict[str, float], work: int | None) -> dict[str, Any]:
    """Times, and what they mean in TFLOP/s where the work is known."""
    if not work:
        return {"ms": ms}
    return {"ms": ms, "tflop": round(work / 1e12, 6), "tflop_per_second": round(work / ms["median"] / 1e9, 3)}


def _mib(tensors: list[torch.Tensor]) -> float:
    return round(sum(tensor.numel() * tensor.element_size() for tensor in tensors) / MIB, 1)


def head(size: str, device: torch.device, budget: float) -> dict[str, Any]:
    """What the numbers are of, and where they come from."""
    config = SIZES[size]
    return {
        "benchmark": "gpu",
        **provenance(device),
        "size": size,
        "picture": f"{config.width}x{config.height}, {config.rollout.chunk_frames} latent frames a chunk",
        "weights": "random",
        "includes": {"dit": True, "decode": True, "copy_to_host": True, "text_encoder": False, "encode": False},
        "budget_seconds": budget,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="full", help="full: LongLive-1.3B at 832x480, needs a GPU")
    parser.add_argument("--out", type=Path, help="a file for the JSON, written after every part")
    parser.add_argument("--seconds", type=float, default=450.0, help="no part starts later than this; 30 s more end it")
    parser.add_argument(
        "--goldens", type=Path, default=ROOT / "tests" / "goldens" / "longlive", help="recorded numbers to verify"
    )
    arguments = parser.parse_args()
    if arguments.size == "full" and not torch.cuda.is_available():
        parser.exit(
            2, f"gpu.py: torch {torch.__version__} sees no CUDA GPU here; --size tiny tries the code on a CPU\n"
        )
    device = torch.device("cuda", 0) if arguments.size == "full" else torch.device("cpu")
    record = Record(head(arguments.size, device, arguments.seconds), arguments.seconds, arguments.out, device)
    with deadline(arguments.seconds + 30, record.give_up):
        Benchmark(arguments.size, device, record, arguments.goldens).run()
    print(json.dumps(record.document(), indent=2))


if __name__ == "__main__":
    main()
