"""What a fault did to those who watched, out of what they noted. Numbers in, numbers out."""

from __future__ import annotations

import io
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import av
import numpy as np

from deployments.admission import LOAD
from deployments.entries import AnyEntry, Chunk, SessionMoved, SessionRewound
from deployments.session import CHUNK_FRAMES

UNSEEN_SECONDS = 0.45
"""What the page's player has left to play when a fragment comes (deployments/web/player.js): less late is no gap."""


@dataclass(frozen=True)
class Arrival:
    """A fragment that a viewer has: when the last of its bytes came, and of which frames it is."""

    at: float
    chunk: int
    first_frame: int
    frames: int
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Faults:
    """What is wrong with chunk numbers that came one after the other."""

    repeated: int
    missing: int


@dataclass(frozen=True)
class Bar:
    """What a fault may do at most. Nothing is ever lost, shown twice or written by who is not the owner any more."""

    text: str
    p95_gap: float | None = None
    longest_gap: float | None = None
    back: float | None = None
    skips: bool = False
    """Whether viewers may miss fragments: where what kept them is gone."""
    says_damage: bool = False
    """Whether the timeline must tell of a snapshot that could not be used, for each session that was hit."""

    def missed(self, row: Mapping[str, Any]) -> list[str]:
        """What of a fault's figures is beyond the bar; nothing: it holds."""
        gap, back = row["gap_seconds"], row["back_seconds"]
        wrong = [
            f"{name}: {row[name]}"
            for name in ("lost", "media_time_gaps", "repeated_chunks", "stale_appends", "zombie_fragments")
            if row[name]
        ]
        if row["missing_chunks"] and not self.skips:
            wrong.append(f"missing_chunks: {row['missing_chunks']}")
        if self.says_damage and row["damage_said"] < row["hit"]:
            wrong.append(f"damage_said: {row['damage_said']} of {row['hit']}")
        for name, figures, key, most in (
            ("gap", gap, "p95", self.p95_gap),
            ("gap", gap, "max", self.longest_gap),
            ("back", back, "max", self.back),
        ):
            if most is not None and figures and figures[key] > most:
                wrong.append(f"{name} {key}: {figures[key]} s, at most {most:g} s")
        return wrong


def longest_gap(arrivals: Sequence[Arrival], fps: int, since: float, until: float) -> float:
    """Seconds: how long, at most, a player stood still within a span that had no cushion when it began.

    It begins with the newest fragment by then, as it comes, and plays each once it is here and the one before has
    ended. It stands still until the end of the span if none comes.
    """
    begun = max((index for index, arrival in enumerate(arrivals) if arrival.at <= since), default=0)
    longest, ends = 0.0, math.inf if arrivals else since
    for arrival in arrivals[begun:]:
        if arrival.at > until:
            break
        if ends < math.inf:
            longest = max(longest, arrival.at - max(ends, since))
        ends = (arrival.at if ends == math.inf else max(ends, arrival.at)) + arrival.frames / fps
    return max(longest, until - max(ends, since))


def back_after(arrivals: Iterable[Arrival], since: float) -> float | None:
    """Seconds until the first fragment came; None: none came."""
    return next((arrival.at - since for arrival in arrivals if arrival.at > since), None)


def with_earlier(document: Mapping[str, Any], earlier: Mapping[str, Any], order: Iterable[str]) -> dict[str, Any]:
    """A run of some faults, and of the others what an earlier one has found; each row says when it was measured."""
    rows: dict[str, Any] = {}
    for run in (earlier, document):
        results = run["results"]
        when = {"commit": run["commit"], "fps": results["fps"]}
        rows |= {name: when | row for name, row in results["faults"].items()}
    faults = {name: rows[name] for name in order if name in rows}
    results = {**document["results"], "faults": faults, "passed": all(row["passed"] for row in faults.values())}
    return {**document, "results": results}


def number_faults(numbers: Sequence[int]) -> Faults:
    """Numbers that came again or went back, and those that never came between the first and the last."""
    repeated = missing = 0
    last = numbers[0] - 1 if numbers else 0
    for number in numbers:
        if number <= last:
            repeated += 1
        else:
            missing += number - last - 1
            last = number
    return Faults(repeated, missing)


def frame_numbers(video: bytes, fps: int) -> list[int]:
    """Of an MP4, decoded from its start to its end: the place of each picture in media time. Raises av.FFmpegError."""
    with av.open(io.BytesIO(video), "r") as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        return [round(frame.time * fps) for frame in container.decode(stream) if frame.time is not None]


def time_gaps(frames: Sequence[int]) -> int:
    """How often the next picture is not one frame after the one before."""
    return sum(after != before + 1 for before, after in pairwise(frames))


def stale_chunks(chunks: Iterable[Chunk]) -> int:
    """Entries of a session's chunk stream, in the order in which they were appended, that were there already.

    Who takes over goes on behind the last chunk that was appended. So one that is not above it is the older owner's.
    """
    return number_faults([chunk.chunk for chunk in chunks]).repeated


def stale_facts(entries: Iterable[AnyEntry]) -> int:
    """Timeline entries of chunks that were made before the session was taken over, appended after that was stated."""
    stale, first = 0, -1
    for entry in entries:
        chunk = getattr(entry, "chunk", None)
        if chunk is not None and chunk < first:
            stale += 1
        elif isinstance(entry, SessionMoved | SessionRewound):
            first = entry.chunk
    return stale


def differing(viewers: Sequence[Mapping[int, bytes]]) -> int:
    """Chunks that came to the viewers of one session as different bytes: two owners have published them."""
    seen: dict[int, set[bytes]] = {}
    for fragments in viewers:
        for chunk, data in fragments.items():
            seen.setdefault(chunk, set()).add(data)
    return sum(len(data) > 1 for data in seen.values())


def quantiles_of(values: Collection[float], digits: int = 2) -> dict[str, float] | None:
    """Count, median, 95th percentile and largest; None of nothing."""
    if not values:
        return None
    p50, p95 = np.percentile(list(values), [50, 95])
    return {
        "n": len(values),
        "p50": round(float(p50), digits),
        "p95": round(float(p95), digits),
        "max": round(max(values), digits),
    }


@dataclass(frozen=True)
class Crowd:
    """Live sessions of so many frames a second, and the share of what a generator may promise that they take."""

    sessions: int
    fps: int
    share: float


def crowd(chunk_seconds: float, wanted: int, slowest_fps: int, fps: int) -> Crowd:
    """As many sessions as half of a generator's capacity carries, at the frame rate that makes it `wanted`.

    More, where the model's own frame rate does; fewer, where its slowest is too fast. At least one.
    """
    frames_per_second = LOAD / 2 * CHUNK_FRAMES / chunk_seconds
    chosen = min(fps, max(slowest_fps, int(frames_per_second / wanted)))
    sessions = max(1, int(frames_per_second / chosen))
    if chosen < fps:
        sessions = min(sessions, wanted)
    return Crowd(sessions, chosen, round(sessions * chosen * chunk_seconds / CHUNK_FRAMES / LOAD, 3))
