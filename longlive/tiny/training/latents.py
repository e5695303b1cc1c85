"""Stage 2: rendered clips through the encoder, once, so that the DiT never waits for pixels."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from longlive.config import VAEConfig
from longlive.tiny.renderer import render
from longlive.tiny.training import work_file
from longlive.tiny.training.block_causal import CHUNK
from longlive.tiny.training.trainer import Worker
from longlive.tiny.training.work_file import Origin, digest
from longlive.tiny.world import Clip, Scene, draw_change, draw_scene
from longlive.vae import WanVAE

CHUNKS = 5  # of a clip: window 12 of the last one reaches back beyond the sink
CLIP_FRAMES = 1 + 4 * (CHUNKS * CHUNK - 1)
START_FRAMES = 1 + 4 * (CHUNK - 1)


@dataclass(frozen=True, slots=True)
class DataSize:
    """Clips per kind, over all processes: without a switch, with one at each chunk border, and first chunks alone."""

    plain: int = 3000
    switched: int = 750  # at each of the borders 1..4
    starts: int = 12000


DATA = DataSize()


@dataclass(slots=True)
class LatentClips:
    """Clips of one kind: normalised latents `[N, F, 16, 8, 8]` bfloat16, and what they show before and after."""

    latents: Tensor
    scenes: list[Scene]
    after: list[Scene]

    def __len__(self) -> int:
        return len(self.scenes)


@dataclass(slots=True)
class LatentData:
    """What one process trains on. `switched[s - 1]` holds the clips whose scene changes with chunk s."""

    plain: LatentClips
    switched: list[LatentClips]
    starts: LatentClips
    origin: Origin


def switch_frame(chunk: int) -> int:
    """First pixel frame of a chunk."""
    return START_FRAMES + 4 * CHUNK * (chunk - 1)


def data_origin(vae: WanVAE, worker: Worker, size: DataSize) -> Origin:
    """What encoded data depends on."""
    return {
        "VAE": digest(vae.state_dict()),
        "amount of data": repr(size),
        "number of processes": str(worker.world),
    }


def encode_data(vae: WanVAE, worker: Worker, directory: Path, report: Callable[[str], None], size: DataSize) -> Path:
    """Renders and encodes this process's share and returns its file; a finished file is kept as it is.

    ResumeError if the finished file holds other data, or was made by another VAE.
    """
    path = directory / f"latents.{worker.rank}-of-{worker.world}.pt"
    origin = data_origin(vae, worker, size)
    if path.exists():
        work_file.read(path, origin)
        return path
    kinds = [
        ("plain", size.plain, 0),
        *((f"switch{s}", size.switched, s) for s in range(1, CHUNKS)),
        ("starts", size.starts, 0),
    ]
    total = sum(count for _, count, _ in kinds) // worker.world
    began, done, shown = time.monotonic(), 0, 0.0
    data: dict[str, dict[str, object]] = {}
    for kind, count, switch in kinds:
        rng = random.Random(f"{kind} {worker.rank}")
        frames = START_FRAMES if kind == "starts" else CLIP_FRAMES
        latents, scenes, changed = [], [], []
        for _ in range(count // worker.world):
            scene = draw_scene(rng)
            after = draw_change(rng, scene, rng.choice((1, 1, 2, 2, 3, 4))) if switch else scene
            clip = Clip(scene, rng.getrandbits(32), after if switch else None, switch_frame(switch) if switch else 0)
            pixels = render(clip, frames).unsqueeze(0).to(torch.bfloat16) / 127.5 - 1
            with torch.no_grad():
                latents.append(vae.posterior(pixels)[0][0].to(torch.bfloat16))
            scenes.append(list(scene.values().values()))
            changed.append(list(after.values().values()))
            done += 1
            now = time.monotonic()
            if worker.rank == 0 and now - shown > 10:
                shown = now
                left = (now - began) / done * (total - done)
                report(f"latents {done}/{total}  {left / 60:.1f} min left at most")
        data[kind] = {"latents": torch.stack(latents), "scenes": scenes, "after": changed}
    work_file.write(path, origin, data)
    return path


def latent_statistics(paths: list[Path]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation `[16]` of every latent channel over the plain clips of all processes."""
    plain = torch.cat([torch.load(path, weights_only=True, mmap=True)["plain"]["latents"].float() for path in paths])
    values = plain.transpose(0, 2).flatten(1)
    return values.mean(1), values.std(1)


def load_data(path: Path, origin: Origin, config: VAEConfig) -> LatentData:
    """One process's data, normalised with the statistics of `config`."""
    raw = work_file.read(path, origin)
    mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (config.mean, config.std))

    def clips(kind: str) -> LatentClips:
        entry = raw[kind]
        latents = torch.cat([((part.float() - mean) / std).to(torch.bfloat16) for part in entry["latents"].split(256)])
        return LatentClips(latents, [Scene(*v) for v in entry["scenes"]], [Scene(*v) for v in entry["after"]])

    return LatentData(clips("plain"), [clips(f"switch{s}") for s in range(1, CHUNKS)], clips("starts"), origin)
