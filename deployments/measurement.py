"""What one session costs on this machine, measured on a session that nobody sees."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil
import torch

from deployments.admission import measure_chunk_seconds
from longlive.allocations import Allocations
from longlive.model import VideoModel
from longlive.stream import VideoStream

MEASURED_CHUNKS = 3
CPU_SHARE = 0.5
"""Of the machine's free memory, for generators that run on its CPU; the rest is left to the other processes."""


@dataclass(frozen=True)
class SessionCost:
    """`chunk_seconds`: median of a chunk once the window is full. `session_bytes`: what a session keeps of the device's
    memory. `free_bytes`: what was left of that, for this replica, while one session was open."""

    chunk_seconds: float
    session_bytes: int
    free_bytes: int


def measure(model: VideoModel, replicas: int) -> SessionCost:
    """Opens a session, fills its window, switches its prompt, goes on. `replicas` share a machine without a GPU."""
    rollout, sizes = model.config.rollout, model.config.transformer
    prompt = torch.zeros(1, sizes.text_len, sizes.text_dim)
    with torch.inference_mode(), Allocations(model.device.type) as memory:
        stream = VideoStream(model, prompt, seed=0)
        for _ in range(max(1, rollout.window_frames // rollout.chunk_frames)):
            stream.next_frames()
        stream.switch(prompt)  # takes the most memory of all work when the window has just been filled
        stream.next_frames()
        session_bytes = memory.live
    chunk_seconds = measure_chunk_seconds(stream.next_frames, time.perf_counter, fill=1, count=MEASURED_CHUNKS)
    return SessionCost(chunk_seconds, session_bytes, _free_bytes(model.device, replicas))


def _free_bytes(device: torch.device, replicas: int) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]  # what torch keeps for its work to come does not count as free
    return int(CPU_SHARE * psutil.virtual_memory().available / replicas)
