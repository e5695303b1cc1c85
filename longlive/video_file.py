"""Frames to an H.264 file, a chunk at a time."""

from __future__ import annotations

import errno
import os
from fractions import Fraction
from pathlib import Path

import av
import torch

from longlive.errors import InputError


class VideoFile:
    """Writes uint8 frames `[T, height, width, 3]` to a video file whose kind follows from its name (`.mp4`, `.mkv`).

    Use it as a context manager. The file appears under its name when the block ends well; what was written before an
    error is left, playable, as `NAME.part.mp4`. What cannot be written is refused at once: OSError for the place,
    InputError for a name whose ending says no kind of file that holds H.264.
    """

    def __init__(self, path: str | Path, fps: int, width: int, height: int) -> None:
        self._frame = 0
        self._path = Path(path)
        self._part = self._path.with_name(f"{self._path.stem}.part{self._path.suffix}")
        if self._path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        try:
            self._container = av.open(str(self._part), "w")
        except ValueError as error:
            raise _unfit(path) from error
        try:
            options = {"crf": "18", "preset": "medium"}
            self._stream = self._container.add_stream("libx264", rate=fps, options=options)
            self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuv420p"
            self._stream.codec_context.time_base = Fraction(1, fps)
            self._container.start_encoding()
        except OSError:
            self._container.close()
            raise
        except ValueError as error:
            self._container.close()
            self._part.unlink(missing_ok=True)
            raise _unfit(path) from error

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()
        if kind is None:
            self._part.replace(self._path)
        elif self._frame == 0:
            self._part.unlink(missing_ok=True)

    def write(self, frames: torch.Tensor) -> None:
        """Appends frames. OSError if the place is full or gone."""
        for pixels in frames.cpu().numpy():
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = self._frame
            self._frame += 1
            self._container.mux(self._stream.encode(frame))


def _unfit(path: str | Path) -> InputError:
    return InputError(f"{path}: no H.264 video file ends in '{Path(path).suffix}'; try .mp4")
