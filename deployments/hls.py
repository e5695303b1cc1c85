"""A session's fragments as a low-latency HLS playlist (RFC 8216bis): a part is a fragment, a segment is four.

Segment 0 is chunk 0 alone: it is shorter, and only the last part of a segment may be. Numbers follow from the chunk's,
so every ingress counts alike and a playlist that begins later has the same names for the same video.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from deployments.fragments import Fragment
from deployments.session import chunk_frames

PARTS = 4
LISTED = 4
"""Whole segments in a playlist: 12 s at the model's rate. A player starts three segments, or three parts, behind."""
DETAILED = 3
"""Newest segments whose parts are listed too."""


def place(chunk: int) -> tuple[int, int]:
    """Media sequence number of a chunk's segment, and its part there."""
    return (0, 0) if chunk == 0 else ((chunk + PARTS - 1) // PARTS, (chunk - 1) % PARTS)


def chunk_at(segment: int, part: int = 0) -> int:
    """The chunk at a place. A part behind a segment's last is one of the next segment, as the RFC has it."""
    return part if segment == 0 else PARTS * (segment - 1) + 1 + part


def chunks_of(segment: int) -> range:
    return range(chunk_at(segment), chunk_at(segment + 1))


def target_seconds(fps: int) -> int:
    """No segment is longer."""
    return math.ceil(PARTS * chunk_frames(1) / fps)


def first_segment(kept: Sequence[Fragment]) -> int:
    """The first that was here from its first part on; what a playlist begins with."""
    chunk = kept[0].chunk if kept else 0
    segment, part = place(chunk)
    return segment if part == 0 else segment + 1


def whole(segment: int, kept: Sequence[Fragment], over: bool = False) -> bool:
    """Whether a segment is complete: its last chunk, or one after it, is here. The last one of all is when it is over.

    It may have gaps all the same.
    """
    newest = kept[-1].chunk if kept else -1
    return newest >= chunks_of(segment)[-1] or (over and newest in chunks_of(segment))


def segment_data(segment: int, kept: Sequence[Fragment], over: bool = False) -> bytes | None:
    """The bytes of a complete segment without gaps; None of any other."""
    chunks = chunks_of(segment)
    parts = [fragment for fragment in kept if fragment.chunk in chunks]
    wanted = parts[-1].chunk - chunks[0] + 1 if parts and over else len(chunks)
    if not whole(segment, kept, over) or len(parts) != wanted:
        return None
    return b"".join(fragment.data for fragment in parts)


def playlist(kept: Sequence[Fragment], fps: int, over: bool = False) -> str:
    """What a player needs to go on with these fragments, oldest first; `over`: there will be no others.

    A fragment that never came here is a gap: its part and its segment are there by name and time, without data.
    """
    part_seconds = chunk_frames(1) / fps
    here = {fragment.chunk: fragment for fragment in kept}
    newest = kept[-1].chunk if kept else -1
    growing = place(newest)[0] if kept else 0
    if kept and whole(growing, kept, over):
        growing += 1
    first = max(first_segment(kept), growing - LISTED)
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:9",
        f"#EXT-X-TARGETDURATION:{target_seconds(fps)}",
        f"#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={3 * part_seconds:.5f}",
        f"#EXT-X-PART-INF:PART-TARGET={part_seconds:.5f}",
        f"#EXT-X-MEDIA-SEQUENCE:{first}",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        '#EXT-X-MAP:URI="../init.mp4"',
    ]
    for segment in range(first, growing + 1):
        chunks = [chunk for chunk in chunks_of(segment) if chunk <= newest]
        if segment > growing - DETAILED:
            lines += (_part(chunk, here, fps) for chunk in chunks)
        if segment < growing:
            lines += _segment(segment, chunks, here, fps)
    if over:
        return "\n".join([*lines, "#EXT-X-ENDLIST", ""])
    hint = "{}.{}.m4s".format(*place(max(newest + 1, chunk_at(first))))
    return "\n".join([*lines, f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="{hint}"', ""])


def _part(chunk: int, here: Mapping[int, Fragment], fps: int) -> str:
    segment, part = place(chunk)
    state = "INDEPENDENT=YES" if chunk in here else "GAP=YES"
    return f'#EXT-X-PART:DURATION={_frames(chunk, here) / fps:.5f},URI="{segment}.{part}.m4s",{state}'


def _segment(segment: int, chunks: Sequence[int], here: Mapping[int, Fragment], fps: int) -> list[str]:
    frames = sum(_frames(chunk, here) for chunk in chunks)
    gap = [] if all(chunk in here for chunk in chunks) else ["#EXT-X-GAP"]
    return [*gap, f"#EXTINF:{frames / fps:.5f},", f"{segment}.m4s"]


def _frames(chunk: int, here: Mapping[int, Fragment]) -> int:
    return here[chunk].frames if chunk in here else chunk_frames(chunk)
