"""What it costs to store a snapshot with every chunk, and how long a restore from one takes.

`python benchmarks/snapshots.py --json`. A stream of the model makes chunks; the snapshot of each is taken on the
device's thread and stored in a Redis of our own without persistence and in a folder. The same for a roll-out in the
shape of LongLive-1.3B at 480x832, whose latents are noise: for its snapshots no network is needed, nor is any made.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from deployments.redis_server import RedisServer
from deployments.snapshot_history import SnapshotHistory, open_history
from deployments.snapshot_shelves import open_shelf
from longlive.config import ModelConfig
from longlive.model import VideoModel
from longlive.pipeline import load_video_model
from longlive.presets import PRESETS
from longlive.rollout_state import CleanPass, PassLog, RolloutState
from longlive.snapshot import Snapshot, TakenParts
from longlive.stream import VideoStream
from report import emit, report, say, spread

LARGE = "longlive-1.3b"
CAP_BYTES = 64 * 2**20
PROMPT_ROWS = 100
SID = "measured"
T = TypeVar("T")


def of_stream(stream: VideoStream) -> Iterator[tuple[float, Snapshot, float]]:
    """Endless: seconds of a chunk, the snapshot after it, seconds that taking it took."""
    while True:
        _, chunk = timed(stream.next_frames)
        snapshot, took = timed(stream.snapshot)
        yield chunk, snapshot, took


def of_noise(config: ModelConfig) -> Iterator[tuple[float, Snapshot, float]]:
    """As `of_stream`, of a roll-out in the shape of a model, where a chunk costs nothing."""
    rollout, generator = config.rollout, torch.Generator().manual_seed(0)
    size = rollout.chunk_frames
    prompt = torch.randn(1, PROMPT_ROWS, config.transformer.text_dim, generator=generator).bfloat16()
    latents = torch.empty(1, 0, *config.latent_shape)
    log, taken, chunk = PassLog(rollout.sink_frames), TakenParts(), 0
    while True:
        new = torch.randn(1, size, *config.latent_shape, generator=generator)
        frames = range(chunk * size, (chunk + 1) * size)
        latents = torch.cat((latents, new), dim=1)[:, -rollout.window_frames :]
        log.fill_sink(new, frames.start, frames.start)
        chunk += 1
        log.add(CleanPass(frames, prompt), range(chunk * size - latents.shape[1], chunk * size))
        state = RolloutState("ChunkPolicy", 0, chunk, prompt, latents, log.sink, tuple(log.passes), (), 0, 0)
        snapshot, took = timed(partial(Snapshot.take, "0" * 32, state, size, torch.bfloat16, taken))
        yield 0.0, snapshot, took


async def store(
    snapshots: Iterator[tuple[float, Snapshot, float]], config: ModelConfig, places: dict[str, str], chunks: int
) -> dict[str, Any]:
    """What the snapshots of the chunks cost, from when the window is full on."""
    shelves = {place: open_shelf(url) for place, url in places.items()}
    writers = {place: SnapshotHistory(shelf, CAP_BYTES).writer(SID, 1) for place, shelf in shelves.items()}
    before = 1 + -(-config.rollout.window_frames // config.rollout.chunk_frames)
    costs: dict[str, list[float]] = {"taking": [], "chunk": [], **{place: [] for place in places}}
    added: list[float] = []
    bytes_before = 0
    for chunk in range(before + chunks):
        made, snapshot, took = next(snapshots)
        for place, writer in writers.items():
            start = time.perf_counter()
            await writer.add(chunk, snapshot)
            costs[place].append(time.perf_counter() - start)
        stored = sum((await next(iter(shelves.values())).sizes(SID)).values())
        added.append(stored - bytes_before)
        bytes_before = stored
        costs["taking"].append(took)
        costs["chunk"].append(made)
    for shelf in shelves.values():
        await shelf.close()
    costs = {name: seconds[before:] for name, seconds in costs.items()}
    media = config.rollout.chunk_frames * config.vae.temporal_stride / config.fps
    results: dict[str, Any] = {
        "model": config.name,
        "picture": f"{config.width}x{config.height}",
        "chunk_media_seconds": media,
        "bytes_per_chunk": spread(added[before:], 0),
        "bytes_whole": len(snapshot.pack()),
        "taking_ms": milliseconds(costs["taking"]),
        **{f"storing_{place}_ms": milliseconds(costs[place]) for place in places},
    }
    if any(costs["chunk"]):
        results["chunk_ms"] = milliseconds(costs["chunk"])
        results["taking_over_chunk"] = round(sum(costs["taking"]) / sum(costs["chunk"]), 5)
    return results


async def restore(model: VideoModel, url: str, times: int) -> dict[str, Any]:
    """From nothing but the history to the first frames."""
    history = open_history(url, CAP_BYTES)
    parts: dict[str, list[float]] = {"loading": [], "restoring": [], "first_chunk": [], "all": []}
    for _ in range(times):
        start = time.perf_counter()
        found = await history.newest(SID, 2**31)
        assert found is not None
        assert not found.damaged
        loaded = time.perf_counter()
        stream, restoring = timed(partial(VideoStream.restore, model, found.snapshot))
        _, first = timed(stream.next_frames)
        parts["loading"].append(loaded - start)
        parts["restoring"].append(restoring)
        parts["first_chunk"].append(first)
        parts["all"].append(time.perf_counter() - start)
    await history.close()
    return {f"{name}_ms": milliseconds(seconds) for name, seconds in parts.items()}


async def measure(model: VideoModel, chunks: int, restores: int) -> dict[str, Any]:
    prompt = torch.randn(1, 20, model.config.transformer.text_dim, generator=torch.Generator().manual_seed(0))
    results: dict[str, Any] = {}
    for name, config, snapshots in (
        ("measured", model.config, of_stream(VideoStream(model, prompt, seed=0))),
        (LARGE, PRESETS[LARGE].config, of_noise(PRESETS[LARGE].config)),
    ):
        with (
            tempfile.TemporaryDirectory() as server,
            tempfile.TemporaryDirectory() as folder,
            RedisServer(Path(server), persistent=False) as redis,
        ):
            results[name] = await store(snapshots, config, {"redis": redis.url, "folder": folder}, chunks)
            say(f"snapshots of {config.name} are stored")
            if name == "measured":
                results["restored"] = await restore(model, redis.url, restores)
                say("restored")
    return results


def timed(work: Callable[[], T]) -> tuple[T, float]:
    start = time.perf_counter()
    return work(), time.perf_counter() - start


def milliseconds(seconds: list[float]) -> dict[str, float]:
    return spread([1000 * each for each in seconds])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--model", default="tiny", help="a preset or a folder with a model")
    parser.add_argument("--chunks", type=int, default=60, help="snapshots of each model")
    parser.add_argument("--restores", type=int, default=10)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results = asyncio.run(measure(load_video_model(arguments.model), arguments.chunks, arguments.restores))
    emit(report("snapshots", {"dit": True, "decode": True, "encode": False, "http": False}, results), arguments.json)


if __name__ == "__main__":
    main()
