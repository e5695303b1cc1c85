"""Exports: exactly the recorded frames, from a time that begins at 0, and a state that is true to the end."""

from __future__ import annotations

import asyncio
import hashlib
import io
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from redis_store import Store
from synthetic_session import CONFIG, fragment, pixels

from deployments.export import Export, ExportFormat, ExportState
from deployments.exporter import Exporter, clear_scratch
from deployments.exports import Exports, NoSuchExport, Span, span
from deployments.media_store import MediaStore, NoSuchMedia, StoreFull
from deployments.recording import Recording, Segment
from deployments.session import chunk_first_frame
from deployments.thumbnails import Thumbnails
from deployments.video_config import VideoConfig
from deployments.video_encoder import VideoEncoder, init_segment

SID = "s1"
FPS = CONFIG.fps
CHUNKS = 11


async def record(store: MediaStore, chunks: range = range(CHUNKS), config: VideoConfig = CONFIG) -> list[bytes]:
    """Fragments of a session, stored as its owner does."""

    async def init() -> bytes:
        return init_segment(config).data

    kept = Recording(store, SID, init, pytest.fail)
    fragments = [fragment(SID, chunk, config) for chunk in chunks]
    for made in fragments:
        kept.add(made)
    await kept.flush()
    return [made.data for made in fragments]


def asked(kind: ExportFormat, chunks: range, eid: str = "e1", fps: int = FPS, **more: Any) -> Export:
    found = span([Segment(chunks.start, len(chunks))], fps, None, None)
    assert found is not None
    return Export(
        id=eid,
        session=SID,
        format=kind,
        start_seconds=found.start_seconds,
        end_seconds=found.end_seconds,
        first_chunk=found.first_chunk,
        end_chunk=found.end_chunk,
        frames=found.frames,
        fps=fps,
        created_at=1,
        **more,
    )


@pytest.fixture
def media(tmp_path: Path) -> MediaStore:
    return MediaStore(str(tmp_path / "media"))


@pytest.fixture
def exports(store: Store) -> Exports:
    return Exports(store.redis)


async def made(media: MediaStore, exports: Exports, export: Export) -> bytes:
    """The file of an export."""
    exporter = Exporter(media, exports)
    await exports.add(export)
    assert exporter.take(export)
    await exporter.finish()
    done = await exports.get(SID, export.id)
    assert (done.status, done.reason, done.progress) == (ExportState.completed, None, 1.0)
    data = await media.read(export.path)
    assert done.size == len(data)
    return data


def samples(video: bytes) -> list[str]:
    with av.open(io.BytesIO(video), "r") as container:
        return [hashlib.sha256(bytes(p)).hexdigest() for p in container.demux(video=0) if p.dts is not None]


def frames(video: bytes) -> tuple[NDArray[np.uint8], list[float]]:
    with av.open(io.BytesIO(video), "r") as container:
        found = list(container.decode(video=0))
    return np.stack([f.to_ndarray(format="rgb24") for f in found]), [float(f.time or 0.0) for f in found]


async def test_an_mp4_holds_the_recorded_frames_bit_by_bit_from_time_zero_with_its_index_in_front(
    media: MediaStore, exports: Exports
) -> None:
    recorded = await record(media)
    video = await made(media, exports, asked(ExportFormat.mp4, range(CHUNKS)))
    init = init_segment(CONFIG).data
    assert samples(video) == samples(init + b"".join(recorded))
    shown, times = frames(video)
    assert times == [pytest.approx(n / FPS, abs=1e-6) for n in range(9 + 12 * 10)]
    np.testing.assert_array_equal(shown, frames(init + b"".join(recorded))[0])
    assert video.index(b"moov") < video.index(b"mdat")
    assert b"moof" not in video
    with av.open(io.BytesIO(video), "r") as container:
        assert container.streams.video[0].frames == len(times)
        assert container.duration == pytest.approx(1e6 * len(times) / FPS, abs=1)


async def test_a_cut_has_exactly_its_chunks_and_can_be_sought_in(media: MediaStore, exports: Exports) -> None:
    recorded = await record(media)
    video = await made(media, exports, asked(ExportFormat.mp4, range(3, 9)))
    assert samples(video) == samples(init_segment(CONFIG).data + b"".join(recorded[3:9]))
    shown, times = frames(video)
    assert times == [pytest.approx(n / FPS, abs=1e-6) for n in range(72)]
    with av.open(io.BytesIO(video), "r") as container:
        container.seek(int(2.5 * 1e6))
        first = next(container.decode(video=0))
        assert 0 < (first.time or 0.0) <= 2.5
        np.testing.assert_array_equal(first.to_ndarray(format="rgb24"), shown[round((first.time or 0.0) * FPS)])


@pytest.mark.parametrize(("fps", "kept"), [(16, 81), (24, 41)])
async def test_a_webp_moves_in_the_time_of_the_video(media: MediaStore, exports: Exports, fps: int, kept: int) -> None:
    config = VideoConfig(width=64, height=64, fps=fps)
    await record(media, range(7), config)
    image = Image.open(io.BytesIO(await made(media, exports, asked(ExportFormat.webp, range(7), fps=fps))))
    assert (image.format, image.n_frames, image.info["loop"]) == ("WEBP", kept, 0)  # type: ignore[attr-defined]
    assert sum(durations(image)) == pytest.approx(1000 * 81 / fps, abs=1000 / fps)
    image.seek(1)
    step = round(80 / (kept - 1))
    seen, expected = np.asarray(image.convert("RGB")), pixels(step, 1, config)[0]
    np.testing.assert_allclose(seen[60, 60], expected[60, 60], atol=8)
    np.testing.assert_allclose(seen[2 * step + 4, 32], (220, 40, 40), atol=12)


async def test_a_gif_has_one_palette_half_the_frames_and_the_time_of_the_video(
    media: MediaStore, exports: Exports
) -> None:
    await record(media, range(2, 7))
    image = Image.open(io.BytesIO(await made(media, exports, asked(ExportFormat.gif, range(2, 7)))))
    assert (image.format, image.n_frames, image.info["loop"]) == ("GIF", 30, 0)  # type: ignore[attr-defined]
    assert sum(durations(image)) == pytest.approx(1000 * 60 / FPS, abs=20)
    image.seek(3)
    seen = np.asarray(image.convert("RGB"))
    expected = pixels(chunk_first_frame(2) + 6, 1)[0]
    np.testing.assert_allclose(seen[:40].mean((0, 1)), expected[:40].mean((0, 1)), atol=8)


async def test_moving_pictures_of_a_large_video_are_scaled_down(media: MediaStore, exports: Exports) -> None:
    config = VideoConfig(width=832, height=480, fps=16)
    await record(media, range(2), config)
    for kind, size in ((ExportFormat.webp, (480, 276)), (ExportFormat.gif, (320, 184))):
        image = Image.open(io.BytesIO(await made(media, exports, asked(kind, range(2), eid=kind))))
        assert image.size == size


def durations(image: Image.Image) -> list[int]:
    found = []
    for index in range(image.n_frames):  # type: ignore[attr-defined]
        image.seek(index)
        image.load()
        found.append(image.info["duration"])
    return found


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (None, None, Span(0, 12, 141, 0.0, 141 / 16)),
        (0.0, 0.5, Span(0, 1, 9, 0.0, 9 / 16)),
        (0.5625, 1.3125, Span(1, 2, 12, 9 / 16, 21 / 16)),  # the borders of chunk 1
        (0.56, 1.32, Span(0, 3, 33, 0.0, 33 / 16)),
        (8.8, 100.0, Span(11, 12, 12, 129 / 16, 141 / 16)),
        (8.8125, 100.0, None),
    ],
)
def test_a_span_is_every_chunk_that_holds_a_frame_of_it(
    start: float | None, end: float | None, expected: Span | None
) -> None:
    found = span([Segment(0, 4), Segment(4, 4), Segment(8, 4)], 16, start, end)
    assert found == expected


def test_a_span_over_a_hole_counts_the_frames_that_are_there() -> None:
    assert span([Segment(0, 4), Segment(8, 4)], 16, None, None) == Span(0, 12, 93, 0.0, 141 / 16)


def test_a_span_of_what_begins_in_the_middle_says_where_that_is() -> None:
    fork = [Segment(5, 3), Segment(8, 4)]
    assert span(fork, 16, 0.0, None) == Span(5, 12, 84, 57 / 16, 141 / 16)
    assert span(fork, 16, 0.0, 1.0) is None


async def test_exports_wait_for_their_turn_and_say_how_far_they_are(
    media: MediaStore, exports: Exports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployments.exporter.PROGRESS_SECONDS", 0.0)
    await record(media)
    said: list[tuple[str, ExportState, float]] = []
    update = exports.update

    async def noted(export: Export) -> bool:
        said.append((export.id, export.status, export.progress))
        return await update(export)

    monkeypatch.setattr(exports, "update", noted)
    exporter = Exporter(media, exports)
    for eid in ("e1", "e2"):
        export = asked(ExportFormat.mp4, range(CHUNKS), eid)
        await exports.add(export)
        exporter.take(export)
    await exporter.finish()
    running = ExportState.running
    one = [("e1", running, 0.0), ("e1", running, 0.25), ("e1", running, 0.5), ("e1", running, 0.75)]
    assert said[:5] == [*one, ("e1", ExportState.completed, 1.0)]
    assert {eid for eid, _, _ in said[5:]} == {"e2"}  # which was queued until then
    assert [export.id for export in await exports.list(SID)] == ["e2", "e1"]


async def test_an_export_whose_maker_is_gone_reads_as_failed(exports: Exports, store: Store) -> None:
    silent = Exports(store.redis, silent_seconds=0.05)
    await silent.add(asked(ExportFormat.mp4, range(4), status=ExportState.running))
    assert (await exports.get(SID, "e1")).status is ExportState.running
    async with asyncio.timeout(10):
        while (await exports.get(SID, "e1")).status is ExportState.running:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    dead = await exports.get(SID, "e1")
    assert dead.status is ExportState.failed
    assert "Ask for the export again" in str(dead.reason)
    await exports.beat(SID, "e1")  # as it would if it had only been slow
    assert (await exports.get(SID, "e1")).status is ExportState.running


async def test_an_export_into_a_full_store_fails_with_the_reason(media: MediaStore, exports: Exports) -> None:
    await record(media)
    media.put = full  # type: ignore[method-assign]
    exporter = Exporter(media, exports)
    export = asked(ExportFormat.mp4, range(CHUNKS))
    await exports.add(export)
    exporter.take(export)
    await exporter.finish()
    failed = await exports.get(SID, "e1")
    assert failed.status is ExportState.failed
    assert "media store is full" in str(failed.reason)


async def full(*_: object) -> None:
    raise StoreFull("quota")


async def test_an_export_of_a_damaged_recording_fails_and_the_next_one_is_made(
    media: MediaStore, exports: Exports
) -> None:
    await record(media)
    await media.write(Segment(4, 4).path(SID), b"not a video")
    exporter = Exporter(media, exports)
    for eid, chunks in (("e1", range(CHUNKS)), ("e2", range(4))):
        await exports.add(asked(ExportFormat.mp4, chunks, eid))
        exporter.take(asked(ExportFormat.mp4, chunks, eid))
    await exporter.finish()
    assert (await exports.get(SID, "e1")).status is ExportState.failed
    assert (await exports.get(SID, "e2")).status is ExportState.completed


async def test_a_forgotten_export_is_not_made(media: MediaStore, exports: Exports) -> None:
    await record(media)
    export = asked(ExportFormat.mp4, range(CHUNKS))
    await exports.add(export)
    await exports.forget(SID)
    exporter = Exporter(media, exports)
    exporter.take(export)
    await exporter.finish()
    assert not await media.exists(export.path)
    with pytest.raises(NoSuchExport):
        await exports.get(SID, "e1")


async def test_chunks_that_two_owners_recorded_are_exported_once(media: MediaStore, exports: Exports) -> None:
    recorded = await record(media, range(6))
    await media.write(Segment(5, 2).path(SID), recorded[5] + fragment(SID, 6).data)
    video = await made(media, exports, asked(ExportFormat.mp4, range(7)))
    assert len(samples(video)) == 9 + 12 * 6


async def test_a_poster_comes_from_the_recording_else_from_a_thumbnail(media: MediaStore, exports: Exports) -> None:
    exporter = Exporter(media, exports)
    with pytest.raises(NoSuchMedia):
        await exporter.poster(SID, None, FPS)
    small = Thumbnails(media, SID, VideoEncoder().thumbnail)
    for chunk in (0, 4, 8):
        small.add(chunk, pixels(chunk_first_frame(chunk), 1), prompt_changed=False)
    await small.flush()
    assert jpeg_shows(await exporter.poster(SID, 3.0, FPS), chunk_first_frame(4))
    assert jpeg_shows(await exporter.poster(SID, None, FPS), chunk_first_frame(8))
    await record(media)
    assert jpeg_shows(await exporter.poster(SID, 2.0, FPS), chunk_first_frame(2))
    assert jpeg_shows(await exporter.poster(SID, 0.0, FPS), 0)
    assert jpeg_shows(await exporter.poster(SID, None, FPS), chunk_first_frame(10))


def jpeg_shows(data: bytes, frame: int) -> bool:
    image = Image.open(io.BytesIO(data))
    assert image.format == "JPEG"
    seen, expected = np.asarray(image.convert("RGB")).astype(int), pixels(frame, 1)[0].astype(int)
    return bool(np.abs(seen - expected).mean() < 8)


def test_what_a_killed_exporter_left_is_deleted_and_what_a_living_one_uses_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    program = """
import sys, tempfile
from deployments import exporter
tempfile.tempdir = sys.argv[1]
with exporter._scratch() as folder:
    (folder / "clip.mp4").write_bytes(b"half of it")
    print("ready", flush=True)
    sys.stdin.read()
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        clear_scratch()
        assert [file.name for file in tmp_path.rglob("*.mp4")] == ["clip.mp4"]
        process.kill()
    clear_scratch()
    assert list(tmp_path.iterdir()) == []
