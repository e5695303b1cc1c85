"""Frames to an H.264 file, a chunk at a time."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import torch
from av.video.stream import VideoStream as EncodedStream


class VideoFile:
    """Writes uint8 frames `[T, H, W, 3]` to a video file whose kind follows from its name (`.mp4`, `.mkv`, ...).

    Use it as a context manager; the file is playable after the block. Raises OSError if it cannot be written and
    ValueError if the name's ending says no video container.
    """

    def __init__(self, path: str | Path, fps: int) -> None:
        self._fps = fps
        self._stream: EncodedStream | None = None
        self._frame = 0
        try:
            self._container = av.open(str(path), "w")
        except ValueError as error:
            raise ValueError(f"{path}: no video file type ends in '{Path(path).suffix}'; try .mp4") from error
        Path(path).open("wb").close()  # the container itself would notice a bad place only after the first chunk

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._container.mux(self._stream.encode(None))
        self._container.close()

    def write(self, frames: torch.Tensor) -> None:
        stream = self._stream or self._open_stream(frames)
        for pixels in frames.cpu().numpy():
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = self._frame
            self._frame += 1
            self._container.mux(stream.encode(frame))

    def _open_stream(self, frames: torch.Tensor) -> EncodedStream:
        stream = self._container.add_stream("libx264", rate=self._fps, options={"crf": "18", "preset": "medium"})
        _, stream.height, stream.width, _ = frames.shape
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, self._fps)
        self._stream = stream
        return stream
