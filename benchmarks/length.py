"""A very long video of the tiny model: as cheap, as small, as smooth and as true at its end as at its start?

`python benchmarks/length.py --json --minutes 60 --plot docs/length.png`. One thread. The cost of a chunk (DiT and
decode) is processor time. What else the machine does moves that too, so at every point the long video takes turns with
one that has just begun, and their ratio tells whether age costs anything. Memory is that of this process, which keeps
no frame: they go to another one, which writes them to an mp4 whose timestamps are read back.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import random
import tempfile
import time
from fractions import Fraction
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil
import torch
from torch import Tensor

from longlive.model import Model
from longlive.pipeline import load_model
from longlive.stream import VideoStream
from longlive.tiny.captions import full_caption
from longlive.tiny.readouts import matches
from longlive.tiny.world import Scene, draw_scene
from longlive.video_file import VideoFile
from memory import live_tensor_bytes
from report import emit, report, say
from trend import trend

SEED = 0
BINS = 60  # points over the video: one for each minute of an hour
PAIRED = 10  # chunks of a point that take turns with a young video's
JUDGED_FRAMES = 24  # the readouts of a bin read the last frames in it
SETTLED = 24  # the first frames grow out of the noise; chunk borders are compared after them


class Recorder:
    """What is kept of a video: numbers in arrays made beforehand, so that keeping them does not look like a leak."""

    def __init__(self, chunks: int, frames: int, size: tuple[int, int], scene: Scene) -> None:
        self.chunks, self.frames = 0, 0
        self.cpu, self.wall = np.zeros(chunks), np.zeros(chunks)
        self.change = np.zeros(frames)  # mean absolute difference of each frame from the one before, of 255
        self.border = np.zeros(frames, dtype=bool)  # the first frame of a chunk
        self.recent = torch.zeros(0, *size, 3, dtype=torch.uint8)
        self.points: list[dict[str, float]] = []
        self._scene = scene
        self._process = psutil.Process()

    def add(self, made: Tensor, cpu: float, wall: float) -> None:
        """The frames of the next chunk, uint8 [T, H, W, 3], and the seconds that it took."""
        self.cpu[self.chunks], self.wall[self.chunks] = cpu, wall
        joined = torch.cat((self.recent[-1:], made))
        changes = (joined[1:].float() - joined[:-1].float()).abs().flatten(1).mean(1)
        end = self.frames + len(made)
        self.change[end - len(changes) : end] = changes.numpy()
        self.border[self.frames] = self.frames > 0
        self.recent = torch.cat((self.recent, made))[-JUDGED_FRAMES:]
        self.chunks, self.frames = self.chunks + 1, end

    def point(self, minutes: float, chunks: slice, young: list[float]) -> dict[str, float]:
        """How things stand, what these chunks took, and what the last of them took beside chunks of a young video."""
        hits = matches(self.recent.permute(0, 3, 1, 2), self._scene)
        point = {
            "minutes": round(minutes, 3),
            "cpu_ms_per_chunk": round(1000 * float(np.median(self.cpu[chunks])), 3),
            "cost_over_young": round(float(np.median(self.cpu[chunks][-len(young) :]) / np.median(young)), 4),
            "median_wall_ms_per_chunk": round(1000 * float(np.median(self.wall[chunks])), 3),
            "rss_mib": round(self._process.memory_info().rss / 2**20, 2),
            "live_tensor_mib": round(live_tensor_bytes() / 2**20, 4),
            "readouts_that_match": round(sum(hits.values()) / len(hits), 3),
        }
        self.points.append(point)
        return point


def measure(model: Model, minutes: float) -> dict[str, Any]:
    """A video of at least `minutes` under one held-out prompt, and what it was like on the way."""
    config = model.config
    rng = random.Random(SEED)
    scene, other = draw_scene(rng, held_out=True), draw_scene(rng, held_out=True)
    caption, next_caption = full_caption(rng, scene), full_caption(rng, other)
    prompt = model.encode([caption])
    later = config.rollout.chunk_frames * config.vae.temporal_stride
    first = later - config.vae.temporal_stride + 1
    total = 1 + math.ceil((minutes * 60 * config.fps - first) / later)
    expected = first + later * (total - 1)
    fill = config.rollout.window_frames // config.rollout.chunk_frames
    count = min(BINS, total // 4)
    edges = [round(total * i / count) for i in range(count + 1)]
    bins = {end: slice(max(start, fill), end) for start, end in pairwise(edges) if end > fill}
    pairs = {max(end - PAIRED, chunks.start) for end, chunks in bins.items()}

    kept = Recorder(total, expected, (config.height, config.width), scene)
    stream = VideoStream(model, prompt, SEED)
    # One young video that goes back again and again: new ones would stir the memory that is watched.
    young = VideoStream(model, prompt, SEED, history=PAIRED)
    while young.chunk < fill:
        young.next_frames()
    young_cpu: list[float] | None = None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.mp4"
        with Mp4Process(path, config.fps, config.width, config.height) as mp4:
            while kept.chunks < total:
                if kept.chunks in pairs:
                    young.rewind(config.first_frame(fill))
                    young_cpu = []
                made, cpu, wall = timed(stream)
                kept.add(made, cpu, wall)
                mp4.write(made)
                if young_cpu is not None:
                    young_cpu.append(timed(young)[1])
                    if kept.chunks in bins:
                        say(json.dumps(kept.point(stream.frame / config.fps / 60, bins[kept.chunks], young_cpu)))
                        young_cpu = None
        stamps = timestamps(path, config.fps)
    stream.switch(model.encode([next_caption]), "clear")
    after = torch.cat((kept.recent[-1:], stream.next_frames())).float()
    hard_cut = float((after[1:] - after[:-1]).abs().flatten(1).mean(1).max())
    return {
        "model": config.name,
        "dtype": str(model.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "seed": SEED,
        "minutes": round(kept.frames / config.fps / 60, 3),
        "chunks": kept.chunks,
        "frames_expected": expected,
        "frames_made": kept.frames,
        "mp4": stamps,
        "cpu_ms_per_chunk": settled(kept, "cpu_ms_per_chunk"),
        "cost_over_young": settled(kept, "cost_over_young"),
        "rss_mib": settled(kept, "rss_mib"),
        "live_tensor_mib": settled(kept, "live_tensor_mib"),
        "readouts_that_match": settled(kept, "readouts_that_match"),
        "frame_to_frame": changes(kept, hard_cut),
        "points": kept.points,
    }


def timed(stream: VideoStream) -> tuple[Tensor, float, float]:
    """The next frames, and the seconds they took: of the processor, and in all."""
    cpu, wall = time.process_time(), time.perf_counter()
    made = stream.next_frames()
    return made, time.process_time() - cpu, time.perf_counter() - wall


def settled(kept: Recorder, name: str) -> dict[str, float | list[float]]:
    """A figure's trend without the first point: in it the window fills and the allocator warms up."""
    points = kept.points[1:]
    return trend([point["minutes"] / 60 for point in points], [point[name] for point in points])


def changes(kept: Recorder, hard_cut: float) -> dict[str, float]:
    """Mean absolute change of a pixel, of 255, from a frame to the next: at chunk borders, within chunks, at a cut."""
    late = np.arange(len(kept.change)) >= SETTLED
    border, within = kept.change[kept.border & late], kept.change[~kept.border & late]
    return {
        "largest_at_chunk_borders": round(float(border.max()), 3),
        "largest_within_chunks": round(float(within.max()), 3),
        "median_at_chunk_borders": round(float(np.median(border)), 3),
        "median_within_chunks": round(float(np.median(within)), 3),
        "hard_cut_to_another_prompt": round(hard_cut, 3),
    }


def timestamps(path: Path, fps: int) -> dict[str, Any]:
    """What the file says when its frames are due; exact fractions of a second, so that no drift can hide."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        base = stream.time_base
        assert base is not None
        due = sorted(packet.pts * base for packet in container.demux(stream) if packet.pts is not None)
    drift = max(abs(at - Fraction(frame, fps)) for frame, at in enumerate(due))
    return {
        "frames": len(due),
        "largest_drift_seconds": float(drift),
        "last_frame_at_seconds": float(due[-1]),
        "last_frame_expected_at_seconds": float(Fraction(len(due) - 1, fps)),
    }


class Mp4Process:
    """Writes frames to a file in a process of its own, whose memory and processor time do not count."""

    def __init__(self, path: Path, fps: int, width: int, height: int) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._frames, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_write_frames, args=(theirs, path, fps, width, height))
        self._process.start()
        theirs.close()

    def __enter__(self) -> Mp4Process:
        return self

    def __exit__(self, *_: object) -> None:
        self._frames.close()
        self._process.join()

    def write(self, frames: Tensor) -> None:
        """Returns when they are encoded, so that this does not slow down what is measured next."""
        self._frames.send_bytes(frames.numpy().tobytes())
        self._frames.recv()


def _write_frames(frames: Connection, path: Path, fps: int, width: int, height: int) -> None:
    with VideoFile(path, fps, width, height) as file:
        while True:
            try:
                made = frames.recv_bytes()
            except EOFError:
                return
            file.write(torch.frombuffer(bytearray(made), dtype=torch.uint8).view(-1, height, width, 3))
            frames.send(None)


def plot(results: dict[str, Any], path: Path) -> None:
    """Cost, memory and readouts over the video."""
    from matplotlib.figure import Figure

    minutes = [point["minutes"] for point in results["points"]]
    figure = Figure(figsize=(8, 8), layout="constrained")
    rows = (
        ("cpu_ms_per_chunk", "processor time\nper chunk, ms"),
        ("cost_over_young", "the same over that\nof a young video"),
        ("rss_mib", "resident memory,\nMiB"),
        ("readouts_that_match", "readouts that match\nthe prompt"),
    )
    for axes, (name, label) in zip(figure.subplots(len(rows), sharex=True), rows, strict=True):
        axes.plot(minutes, [point[name] for point in results["points"]], marker=".")
        axes.set_ylim(0, 1.15 * max(point[name] for point in results["points"]))
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
    axes.set_xlabel("minutes of video")
    figure.suptitle(f"One video of {results['minutes']:.0f} minutes, the {results['model']} model, one CPU thread")
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--model", default="tiny", help="a preset or a folder with a model of the tiny world")
    parser.add_argument("--minutes", type=float, default=60.0, help="length of the video, 0.5 or more")
    parser.add_argument("--plot", type=Path, help="draw it to this file (needs matplotlib)")
    arguments = parser.parse_args()
    if arguments.minutes < 0.5:
        parser.error("--minutes must be 0.5 or more")
    torch.set_num_threads(1)
    results = measure(load_model(arguments.model), arguments.minutes)
    includes = {"dit": True, "decode": True, "encode": False, "http": False}
    emit(report("length", includes, results), arguments.json)
    if arguments.plot is not None:
        plot(results, arguments.plot)


if __name__ == "__main__":
    main()
