"""How fast the decoders are beside each other, on random weights of the tiny model's size, one thread.

`python benchmarks/decoders.py --json`
"""

from __future__ import annotations

import argparse
import time
from importlib import resources
from pathlib import Path
from statistics import median
from typing import Any, get_args

import torch

from longlive.config import DecoderName, ModelConfig
from longlive.config_file import read_config
from longlive.model import VideoModel, build_video_model
from longlive.precision import PLAIN, Precision
from report import emit, report, spread

TINY = Path(str(resources.files("longlive"))) / "tiny" / "weights" / "config.json"
WARM_UP = 2


def measure(config: ModelConfig, chunks: int) -> dict[str, Any]:
    """Milliseconds per steady chunk by decoder and number format, and how many times faster than Wan's that is."""
    results: dict[str, Any] = {
        "picture": f"{config.width}x{config.height}",
        "frames": config.rollout.chunk_frames * config.vae.temporal_stride,
        "threads": torch.get_num_threads(),
    }
    for precision in PLAIN:
        seconds = chunk_seconds(config, precision, chunks)
        for name, taken in seconds.items():
            # Of the same round: what slows the machine down for a while slows down both.
            speedups = [wan / other for wan, other in zip(seconds["wan"], taken, strict=True)]
            results[f"{name} {precision}"] = {
                "milliseconds": spread([1000 * value for value in taken], 2),
                "times_as_fast_as_wan": round(median(speedups), 2),
            }
    return results


def chunk_seconds(config: ModelConfig, precision: Precision, chunks: int) -> dict[DecoderName, list[float]]:
    """Seconds of each decoder in `chunks` rounds; in a round all of them decode the same latents."""
    models: dict[DecoderName, VideoModel] = {
        name: build_video_model(config, precision, name, "cpu") for name in get_args(DecoderName)
    }
    states = {name: model.decoder_state() for name, model in models.items()}
    seconds: dict[DecoderName, list[float]] = {name: [] for name in models}
    for number in range(WARM_UP + chunks):
        latents = torch.randn(1, config.rollout.chunk_frames, *config.latent_shape)
        for name, model in models.items():
            start = time.perf_counter()
            model.decode(latents, states[name])
            if number >= WARM_UP:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--chunks", type=int, default=40, help="chunks to measure")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results = measure(read_config(TINY), arguments.chunks)
    emit(report("decoders", {"dit": False, "decode": True, "encode": False, "http": False}, results), arguments.json)


if __name__ == "__main__":
    main()
