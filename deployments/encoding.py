"""The video encoder as a generator sees it: what a replica answers or, while none does, what one encodes oneself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from ray.exceptions import RayActorError
from ray.serve.exceptions import DeploymentUnavailableError

from deployments import images
from deployments.video_config import InitSegment, VideoConfig
from deployments.video_encoder import encode_chunk, init_segment

ANSWER_SECONDS = 0.3  # many times what a chunk takes; what waits for it is a picture
AWAY_SECONDS = 2.0
T = TypeVar("T")
log = logging.getLogger(__name__)


class VideoEncoding:
    """Who encodes shows in no byte, only in whose cores it takes: so nobody waits for the start of a new encoder.

    One that has died, or has not answered in ANSWER_SECONDS, is stood in for here, and asked again after AWAY_SECONDS.
    """

    def __init__(
        self,
        encode: Callable[[VideoConfig, NDArray[np.uint8], int, int], Awaitable[bytes]],
        init: Callable[[VideoConfig], Awaitable[InitSegment]],
        thumbnail: Callable[[NDArray[np.uint8]], Awaitable[bytes]],
    ) -> None:
        """The methods of `VideoEncoder`, as calls to any replica of it: they raise what Serve does when that dies."""
        self._remote_encode = encode
        self._remote_init = init
        self._remote_thumbnail = thumbnail
        self._away_until = float("-inf")

    async def encode(self, config: VideoConfig, frames: NDArray[np.uint8], chunk: int, first_frame: int) -> bytes:
        """As `encode_chunk`."""
        return await self._first(
            lambda: self._remote_encode(config, frames, chunk, first_frame),
            lambda: encode_chunk(config, frames, chunk=chunk, first_frame=first_frame),
        )

    async def init(self, config: VideoConfig) -> bytes:
        segment = await self._first(lambda: self._remote_init(config), lambda: init_segment(config))
        return segment.data

    async def thumbnail(self, pixels: NDArray[np.uint8]) -> bytes:
        """One frame [H, W, 3] as a small WebP."""
        return await self._first(lambda: self._remote_thumbnail(pixels), lambda: images.thumbnail(pixels))

    async def _first(self, call: Callable[[], Awaitable[T]], own: Callable[[], T]) -> T:
        clock = asyncio.get_running_loop().time
        if clock() >= self._away_until:
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    return await call()
            except (RayActorError, DeploymentUnavailableError, TimeoutError) as error:
                log.warning("no video encoder answers, so this generator encodes: %r", error)
                self._away_until = clock() + AWAY_SECONDS
        return await asyncio.to_thread(own)
