"""Frames to an H.264 file, a chunk at a time."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import torch

from longlive.errors import InputError


class VideoFile:
    """Writes uint8 frames `[T, height, width, 3]` to a video file whose kind follows from its name (`.mp4`, `.mkv`).

    Use it as a context manager. The file appears under its name when the block ends well; what was written before an
    error is left, playable, as `NAME.part.mp4`. What cannot be written is refused at once: OSError, which names the
    file, for the place; InputError for a name whose ending says no kind of file that holds H.264, and for a file that
    another run is writing.
    """

    def __init__(self, path: str | Path, fps: int, width: int, height: int) -> None:
        self._frame = 0
        self._path = Path(path)
        self._part = self._path.with_name(f"{self._path.stem}.part{self._path.suffix}")
        if self._path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        try:
            self._container = av.open(str(self._part), "w")
            options = {"crf": "18", "preset": "medium"}
            self._stream = self._container.add_stream("libx264", rate=fps, options=options)
        except ValueError as error:
            raise _unfit(path) from error
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, fps)
        self._lock = self._locked()
        try:
            with self._named():
                self._container.start_encoding()  # the first to touch the part: it empties what an earlier run left
        except (OSError, ValueError) as error:
            self._container.close()
            self._part.unlink(missing_ok=True)
            self._lock.close()
            if isinstance(error, OSError):
                raise
            raise _unfit(path) from error

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._lock, self._named():
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
        with self._named():
            for pixels in frames.cpu().numpy():
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts = self._frame
                self._frame += 1
                self._container.mux(self._stream.encode(frame))

    def _locked(self) -> BinaryIO:
        """The part, not emptied yet: no other run's until this is closed, be it by the end of the process."""
        while True:
            part = self._part.open("ab")
            try:
                with self._named():
                    fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                part.close()
                if isinstance(error, BlockingIOError):
                    advice = f"another run is writing {self._path}; wait for it or name another file"
                    raise InputError(advice) from error
                raise
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(part.fileno()), self._part.stat()):
                    return part
            part.close()  # between opening and locking, the run that wrote it gave it its final name

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Gives errors of the place the path that those of the encoder lack."""
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._path)) from error


def _unfit(path: str | Path) -> InputError:
    return InputError(f"{path}: no H.264 video file ends in '{Path(path).suffix}'; try .mp4")
