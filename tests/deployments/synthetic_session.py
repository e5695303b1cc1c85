"""A short video as an owner publishes it, for tests of what becomes of its fragments."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deployments.fragments import Fragment
from deployments.session import chunk_first_frame, chunk_frames
from deployments.video_config import VideoConfig
from deployments.video_encoder import encode_chunk

CONFIG = VideoConfig(width=64, height=64, fps=16)


def pixels(first_frame: int, frames: int, config: VideoConfig = CONFIG) -> NDArray[np.uint8]:
    """Frames [T, H, W, 3] of a bar that moves down a grey ground, each brighter than the one before."""
    video = np.empty((frames, config.height, config.width, 3), np.uint8)
    for index in range(frames):
        video[index] = 40 + 2 * (first_frame + index) % 160
        row = 2 * (first_frame + index) % (config.height - 8)
        video[index, row : row + 8] = (220, 40, 40)
    return video


def fragment(sid: str, chunk: int, config: VideoConfig = CONFIG, fence: int = 1) -> Fragment:
    first, frames = chunk_first_frame(chunk), chunk_frames(chunk)
    data = encode_chunk(config, pixels(first, frames, config), chunk=chunk, first_frame=first)
    return Fragment(sid, chunk, fence, first, frames, config.hash, data)
