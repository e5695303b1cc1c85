"""The generator as a Serve deployment: loads the model, measures it, and lends the pool's calls to a `Generator`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from ray import serve
from ray.serve.handle import DeploymentHandle
from torch import Tensor

from deployments import admission, logs
from deployments.calls import ask
from deployments.fragments import Fragment
from deployments.generator import Generator
from deployments.leases import Leases
from deployments.measurement import SessionCost, measure
from deployments.media_store import MediaStore
from deployments.parts import Limits, Parts
from deployments.placement import Refusal
from deployments.session import Session
from deployments.settings import Settings
from deployments.store import connect
from deployments.timeline import Timeline
from deployments.video_config import InitSegment, VideoConfig
from longlive.model import VideoModel
from longlive.pipeline import load_video_model
from longlive.snapshot import Snapshot
from longlive.stream import VideoStream

FIRST_VIEWER_SECONDS = 30.0
"""Time to start a player. Who has not by then is taken to have left."""
RESTART_SECONDS = 45.0  # in which Serve has a new encoder where one died, on a busy machine too

log = logging.getLogger(__name__)


class GeneratorReplica:
    """One replica. Loads and measures the model when constructed, off the event loop: health checks go on."""

    def __init__(
        self, settings: Settings, redis_url: str, text_encoder: DeploymentHandle, video_encoder: DeploymentHandle
    ) -> None:
        logs.configure(settings.log_level)
        torch.set_num_threads(1)
        self._settings = settings
        self._text_encoder = text_encoder
        self._video_encoder = video_encoder
        model = load_video_model(settings.model, settings.dtype, weights=settings.weights, decoder=settings.decoder)
        self._generator = self._build(model, measure(model, settings.generators), redis_url)
        self._running = asyncio.get_running_loop().create_task(self._generator.run(), name="generator")

    async def take(self, sid: str) -> Session | Refusal:
        return await self._generator.take(sid)

    async def watch(self, sid: str) -> AsyncGenerator[tuple[Fragment, ...], None]:
        async for fragments in self._generator.watch(sid):
            yield fragments

    async def ready(self) -> None:
        """Answers: this replica takes calls."""

    async def close(self) -> None:
        """End every session and take no more: the service stops."""
        await self._generator.close()

    def record_routing_stats(self) -> dict[str, float]:
        return {"sessions": self._generator.sessions, "free": self._generator.free}

    def check_health(self) -> None:
        """Raises if the generator's loops have stopped: Serve then replaces the replica."""
        if self._running.done():
            self._running.result()

    def _build(self, model: VideoModel, cost: SessionCost, redis_url: str) -> Generator:
        settings, config = self._settings, model.config
        redis = connect(redis_url)
        timeline = Timeline(redis, connect(redis_url, blocking=True))
        memory_slots = admission.memory_slots(cost.free_bytes, cost.session_bytes)
        log.info("a chunk takes %.3f s; memory has room for %d sessions", cost.chunk_seconds, memory_slots)
        return Generator(
            name=serve.get_replica_context().replica_id.unique_id,
            fps=config.fps,
            parts=Parts(
                timeline=timeline,
                leases=Leases(redis),
                media=MediaStore(settings.store_url),
                encode_text=self._encode_text,
                encode_video=self._encode_video,
                thumbnail=self._thumbnail,
                init_segment=self._init_segment,
                open_stream=partial(VideoStream, model),
                restore_stream=lambda data: VideoStream.restore(model, Snapshot.unpack(data)),
            ),
            limits=Limits(
                slots=settings.slots,
                unwatched_seconds=settings.unwatched_seconds,
                first_viewer_seconds=min(FIRST_VIEWER_SECONDS, settings.unwatched_seconds),
                memory_slots=memory_slots,
                offline_slots=settings.offline_slots,
            ),
            chunk_seconds=cost.chunk_seconds,
        )

    async def _encode_text(self, text: str) -> Tensor:
        return await ask("text encoder", lambda: self._text_encoder.encode.remote(text), patience=RESTART_SECONDS)

    async def _thumbnail(self, frame: NDArray[np.uint8]) -> bytes:
        return await ask("video encoder", lambda: self._video_encoder.thumbnail.remote(frame), patience=RESTART_SECONDS)

    async def _init_segment(self, config: VideoConfig) -> bytes:
        segment: InitSegment = await ask(
            "video encoder", lambda: self._video_encoder.init.remote(config), patience=RESTART_SECONDS
        )
        return segment.data

    async def _encode_video(
        self, config: VideoConfig, frames: NDArray[np.uint8], chunk: int, first_frame: int
    ) -> bytes:
        return await ask(
            "video encoder",
            lambda: self._video_encoder.encode.remote(config, frames, chunk, first_frame),
            patience=RESTART_SECONDS,
        )
