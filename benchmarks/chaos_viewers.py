"""Viewers that keep all they get, each independent of the others: one pulls fragments, one reads `live.mp4`."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import av
import httpx

from chaos_figures import Arrival, Faults, frame_numbers, number_faults, time_gaps
from deployments.client import AsyncSessionHandle
from deployments.client_errors import ServiceError
from deployments.fmp4 import parts
from deployments.fragments import RING_SIZE
from deployments.session import chunk_at

AGAIN_SECONDS = 0.25
TIMEOUT = httpx.Timeout(10.0, read=60.0)


@dataclass
class Recording:
    """One answer of the service, or many that are one stream: the start of a file, and fragments behind it."""

    init: bytes
    arrivals: list[Arrival] = field(default_factory=list)

    @property
    def numbers(self) -> list[int]:
        return [arrival.chunk for arrival in self.arrivals]

    @property
    def fragments(self) -> dict[int, bytes]:
        """By chunk; of one that came again, the last."""
        return {arrival.chunk: arrival.data for arrival in self.arrivals}

    def faults(self) -> Faults:
        return number_faults(self.numbers)

    def frames(self, fps: int) -> list[int]:
        """The place of each picture in media time, decoded from start to end; none of what is no video."""
        with contextlib.suppress(av.FFmpegError):
            return frame_numbers(self.init + b"".join(arrival.data for arrival in self.arrivals), fps)
        return []

    def time_gaps(self, frames: Sequence[int]) -> int:
        """Where these pictures do not follow one another, but for those of fragments that never came.

        And how many there are too few or too many: a decoder leaves out what comes again.
        """
        never_came = sum(later.chunk > earlier.chunk + 1 for earlier, later in pairwise(self.arrivals))
        return time_gaps(frames) - never_came + abs(sum(arrival.frames for arrival in self.arrivals) - len(frames))


@dataclass
class Puller:
    """Asks for every fragment by its number, as the Python client does."""

    session: AsyncSessionHandle
    fps: int
    recordings: list[Recording] = field(default_factory=list)
    over: str | None = None
    reconnects: int = 0

    async def watch(self) -> None:
        """Returns when there is nothing more to see: `over` says why."""
        try:
            recording = Recording(await self.session.init_segment())
            self.recordings.append(recording)
            async for fragment in self.session.fragments(most_behind=RING_SIZE):
                at = time.perf_counter()
                arrival = Arrival(at, fragment.chunk, fragment.first_frame, fragment.frames, fragment.data)
                recording.arrivals.append(arrival)
        except ServiceError as error:
            self.over = str(error)
        else:
            self.over = "the video has ended"

    @property
    def arrivals(self) -> list[Arrival]:
        return [arrival for recording in self.recordings for arrival in recording.arrivals]


@dataclass
class Reader:
    """Reads `live.mp4`, one response without end. Where that breaks it opens another, which is a new recording."""

    url: str
    fps: int
    recordings: list[Recording] = field(default_factory=list)
    over: str | None = None
    reconnects: int = -1

    async def watch(self) -> None:
        """Returns when there is nothing more to see: `over` says why."""
        async with httpx.AsyncClient(timeout=TIMEOUT, trust_env=False) as http:
            while self.over is None:
                with contextlib.suppress(httpx.TransportError):
                    await self._read(http)
                await asyncio.sleep(AGAIN_SECONDS)

    @property
    def arrivals(self) -> list[Arrival]:
        return [arrival for recording in self.recordings for arrival in recording.arrivals]

    async def _read(self, http: httpx.AsyncClient) -> None:
        async with http.stream("GET", self.url) as answer:
            if answer.status_code == httpx.codes.GONE:
                self.over = "the video has ended"
            if answer.status_code != httpx.codes.OK:
                return  # for the moment
            self.reconnects += 1
            boxes, head, recording = Boxes(), b"", Recording(b"")
            self.recordings.append(recording)
            async for data in answer.aiter_bytes():
                at = time.perf_counter()
                for kind, box in boxes.feed(data):
                    if kind in (b"ftyp", b"moov"):
                        recording.init += box
                        continue
                    head += box
                    if kind == b"mdat":
                        for part in parts(head):
                            chunk = chunk_at(part.first_frame)
                            arrival = Arrival(at, chunk, part.first_frame, part.frames, part.data)
                            recording.arrivals.append(arrival)
                        head = b""


class Boxes:
    """An MP4 as it comes, box by box."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Kind and bytes of each box at the top that is whole by now."""
        self._data += data
        while len(self._data) >= 8 and len(self._data) >= (size := int.from_bytes(self._data[:4], "big")):
            box = bytes(self._data[:size])
            del self._data[:size]
            yield box[4:8], box
