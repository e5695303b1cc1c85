"""Fragments: frame counts, gapless media time, colours, and the same bytes from every process."""

from __future__ import annotations

import io
import subprocess
import sys

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from deployments import fmp4
from deployments.video_encoder import VideoConfig, encode_chunk, init_segment

CONFIG = VideoConfig(width=64, height=64, fps=16)


def scene(first_frame: int, frames: int) -> NDArray[np.uint8]:
    """A red disc that crosses a blue sky over green ground."""
    y, x = np.mgrid[0:64, 0:64]
    video = np.empty((frames, 64, 64, 3), np.uint8)
    video[:, :44], video[:, 44:] = (90, 160, 220), (60, 140, 70)
    for index in range(frames):
        centre = 32 + 18 * np.sin((first_frame + index) / 8)
        video[index, (x - centre) ** 2 + (y - 26) ** 2 < 144] = (220, 40, 40)
    return video


def chunks(count: int) -> list[tuple[int, int, int]]:
    """(chunk, first frame, frames) of the first `count` chunks: 9, 12, 12, ..."""
    return [(0, 0, 9), *((k, 9 + 12 * (k - 1), 12) for k in range(1, count))]


def encode(count: int) -> bytes:
    parts = [
        encode_chunk(CONFIG, scene(first, frames), chunk=k, first_frame=first) for k, first, frames in chunks(count)
    ]
    return b"".join(parts)


def decode(data: bytes) -> tuple[NDArray[np.uint8], list[int]]:
    """Frames [T, H, W, 3] and their frame numbers in media time."""
    with av.open(io.BytesIO(data)) as container:
        frames = list(container.decode(container.streams.video[0]))
    times = [round(float(f.pts * f.time_base) * CONFIG.fps) for f in frames]
    return np.stack([f.to_ndarray(format="rgb24") for f in frames]), times


def test_chunks_decode_to_their_frames_in_gapless_media_time() -> None:
    video, times = decode(init_segment(CONFIG).data + encode(5))
    assert len(video) == 9 + 12 * 4
    assert times == list(range(len(video)))


def test_any_fragment_after_the_init_segment_decodes_alone_at_its_own_time() -> None:
    late = encode_chunk(CONFIG, scene(5000, 12), chunk=416, first_frame=5001)
    _, times = decode(init_segment(CONFIG).data + late)
    assert times == list(range(5001, 5013))


def test_colours_survive_and_are_tagged() -> None:
    data = init_segment(CONFIG).data + encode(2)
    video, _ = decode(data)
    np.testing.assert_allclose(video[5, 2, 2], (90, 160, 220), atol=4)
    np.testing.assert_allclose(video[5, -2, 2], (60, 140, 70), atol=4)
    with av.open(io.BytesIO(data)) as container:
        codec = container.streams.video[0].codec_context
        tags = [int(codec.colorspace), int(codec.color_range), int(codec.color_primaries), int(codec.color_trc)]
    assert tags == [1, 1, 1, 1]


def test_fragments_hold_slices_only() -> None:
    part = encode_chunk(CONFIG, scene(0, 9), chunk=0, first_frame=0)
    payload, kinds = part[part.index(b"mdat") + 4 :], []
    while payload:
        size = int.from_bytes(payload[:4], "big")
        kinds.append(payload[4] & 31)
        payload = payload[4 + size :]
    assert kinds == [5] + [1] * 8


def test_codec_string_is_read_from_the_init_segment() -> None:
    segment = init_segment(CONFIG)
    assert segment.codec.startswith("avc1.42c0")
    with pytest.raises(ValueError, match="avcC"):
        fmp4.codec_string(b"not an init segment")


def test_two_processes_give_byte_equal_init_segments_and_fragments() -> None:
    script = (
        "import sys, numpy as np; from deployments.video_encoder import *;"
        "c = VideoConfig(width=64, height=64, fps=16);"
        "f = np.arange(9 * 64 * 64 * 3, dtype=np.uint32).reshape(9, 64, 64, 3).astype(np.uint8);"
        "sys.stdout.buffer.write(init_segment(c).data + encode_chunk(c, f, chunk=0, first_frame=0))"
    )
    one, two = (subprocess.run([sys.executable, "-c", script], capture_output=True, check=True) for _ in range(2))
    init = init_segment(CONFIG).data
    assert one.stdout == two.stdout
    assert one.stdout[: len(init)] == init


@pytest.mark.parametrize("shape", [(0, 64, 64, 3), (9, 32, 64, 3), (64, 64, 3)])
def test_frames_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="frames must be uint8"):
        encode_chunk(CONFIG, np.zeros(shape, np.uint8), chunk=0, first_frame=0)
