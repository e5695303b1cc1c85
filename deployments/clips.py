"""Files of a recorded video, made a few fragments at a time: MP4 as it is, animated WebP and GIF smaller."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Protocol, cast

import av
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace
from av.video.stream import VideoStream

from deployments.export import ExportFormat
from deployments.images import fitted


class Clip(Protocol):
    """Given all fragments of a stretch in order, `passes` times over; then closed. Holds no more than a few of them."""

    passes: int

    def add(self, fragments: bytes) -> None: ...
    def end_pass(self) -> None:
        """After the last fragment of each pass; the last one finishes the file."""


class Mp4Clip:
    """The coded frames as they are, with the index in front; time begins at 0."""

    passes = 1

    def __init__(self, file: Path, init: bytes, fps: int) -> None:
        self._init = init
        options = {"movflags": "+faststart", "video_track_timescale": str(fps * 1000)}
        self._out = av.open(str(file), "w", format="mp4", options=options)
        self._stream: VideoStream | None = None
        self._start = 0

    def add(self, fragments: bytes) -> None:
        with av.open(io.BytesIO(self._init + fragments), "r", format="mp4") as source:
            track = source.streams.video[0]
            for packet in source.demux(track):
                if packet.dts is None or packet.pts is None:
                    continue
                if self._stream is None:
                    self._stream = cast(VideoStream, self._out.add_stream_from_template(track))
                    self._start = packet.dts
                packet.dts -= self._start
                packet.pts -= self._start
                packet.stream = self._stream
                self._out.mux(packet)

    def end_pass(self) -> None:
        self._out.close()


class _Pictures:
    """Frames of fragments, made fewer and smaller."""

    most_width: int
    most_fps: int

    def __init__(self, file: Path, init: bytes, fps: int) -> None:
        self._init = init
        self._fps = fps
        self._step = math.ceil(fps / self.most_fps)
        self._tick = Fraction(self._step, fps)
        self._start: int | None = None
        self._out = av.open(str(file), "w", options={"loop": "0"})
        self._stream: VideoStream | None = None

    def _frames(self, fragments: bytes, pixel_format: str) -> Iterator[VideoFrame]:
        """Every few frames; their time counts from the first one."""
        with av.open(io.BytesIO(self._init + fragments), "r", format="mp4") as source:
            for frame in source.decode(video=0):
                number = round(float(cast(int, frame.pts) * cast(Fraction, frame.time_base)) * self._fps)
                if self._start is None:
                    self._start = number
                if (number - self._start) % self._step:
                    continue
                width, height = fitted(frame.width, frame.height, self.most_width)
                # WebP knows no other colours.
                small = frame.reformat(width, height, pixel_format, dst_colorspace=Colorspace.ITU601)
                small.pts, small.time_base = (number - self._start) // self._step, self._tick
                yield small

    def _write(self, frame: VideoFrame, codec: str, options: dict[str, str]) -> None:
        if self._stream is None:
            stream = cast(VideoStream, self._out.add_stream(codec, rate=1 / self._tick, options=options))
            stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, frame.format.name
            stream.codec_context.time_base = self._tick
            self._stream = stream
        self._out.mux(self._stream.encode(frame))

    def _finish(self) -> None:
        if self._stream is not None:
            self._out.mux(self._stream.encode(None))
        self._out.close()


class WebpClip(_Pictures):
    passes = 1
    most_width = 480
    most_fps = 16

    def add(self, fragments: bytes) -> None:
        for frame in self._frames(fragments, "yuv420p"):
            self._write(frame, "libwebp_anim", {"quality": "70"})

    def end_pass(self) -> None:
        self._finish()


class GifClip(_Pictures):
    """Two passes: the first counts the colours of all frames, for one palette."""

    passes = 2
    most_width = 320
    most_fps = 10

    def __init__(self, file: Path, init: bytes, fps: int) -> None:
        super().__init__(file, init, fps)
        self._counting: _Filter | None = None
        self._painting: _Filter | None = None

    def add(self, fragments: bytes) -> None:
        for frame in self._frames(fragments, "rgb24"):
            if self._painting is not None:
                self._painting.push(frame)
                self._write_painted()
            else:
                self._counting = self._counting or _Filter("palettegen", "stats_mode=diff", frame)
                self._counting.push(frame)

    def end_pass(self) -> None:
        if self._painting is not None:
            self._painting.push(None)
            self._write_painted()
            self._finish()
        elif self._counting is not None:
            self._counting.push(None)
            (palette,) = self._counting.pull()
            options = "dither=bayer:bayer_scale=3:diff_mode=rectangle"
            self._painting = _Filter("paletteuse", options, self._counting.like, palette)
            self._start = None

    def _write_painted(self) -> None:
        for frame in self._painting.pull() if self._painting is not None else ():
            self._write(frame, "gif", {})


class _Filter:
    """One filter of ffmpeg, for frames like `like`; it may have a still picture as its second input."""

    def __init__(self, name: str, options: str, like: VideoFrame, still: VideoFrame | None = None) -> None:
        self.like = like
        graph = Graph()
        at_work, self._sink = graph.add(name, options), graph.add("buffersink")
        self._source, *others = [
            graph.add_buffer(width=f.width, height=f.height, format=f.format, time_base=like.time_base)
            for f in (like, still)
            if f is not None
        ]
        self._source.link_to(at_work, 0, 0)
        for source in others:
            source.link_to(at_work, 0, 1)
        at_work.link_to(self._sink)
        graph.configure()
        for source in others:
            source.push(still)
            source.push(None)
        self._graph = graph  # who lets go of it lets go of its filters

    def push(self, frame: VideoFrame | None) -> None:
        self._source.push(frame)

    def pull(self) -> Iterator[VideoFrame]:
        """What is ready."""
        while True:
            try:
                yield cast(VideoFrame, self._sink.pull())
            except (av.BlockingIOError, av.EOFError):
                return


CLIPS: Mapping[ExportFormat, Callable[[Path, bytes, int], Clip]] = {
    ExportFormat.mp4: Mp4Clip,
    ExportFormat.webp: WebpClip,
    ExportFormat.gif: GifClip,
}
