"""The seam of a restore: how far do the frames after it differ from those of the stream that was never taken down?

`python benchmarks/seam.py --json --plot docs/seam.png`. A stream of each held-out scene is taken down 6 s into its
video and goes on from the snapshot, the decoder warmed up with so many latents. Beside it a hard cut, and a new video
of the same prompt. Differences are in pixel values, 0 to 255; PSNR is that of the mean square error over all scenes.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from longlive.model import Model
from longlive.pipeline import load_model
from longlive.stream import VideoStream
from longlive.tiny.captions import full_caption
from longlive.tiny.readouts import read
from longlive.tiny.world import ATTRIBUTES, Scene, draw_scene
from report import emit, report, say

WARMUPS = (0, 1, 2, 3, 6, 9, 12)
BEFORE_SECONDS = 6.0
CHUNKS = 3  # compared after the seam
WITHOUT, CUT, NEW = "uninterrupted", "hard cut", "new video"


def continuations(model: Model, prompt: Tensor, seed: int, warmups: tuple[int, ...]) -> Iterator[tuple[str, Tensor]]:
    """The last frame before the seam, as `before`; then the frames after it, by how the stream went on."""
    config = model.config
    later = config.rollout.chunk_frames * config.vae.temporal_stride
    stream = VideoStream(model, prompt, seed)
    frames = stream.next_frames()
    while stream.frame < BEFORE_SECONDS * config.fps:
        frames = stream.next_frames()
    yield "before", frames[-1:]
    snapshot = stream.snapshot()
    yield WITHOUT, _frames(stream, CHUNKS * later)
    for warmup in warmups:
        yield f"{warmup}", _frames(VideoStream.restore(model, snapshot, warmup_latents=warmup), CHUNKS * later)
    cut = VideoStream.restore(model, snapshot)
    cut.switch(prompt, "clear")
    yield CUT, _frames(cut, CHUNKS * later)
    yield NEW, _frames(VideoStream(model, prompt, seed), CHUNKS * later)


def measure(model: Model, scenes: int, warmups: tuple[int, ...] = WARMUPS) -> dict[str, Any]:
    config = model.config
    later = config.rollout.chunk_frames * config.vae.temporal_stride
    kinds = [WITHOUT, *map(str, warmups), CUT, NEW]
    errors: dict[str, list[list[float]]] = {kind: [] for kind in kinds}
    borders: dict[str, list[float]] = {kind: [] for kind in kinds}
    hits: dict[str, list[float]] = {kind: [] for kind in kinds}
    agreements: dict[str, list[float]] = {kind: [] for kind in kinds}
    for seed in range(scenes):
        rng = random.Random(seed)
        scene = draw_scene(rng, held_out=True)
        made = dict(continuations(model, model.encode([full_caption(rng, scene)]), seed, warmups))
        before, expected = made.pop("before"), made[WITHOUT]
        said = read(expected.permute(0, 3, 1, 2))
        for kind, frames in made.items():
            errors[kind].append([_square_error(part, whole) for part, whole in _chunks(frames, expected, later)])
            borders[kind].append(float((frames[0].float() - before[0].float()).abs().mean()))
            seen = read(frames.permute(0, 3, 1, 2))
            hits[kind].append(_share(seen, scene))
            agreements[kind].append(sum(seen[name] == said[name] for name in ATTRIBUTES) / len(ATTRIBUTES))
        say(f"scene {seed + 1} of {scenes}")
    return {
        "model": config.name,
        "dtype": str(model.dtype).removeprefix("torch."),
        "scenes": scenes,
        "seconds_before": BEFORE_SECONDS,
        "frames_per_chunk": later,
        "uninterrupted": _summary(None, borders[WITHOUT], hits[WITHOUT], None),
        "restored": [
            {"warmup_latents": int(kind)} | _summary(errors[kind], borders[kind], hits[kind], agreements[kind])
            for kind in map(str, warmups)
        ],
        "hard_cut": _summary(errors[CUT], borders[CUT], hits[CUT], agreements[CUT]),
        "new_video": _summary(errors[NEW], borders[NEW], hits[NEW], agreements[NEW]),
    }


def _summary(
    errors: list[list[float]] | None, borders: list[float], hits: list[float], agreements: list[float] | None
) -> dict[str, Any]:
    summary: dict[str, Any] = {
        "change_at_the_seam": round(sum(borders) / len(borders), 3),
        "largest_change_at_the_seam": round(max(borders), 3),
        "readouts_that_match": round(sum(hits) / len(hits), 4),
    }
    if errors is not None and agreements is not None:
        by_chunk = list(zip(*errors, strict=True))
        summary["psnr_by_chunk"] = [_psnr(sum(chunk) / len(chunk)) for chunk in by_chunk]
        summary["worst_scene_psnr_by_chunk"] = [_psnr(max(chunk)) for chunk in by_chunk]
        summary["readouts_as_uninterrupted"] = round(sum(agreements) / len(agreements), 4)
    return summary


def _frames(stream: VideoStream, count: int) -> Tensor:
    parts = [stream.next_frames()]
    while sum(map(len, parts)) < count:
        parts.append(stream.next_frames())
    return torch.cat(parts)[:count]


def _chunks(frames: Tensor, expected: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(frames.split(size), expected.split(size), strict=True)


def _square_error(frames: Tensor, expected: Tensor) -> float:
    return float((frames.float() - expected.float()).square().mean())


def _psnr(square_error: float) -> float | None:
    """Decibels; none where nothing differs."""
    return round(10 * math.log10(255**2 / square_error), 2) if square_error else None


def _share(seen: dict[str, str | None], scene: Scene) -> float:
    return sum(seen[name] == getattr(scene, name) for name in ATTRIBUTES) / len(ATTRIBUTES)


def plot(results: dict[str, Any], path: Path) -> None:
    """Likeness to the uninterrupted stream, and the jump at the seam, over the warm-up."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    warmups = [part["warmup_latents"] for part in results["restored"]]
    for chunk in range(CHUNKS):
        likeness = [part["psnr_by_chunk"][chunk] for part in results["restored"]]
        left.plot(warmups, likeness, marker="o", label=f"chunk {chunk + 1} after the restore")
    left.axhline(results["hard_cut"]["psnr_by_chunk"][0], color="black", linestyle="--", label="hard cut, chunk 1")
    left.axhline(results["new_video"]["psnr_by_chunk"][0], color="grey", linestyle=":", label="new video, chunk 1")
    left.set_ylabel("PSNR to the uninterrupted frames, dB")
    right.plot(warmups, [part["change_at_the_seam"] for part in results["restored"]], marker="o", label="restored")
    for name, label, style in (
        ("uninterrupted", "uninterrupted", "-"),
        ("hard_cut", "hard cut", "--"),
        ("new_video", "new video", ":"),
    ):
        right.axhline(results[name]["change_at_the_seam"], color="black", linestyle=style, label=label)
    right.set_ylabel("change from the last frame before\nto the first after, of 255")
    right.set_ylim(0)
    for axes in (left, right):
        axes.set_xlabel("latents that warm the decoder up")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.suptitle(f"The seam of a restore: {results['scenes']} held-out scenes, the {results['model']} model")
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--model", default="tiny", help="a preset or a folder with a model of the tiny world")
    parser.add_argument("--scenes", type=int, default=32, help="held-out scenes, one seed each")
    parser.add_argument("--plot", type=Path, help="draw it to this file (needs matplotlib)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results = measure(load_model(arguments.model), arguments.scenes)
    emit(report("seam", {"dit": True, "decode": True, "encode": False, "http": False}, results), arguments.json)
    if arguments.plot is not None:
        plot(results, arguments.plot)


if __name__ == "__main__":
    main()
