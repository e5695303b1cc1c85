"""How fast the engine is alone: one session, one thread, no service. `python benchmarks/engine.py --json`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

from longlive.model import Model
from longlive.pipeline import load_model
from longlive.stream import VideoStream
from report import emit, report, spread

PROMPT = "a red ball moves left in the desert at night in the rain"
OTHER = "a blue cube hops on the sea by day in clear weather"


def measure(model: Model, chunks: int) -> dict[str, Any]:
    """Seconds per steady chunk (the window is full), apart for the DiT and the decoder, and per recache."""
    prompt, other = model.encode([PROMPT]), model.encode([OTHER])
    config = model.config
    fill = max(1, config.rollout.window_frames // config.rollout.chunk_frames) + 1

    first = timed(lambda: VideoStream(model, prompt, seed=0).next_frames())
    rollout, decoder = model.rollout(prompt, seed=0), model.decoder_state()
    transformer, decode = [], []
    for chunk in range(fill + chunks):
        start = time.perf_counter()
        latents = rollout.next_chunk()
        middle = time.perf_counter()
        model.decode(latents, decoder)
        end = time.perf_counter()
        if chunk >= fill:
            transformer.append(middle - start)
            decode.append(end - middle)
    recache = [timed(lambda i=i: rollout.switch((prompt, other)[i % 2])) for i in range(max(4, chunks // 4))]  # type: ignore[misc]
    stream = VideoStream(model, prompt, seed=0)
    whole = [timed(stream.next_frames) for _ in range(fill + chunks)][fill:]
    media = config.rollout.chunk_frames * config.vae.temporal_stride / config.fps
    return {
        "model": config.name,
        "picture": f"{config.width}x{config.height} at {config.fps} fps",
        "dtype": str(model.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "chunk_media_seconds": media,
        "first_chunk_seconds": round(first, 4),
        "dit_seconds": spread(transformer, 4),
        "decode_seconds": spread(decode, 4),
        "recache_seconds": spread(recache, 4),
        "chunk_seconds": spread(whole, 4),
        "real_time_factor": round(median(whole) / media, 4),
        "frames_per_second": round(config.fps * media / median(whole), 1),
    }


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--model", default="tiny", help="a preset or a folder with a model")
    parser.add_argument("--chunks", type=int, default=40, help="chunks to measure")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results = measure(load_model(arguments.model), arguments.chunks)
    emit(report("engine", {"dit": True, "decode": True, "encode": False, "http": False}, results), arguments.json)


if __name__ == "__main__":
    main()
