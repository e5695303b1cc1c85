"""`longlive train tiny`: all stages in order, each resumable, in one process per core."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from longlive.config import VAEConfig
from longlive.tiny.training.dit_stage import TinyModel, train_clips, train_starts
from longlive.tiny.training.export import export
from longlive.tiny.training.few_step_stage import train_few_step
from longlive.tiny.training.latents import DataSize, encode_data, latent_statistics, load_data
from longlive.tiny.training.trainer import Worker
from longlive.tiny.training.vae_stage import VAE, train_vae
from longlive.transformer import Block

STAGES = "VAE about 15 min, latents 12, first chunks 8, clips 50, few steps 12 (two cores with bfloat16 units)"


def train_tiny(folder: Path, work: Path, processes: int, report: Callable[[str], None]) -> None:
    """Trains the tiny model from nothing into `folder`; `work` keeps what a stopped run goes on from.

    Seeds are fixed: the same number of processes on the same build gives the same model.
    """
    work.mkdir(parents=True, exist_ok=True)
    report(f"{processes} processes; {STAGES}")
    began = time.monotonic()
    if processes == 1:
        _work(0, 1, 0, str(folder), str(work), report)
    else:
        with socket.socket() as probe:  # a free port on loopback for the processes to meet at
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        mp.start_processes(
            _work, (processes, port, str(folder), str(work), report), nprocs=processes, start_method="spawn"
        )
    report(f"done in {(time.monotonic() - began) / 60:.0f} min: {folder}")


def _work(rank: int, world: int, port: int, folder: str, work: str, report: Callable[[str], None]) -> None:
    torch.set_num_threads(1)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    if world > 1:
        dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)
    worker, directory = Worker(rank, world), Path(work)
    vae = train_vae(worker, directory, report)
    encode_data(vae, worker, directory, report, DataSize())
    worker.wait()
    shards = [directory / f"latents.{r}-of-{world}.pt" for r in range(world)]
    mean, std = latent_statistics(shards)
    vae_config = VAEConfig(**{**VAE.model_dump(), "mean": tuple(mean.tolist()), "std": tuple(std.tolist())})
    data = load_data(shards[rank], vae_config)
    model = TinyModel()
    # Compiled blocks train 1.6 times as fast; serving gains nothing from it.
    Block.forward = torch.compile(Block.forward, dynamic=False)  # type: ignore[method-assign]
    torch._dynamo.config.recompile_limit = 64
    for stage in (train_starts, train_clips, train_few_step):
        stage(model, data, worker, directory, report)
        worker.wait()
    if rank == 0:
        export(model, vae, vae_config, Path(folder))
    if world > 1:
        dist.destroy_process_group()
