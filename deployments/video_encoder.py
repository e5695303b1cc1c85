"""Frames in, fragments out. Stateless: any replica encodes any chunk of any session, and gives the same bytes."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING

import av
import numpy as np
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from deployments import fmp4, images
from deployments.video_config import InitSegment, VideoConfig

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream
    from numpy.typing import NDArray


@lru_cache(maxsize=64)
def init_segment(config: VideoConfig) -> InitSegment:
    """The bytes a player needs before any fragment of this configuration."""
    sink = io.BytesIO()
    with _open(config, sink) as (container, _):
        container.start_encoding()
        data = sink.getvalue()
    return InitSegment(data, fmp4.codec_string(data), config.hash)


def encode_chunk(config: VideoConfig, frames: NDArray[np.uint8], *, chunk: int, first_frame: int) -> bytes:
    """RGB frames [T, H, W, 3] as one fragment that starts with a keyframe and at frame `first_frame` of media time.

    A fresh encoder for each chunk costs a millisecond or two and makes the bytes a function of the arguments alone.
    """
    expected = (config.height, config.width, 3)
    if frames.ndim != 4 or frames.shape[1:] != expected or frames.dtype != np.uint8 or not len(frames):
        raise ValueError(
            f"frames must be uint8 [T, {', '.join(map(str, expected))}], not {frames.dtype} {frames.shape}"
        )
    with _open(config, io.BytesIO()) as (_, stream):
        packets = []
        for index, pixels in enumerate(frames):
            frame = VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
                format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
            )
            frame.pts = index
            frame.pict_type = PictureType.NONE if index else PictureType.I
            packets += stream.encode(frame)
        packets += stream.encode(None)
    samples = [fmp4.sample(bytes(packet)) for packet in packets]
    return fmp4.fragment(samples, sequence=chunk + 1, first_frame=first_frame)


@contextmanager
def _open(config: VideoConfig, sink: io.BytesIO) -> Iterator[tuple[OutputContainer, VideoStream]]:
    """An encoder, and the muxer that writes its header."""
    muxing = {
        "movflags": "empty_moov+default_base_moof+frag_custom+write_colr",
        "video_track_timescale": str(config.fps * fmp4.TICKS_PER_FRAME),
    }
    encoding = {"preset": "veryfast", "tune": "zerolatency", "profile": "baseline", "crf": str(config.crf)}
    with av.open(sink, "w", format="mp4", options=muxing) as container:
        stream = container.add_stream("libx264", rate=config.fps, options=encoding)
        codec = stream.codec_context
        codec.width, codec.height, codec.pix_fmt = config.width, config.height, "yuv420p"
        codec.time_base = Fraction(1, config.fps)
        codec.max_b_frames = 0
        codec.thread_count = 1
        codec.colorspace, codec.color_range = Colorspace.ITU709, ColorRange.MPEG
        codec.color_primaries, codec.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        yield container, stream


class VideoEncoder:
    """The deployment: encodes in a thread, so that the event loop goes on taking calls."""

    async def encode(self, config: VideoConfig, frames: NDArray[np.uint8], chunk: int, first_frame: int) -> bytes:
        return await asyncio.to_thread(encode_chunk, config, frames, chunk=chunk, first_frame=first_frame)

    async def init(self, config: VideoConfig) -> InitSegment:
        return await asyncio.to_thread(init_segment, config)

    async def thumbnail(self, pixels: NDArray[np.uint8]) -> bytes:
        """One frame [H, W, 3] as a small WebP."""
        return await asyncio.to_thread(images.thumbnail, pixels)
