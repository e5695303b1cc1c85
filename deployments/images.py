"""Single pictures of a video: a small WebP for time lines, a JPEG poster."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from numpy.typing import NDArray

THUMBNAIL_WIDTH = 160


def thumbnail(pixels: NDArray[np.uint8]) -> bytes:
    """RGB [H, W, 3] as WebP, at most THUMBNAIL_WIDTH wide; a smaller picture keeps its size."""
    frame = VideoFrame.from_ndarray(pixels, format="rgb24")
    width, height = fitted(frame.width, frame.height, THUMBNAIL_WIDTH)
    # libwebp makes its own colours of RGB.
    frame = frame.reformat(width, height, "bgra", interpolation=Interpolation.AREA)
    return _encode("libwebp", frame, {"quality": "75", "preset": "picture"})


def poster(frame: VideoFrame) -> bytes:
    """A decoded frame as JPEG of its own size."""
    full = frame.reformat(format="yuvj420p", dst_colorspace=Colorspace.ITU601, dst_color_range=ColorRange.JPEG)
    return _encode("mjpeg", full, {"qmin": "3", "qmax": "3"})


def decoded(picture: bytes) -> VideoFrame:
    """The first frame of a picture or video file."""
    with av.open(io.BytesIO(picture), "r") as container:
        return next(container.decode(video=0))


def fitted(width: int, height: int, most_width: int) -> tuple[int, int]:
    """A size of the same shape, `most_width` wide at most, with even sides."""
    scale = min(1.0, most_width / width)
    return 2 * max(1, round(width * scale / 2)), 2 * max(1, round(height * scale / 2))


def _encode(codec: str, frame: VideoFrame, options: dict[str, str]) -> bytes:
    encoder = cast(VideoCodecContext, CodecContext.create(codec, "w"))
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, frame.format.name
    encoder.time_base = Fraction(1, 1)
    encoder.options = options
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
