"""Fragmented MP4 (ISO/IEC 14496-12) as this service writes it: one H.264 track, one fragment per chunk."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

TICKS_PER_FRAME = 1000
_NAL_SLICE, _NAL_IDR = 1, 5
_SYNC_SAMPLE, _DEPENDENT_SAMPLE = 0x02000000, 0x01010000


class Sample(NamedTuple):
    """One coded frame: its length-prefixed slices and whether decoding can start here."""

    data: bytes
    keyframe: bool


def nal_units(annex_b: bytes) -> Iterator[bytes]:
    """The NAL units of an Annex B byte stream, without start codes."""
    start = annex_b.find(b"\0\0\1")
    while start >= 0:
        after = annex_b.find(b"\0\0\1", start + 3)
        # A four-byte start code leaves its first zero at the end of the unit before it; no unit ends in a zero byte.
        yield annex_b[start + 3 : after if after >= 0 else None].rstrip(b"\0")
        start = after


def sample(annex_b: bytes) -> Sample:
    """An encoder's packet as a sample. Only slices stay: the init segment has the parameter sets."""
    slices = [unit for unit in nal_units(annex_b) if unit[0] & 31 in (_NAL_SLICE, _NAL_IDR)]
    data = b"".join(struct.pack(">I", len(unit)) + unit for unit in slices)
    return Sample(data, keyframe=any(unit[0] & 31 == _NAL_IDR for unit in slices))


def fragment(samples: Sequence[Sample], *, sequence: int, first_frame: int) -> bytes:
    """One moof + mdat that starts at `first_frame` of media time; the track's timescale is TICKS_PER_FRAME * fps."""

    def moof(data_offset: int) -> bytes:
        rows = b"".join(
            struct.pack(">III", TICKS_PER_FRAME, len(s.data), _SYNC_SAMPLE if s.keyframe else _DEPENDENT_SAMPLE)
            for s in samples
        )
        track = [
            _full_box(b"tfhd", 0, 0x020000, struct.pack(">I", 1)),  # default-base-is-moof
            _full_box(b"tfdt", 1, 0, struct.pack(">Q", first_frame * TICKS_PER_FRAME)),
            # data offset, and for each sample its duration, size and flags
            _full_box(b"trun", 0, 0x000701, struct.pack(">Ii", len(samples), data_offset), rows),
        ]
        return _box(b"moof", _full_box(b"mfhd", 0, 0, struct.pack(">I", sequence)), _box(b"traf", *track))

    mdat_header = 8
    return moof(len(moof(0)) + mdat_header) + _box(b"mdat", *(s.data for s in samples))


class Part(NamedTuple):
    """A fragment among others: its bytes, the media time of its first frame, how many frames it has."""

    data: bytes
    first_frame: int
    frames: int


def parts(data: bytes) -> Iterator[Part]:
    """The fragments that `data` consists of, as `fragment` wrote them. Raises ValueError if it is anything else."""
    start = 0
    while start < len(data):
        moof = _size(data, start, b"moof")
        mdat = _size(data, start + moof, b"mdat")
        head = data[start : start + moof]
        time, run = head.find(b"tfdt"), head.find(b"trun")
        if time < 0 or run < 0:
            raise ValueError(f"the fragment at byte {start} has no time or no frames")
        (ticks,) = struct.unpack_from(">Q", head, time + 8)
        (frames,) = struct.unpack_from(">I", head, run + 8)
        end = start + moof + mdat
        yield Part(data[start:end], ticks // TICKS_PER_FRAME, frames)
        start = end


def codec_string(init_segment: bytes) -> str:
    """The RFC 6381 name of an init segment's codec, such as `avc1.42c00b`; MSE wants it before the first byte."""
    at = init_segment.find(b"avcC")
    if at < 0:
        raise ValueError("the init segment has no avcC box: it is not H.264")
    profile, compatibility, level = init_segment[at + 5 : at + 8]
    return f"avc1.{profile:02x}{compatibility:02x}{level:02x}"


def _size(data: bytes, at: int, kind: bytes) -> int:
    """Length of the box at a place; it must be of a kind, and whole."""
    size = int.from_bytes(data[at : at + 4], "big")
    if data[at + 4 : at + 8] != kind or size < 8 or at + size > len(data):
        raise ValueError(f"no whole {kind.decode()} box at byte {at} of {len(data)}")
    return size


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _full_box(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    return _box(kind, struct.pack(">I", version << 24 | flags), *parts)
