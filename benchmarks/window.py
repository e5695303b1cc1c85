"""What a short window with a sink saves: time and memory beside dense attention, and beside a window of 21 frames.

`python benchmarks/window.py --json --plot docs/window.png`. One thread. A chunk of every kind is made in turn, so that
what else the machine does falls on all of them; times are processor time. 21 latent frames, 5 s, are the longest video
that the base model was trained on. Memory is counted, not estimated: weights, and the bytes of all tensors held at a
time up to the video's last forward, on tensors without memory: so it is known at full size too. Attention is fused.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from longlive.allocations import Allocations, held_bytes
from longlive.config import ModelConfig, RolloutConfig, TextEncoderConfig, TransformerConfig, VAEConfig
from longlive.kv_cache import KVCache
from longlive.model import VideoModel, build_video_model
from longlive.pipeline import load_video_model
from longlive.precision import Precision
from longlive.rollout import Rollout
from report import emit, report, say
from stages import SEED, random_prompt

WINDOW, WIDE, DENSE = "window 12, sink 3", "window 21", "dense"
MIDDLE = ModelConfig(
    name="random-middle",
    transformer=TransformerConfig(
        dim=256, num_heads=4, ffn_dim=1024, num_layers=3, freq_dim=64, text_dim=128, text_len=32
    ),
    vae=VAEConfig(dim=8, num_res_blocks=1),
    text_encoder=TextEncoderConfig(dim=128),
    height=128,
    width=128,
)
MIB = 2**20


def attentions(rollout: RolloutConfig) -> dict[str, RolloutConfig]:
    """What is compared: the configured window, a wider one, and everything."""
    return {
        WINDOW: replace(rollout, window_frames=12, sink_frames=3),
        WIDE: replace(rollout, window_frames=21, sink_frames=0),
        DENSE: replace(rollout, window_frames=-1, sink_frames=0),
    }


def latent_frames(config: ModelConfig, seconds: float) -> int:
    """Whole chunks of latent frames for a video of at least so long."""
    first, each = 1, config.vae.temporal_stride
    needed = 1 + -(-(round(seconds * config.fps) - first) // each)
    return -(-needed // config.rollout.chunk_frames) * config.rollout.chunk_frames


def measure_time(model: VideoModel, seconds: int) -> dict[str, Any]:
    """Processor time per chunk of one video of each kind, and of the decoder, which does the same work for all."""
    config = model.config
    frames = latent_frames(config, seconds)
    prompt = random_prompt(config, model.device)
    rollouts = {
        name: Rollout(model.transformer, rollout, config.sampler, config.latent_shape, prompt, SEED, max_frames=frames)
        for name, rollout in attentions(config.rollout).items()
    }
    state = model.decoder_state()
    cost: dict[str, list[float]] = {name: [] for name in (*rollouts, "decode")}
    for _ in range(frames // config.rollout.chunk_frames):
        for name, rollout in rollouts.items():
            start = time.process_time()
            latents = rollout.next_chunk()
            cost[name].append(1000 * (time.process_time() - start))
        start = time.process_time()
        model.decode(latents, state)
        cost["decode"].append(1000 * (time.process_time() - start))
    return {name: [round(ms, 2) for ms in chunks] for name, chunks in cost.items()}


def time_ratios(config: ModelConfig, cost: dict[str, list[float]], seconds: int) -> dict[str, float]:
    """Of the first `seconds` of the videos."""
    chunks = latent_frames(config, seconds) // config.rollout.chunk_frames
    total = {name: float(np.sum(ms[:chunks])) for name, ms in cost.items()}
    return {
        "seconds": seconds,
        "dit_over_dense": round(total[WINDOW] / total[DENSE], 3),
        "dit_over_window_21": round(total[WINDOW] / total[WIDE], 3),
        "with_decode_over_dense": round((total[WINDOW] + total["decode"]) / (total[DENSE] + total["decode"]), 3),
        "with_decode_over_window_21": round((total[WINDOW] + total["decode"]) / (total[WIDE] + total["decode"]), 3),
    }


@torch.inference_mode()
def count_memory(config: ModelConfig, seconds: int) -> dict[str, Any]:
    """Of the transformer, in bfloat16, at the end of the video: its weights, the cache, and the most held at a time."""
    frames = latent_frames(config, seconds)
    counted: dict[str, Any] = {"model": config.name, "seconds": seconds, "latent_frames": frames}
    transformer = build_video_model(config, Precision.bfloat16, "wan", "meta").transformer
    weights = held_bytes(transformer.parameters())
    for name, rollout in attentions(config.rollout).items():
        chunk = rollout.chunk_frames
        text = transformer.encode_text(random_prompt(config, torch.device("meta")))
        times = transformer.encode_time(torch.zeros(1, chunk, device="meta"))
        latents = torch.empty(1, chunk, *config.latent_shape, device="meta")
        with Allocations("meta") as allocations:
            cache = KVCache(
                layers=config.transformer.num_layers,
                batch=1,
                frames=frames if rollout.window_frames < 0 else rollout.window_frames,
                sink=rollout.sink_frames,
                heads=config.transformer.num_heads,
                rotary=transformer.rotary(*config.latent_shape[1:]),
                positions=rollout.positions,
                dtype=torch.bfloat16,
            )
            for first in range(0, frames, chunk):
                cache.begin(range(first, first + chunk))
            transformer(latents, times, text, cache)
        counted[name] = {
            "weights_mib": round(weights / MIB, 2),
            "cache_mib": round(held_bytes((*cache.keys, *cache.values)) / MIB, 2),
            "peak_mib": round((weights + allocations.peak) / MIB, 2),
        }
    peak = {name: counted[name]["peak_mib"] for name in (WINDOW, WIDE, DENSE)}
    counted["peak_over_dense"] = round(peak[WINDOW] / peak[DENSE], 3)
    counted["peak_over_window_21"] = round(peak[WINDOW] / peak[WIDE], 3)
    return counted


def measure(lengths: list[int]) -> dict[str, Any]:
    """Videos of each of the lengths, in seconds."""
    results: dict[str, Any] = {"threads": torch.get_num_threads(), "time": [], "memory": []}
    tiny = load_video_model("tiny", device="cpu")
    # In float32: in bfloat16 the attention goes over to another kernel where the past gets long, at a jump in cost.
    middle = build_video_model(MIDDLE, Precision.float32, "wan", "cpu")
    for model in (tiny, middle):
        say(f"time, {model.config.name}")
        cost = measure_time(model, max(lengths))
        ratios = [time_ratios(model.config, cost, seconds) for seconds in lengths]
        dtype = str(model.dtype).removeprefix("torch.")
        results["time"].append({"model": model.config.name, "dtype": dtype, "ratios": ratios, "cpu_ms_per_chunk": cost})
    for config in (tiny.config, MIDDLE, ModelConfig(name="longlive-1.3b")):
        say(f"memory, {config.name}")
        results["memory"] += [count_memory(config, seconds) for seconds in lengths]
    return results


def plot(results: dict[str, Any], path: Path) -> None:
    """The cost of each chunk over the videos' length."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), layout="constrained")
    for axes, part in zip(figure.subplots(1, len(results["time"])), results["time"], strict=True):
        for name in (WINDOW, WIDE, DENSE):
            cost = part["cpu_ms_per_chunk"][name]
            axes.plot(np.linspace(0, part["ratios"][-1]["seconds"], len(cost)), cost, label=name)
        axes.set_title(f"{part['model']} model, {part['dtype']}")
        axes.set_xlabel("seconds of video")
        axes.set_ylabel("processor time per chunk (DiT), ms")
        axes.set_ylim(0)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--seconds", type=int, nargs="+", default=[10, 30, 60], help="lengths of video")
    parser.add_argument("--plot", type=Path, help="draw it to this file (needs matplotlib)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results = measure(sorted(arguments.seconds))
    emit(report("window", {"dit": True, "decode": True, "encode": False, "http": False}, results), arguments.json)
    if arguments.plot is not None:
        plot(results, arguments.plot)


if __name__ == "__main__":
    main()
