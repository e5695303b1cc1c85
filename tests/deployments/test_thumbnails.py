"""Thumbnails and posters: small, in the colours of the video, and never in the way of it."""

from __future__ import annotations

import asyncio
import errno
import io
import logging
from pathlib import Path

import numpy as np
import pytest
from av.video.frame import VideoFrame
from fsspec.implementations.local import LocalFileSystem
from numpy.typing import NDArray
from PIL import Image
from synthetic_session import pixels

from deployments import images, thumbnails
from deployments.media_store import MediaStore
from deployments.thumbnails import Thumbnails
from deployments.video_config import VideoConfig
from deployments.video_encoder import VideoEncoder

SID = "s1"
WIDE = VideoConfig(width=832, height=480, fps=16)


def picture(data: bytes) -> tuple[str | None, NDArray[np.uint8]]:
    """What another reader than ours makes of it."""
    image = Image.open(io.BytesIO(data))
    return image.format, np.asarray(image.convert("RGB"))


@pytest.mark.parametrize(("config", "size"), [(WIDE, (92, 160)), (VideoConfig(width=64, height=64, fps=16), (64, 64))])
def test_a_thumbnail_is_a_small_webp_in_the_colours_of_the_video(config: VideoConfig, size: tuple[int, int]) -> None:
    frame = pixels(3, 1, config)[0]
    data = images.thumbnail(frame)
    kind, seen = picture(data)
    assert (kind, seen.shape[:2]) == ("WEBP", size)
    assert len(data) < 4096
    np.testing.assert_allclose(seen[-4, 4], frame[-4, 4], atol=8)


def test_a_poster_is_a_jpeg_of_the_size_of_the_video() -> None:
    frame = pixels(3, 1, WIDE)[0]
    kind, seen = picture(images.poster(VideoFrame.from_ndarray(frame, format="rgb24")))
    assert (kind, seen.shape) == ("JPEG", (480, 832, 3))
    np.testing.assert_allclose(seen[10, 100], (220, 40, 40), atol=8)
    np.testing.assert_allclose(seen[300, 100], frame[300, 100], atol=8)


async def test_every_fourth_chunk_and_those_with_a_new_prompt_get_one(tmp_path: Path) -> None:
    store = MediaStore(str(tmp_path))
    made = Thumbnails(store, SID, VideoEncoder().thumbnail)
    for chunk in range(11):
        made.add(chunk, pixels(chunk, 2), prompt_changed=chunk == 6)
        await made.flush()
    assert await thumbnails.stored(store, SID) == [0, 4, 6, 8]
    _, old = picture(await store.read(thumbnails.path(SID, 4)))
    _, new = picture(await store.read(thumbnails.path(SID, 6)))
    np.testing.assert_allclose(old[60, 60], pixels(4, 1)[0][60, 60], atol=8)
    np.testing.assert_allclose(new[60, 60], pixels(7, 1)[0][60, 60], atol=8)  # its last frame: there the prompt shows


async def test_a_full_store_is_said_once_and_nobody_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(LocalFileSystem, "pipe_file", full)
    made = Thumbnails(MediaStore(str(tmp_path)), SID, VideoEncoder().thumbnail)
    with caplog.at_level(logging.WARNING):
        for chunk in range(0, 24, 4):
            made.add(chunk, pixels(0, 1), prompt_changed=False)
            await made.flush()
    assert [record.getMessage() for record in caplog.records if "no thumbnails" in record.getMessage()] == [
        "no thumbnails: The media store is full (No space left on device). "
        "Make room in it, or set LONGLIVE_STORE to a larger one."
    ]


async def test_a_slow_encoder_costs_thumbnails_and_no_memory(tmp_path: Path) -> None:
    store = MediaStore(str(tmp_path))
    go_on = asyncio.Event()
    asked = 0

    async def slow(frame: NDArray[np.uint8]) -> bytes:
        nonlocal asked
        asked += 1
        await go_on.wait()
        return images.thumbnail(frame)

    made = Thumbnails(store, SID, slow)
    for chunk in range(0, 400, 4):
        made.add(chunk, pixels(0, 1), prompt_changed=False)
        await asyncio.sleep(0)
    assert asked == thumbnails.MOST_IN_FLIGHT
    go_on.set()
    await made.flush()
    assert await thumbnails.stored(store, SID) == [0, 4, 8, 12]


async def test_a_session_that_begins_in_the_middle_has_a_picture_of_its_first_chunk(tmp_path: Path) -> None:
    store = MediaStore(str(tmp_path))
    made = Thumbnails(store, SID, VideoEncoder().thumbnail, first=5)
    for chunk in (5, 6, 7):
        made.add(chunk, pixels(chunk, 1), prompt_changed=False)
    await made.flush()
    assert await thumbnails.stored(store, SID) == [5]
