"""`longlive train tiny`: all stages in order, each resumable, in processes of one thread each."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from longlive.config import TextEncoderConfig, TransformerConfig, VAEConfig
from longlive.tiny.training import MAX_PROCESSES, PROCESSES, few_step_stage, vae_stage
from longlive.tiny.training.dit_stage import CLIPS, STARTS, TEXT, TRANSFORMER, TinyModel, train_clips, train_starts
from longlive.tiny.training.errors import TrainingError
from longlive.tiny.training.export import export, refuse_foreign
from longlive.tiny.training.few_step_stage import train_few_step
from longlive.tiny.training.latents import DATA, DataSize, data_origin, encode_data, latent_statistics, load_data
from longlive.tiny.training.trainer import Stage, Worker
from longlive.tiny.training.vae_stage import VAE, train_vae
from longlive.transformer import Block

DURATIONS = "VAE 22 min, latents 8, first chunks 8, clips 29, few steps 7 (two busy cores with bfloat16 units)"
PATIENCE = timedelta(hours=12)  # processes wait for the slowest one, whose machine may have slept


@dataclass(frozen=True, slots=True)
class Recipe:
    """Models and lengths of all stages; by default those that make the tiny model."""

    vae: VAEConfig = VAE
    transformer: TransformerConfig = TRANSFORMER
    text: TextEncoderConfig = TEXT
    vae_stage: Stage = vae_stage.STAGE
    data: DataSize = DATA
    starts: Stage = STARTS
    clips: Stage = CLIPS
    few_step: Stage = few_step_stage.STAGE


def train_tiny(
    folder: Path,
    work: Path,
    report: Callable[[str], None],
    processes: int = PROCESSES,
    recipe: Recipe | None = None,
) -> None:
    """Trains the tiny model from nothing into `folder`; `work` keeps what a stopped run goes on from.

    Seeds are fixed: the same number of processes on the same build gives the same model. `report` is called in another
    process and must be picklable. ValueError for more than 8 processes; FileExistsError if `folder` holds something
    else than a model; ResumeError if `work` holds another run; TrainingError if the training cannot go on.
    """
    if not 1 <= processes <= MAX_PROCESSES:
        raise ValueError(f"{processes} processes cannot share this training; give 1 to {MAX_PROCESSES}")
    refuse_foreign(folder)
    work.mkdir(parents=True, exist_ok=True)
    report(f"{processes} processes; {DURATIONS}")
    began = time.monotonic()
    with socket.socket() as probe:  # a free port on loopback for the processes to meet at
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    errors: SimpleQueue[TrainingError] = mp.get_context("spawn").SimpleQueue()
    try:
        # One process is spawned too: what training sets for its process must not outlive it in the caller's.
        mp.start_processes(
            _work,
            (processes, port, folder, work, report, recipe or Recipe(), errors),
            nprocs=processes,
            start_method="spawn",
        )
    except mp.ProcessExitedException as error:
        if not errors.empty():
            raise errors.get() from error
        raise TrainingError(f"a training process was ended from outside ({error}); go on with --resume") from error
    report(f"done in {(time.monotonic() - began) / 60:.0f} min: {folder}")


def compile_fault() -> str | None:
    """Why blocks cannot be compiled here, in a line: it takes a C++ compiler and Python's headers. None if they can."""

    def probe(x: Tensor) -> Tensor:
        return x.sin() + 1

    try:
        torch.compile(probe)(torch.ones(8))
    except Exception as error:  # whatever is missing: training does without
        return f"{type(error).__name__}: {str(error).strip()}".splitlines()[0]
    return None


def _work(
    rank: int,
    world: int,
    port: int,
    folder: Path,
    work: Path,
    report: Callable[[str], None],
    recipe: Recipe,
    errors: SimpleQueue[TrainingError],
) -> None:
    torch.set_num_threads(1)
    if sys.platform == "linux":  # elsewhere the loopback has other names, and gloo finds it
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    if world > 1:
        meeting = f"tcp://127.0.0.1:{port}"
        dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=world, timeout=PATIENCE)
    try:
        _train(Worker(rank, world), folder, work, report, recipe)
    except TrainingError as error:
        errors.put(error)
        sys.exit(1)
    if world > 1:
        dist.destroy_process_group()


def _train(worker: Worker, folder: Path, work: Path, report: Callable[[str], None], recipe: Recipe) -> None:
    fault = compile_fault()  # told before hours of work, not when compiled blocks are first needed
    if fault and worker.rank == 0:
        report(f"nothing can be compiled here, so the DiT trains 1.6 times as long ({fault})")
    vae = train_vae(worker, work, report, recipe.vae_stage, recipe.vae)
    own = encode_data(vae, worker, work, report, recipe.data)
    worker.wait()
    mean, std = latent_statistics([work / f"latents.{r}-of-{worker.world}.pt" for r in range(worker.world)])
    vae_config = replace(recipe.vae, mean=tuple(mean.tolist()), std=tuple(std.tolist()))
    data = load_data(own, data_origin(vae, worker, recipe.data), vae_config)
    model = TinyModel(recipe.transformer, recipe.text)
    if not fault:
        # Compiled blocks train 1.6 times as fast; serving gains nothing from it. All instances share the code.
        Block.forward = torch.compile(Block.forward, dynamic=False)  # type: ignore[method-assign]
        torch._dynamo.config.recompile_limit = 64
    train_starts(model, data, worker, work, report, recipe.starts)
    worker.wait()
    train_clips(model, data, worker, work, report, recipe.clips)
    worker.wait()
    train_few_step(model, data, worker, work, report, recipe.few_step)
    if worker.rank == 0:
        export(model, vae, vae_config, folder)
    worker.wait()
