"""What makes the files of exports: reads recorded segments, writes one file, says how far it is."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from redis.exceptions import RedisError

from deployments import fmp4, images, logs, thumbnails
from deployments.clips import CLIPS
from deployments.exports import BEAT_SECONDS, Export, Exports, ExportState
from deployments.logs import about
from deployments.media_store import MediaError, MediaStore, NoSuchMedia
from deployments.recording import Segment, init_path, recorded
from deployments.session import chunk_at, chunk_first_frame
from deployments.settings import Settings
from deployments.store import connect

MOST_WAITING = 50
PROGRESS_SECONDS = 0.5
SCRATCH = "longlive-export-"
NICE = 10  # live video goes first
log = logging.getLogger(__name__)


class Forgotten(Exception):
    """The session is gone, so nobody wants the export."""


class Exporter:
    """Makes one export after the other; the others wait for their turn. Memory does not grow with a video's length.

    For one event loop; what costs time runs in threads.
    """

    def __init__(self, store: MediaStore, exports: Exports) -> None:
        self._store = store
        self._exports = exports
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, export: Export) -> bool:
        """Have it made, now or after those before it. False: too many wait already."""
        if len(self._tasks) >= MOST_WAITING:
            return False
        task = asyncio.create_task(self._run(export), name=f"export {export.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def finish(self) -> None:
        """Returns when everything taken is made."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def poster(self, sid: str, at: float | None, fps: int) -> bytes:
        """A JPEG of the video at a time in seconds, by default of its newest part.

        From the recording, at the beginning of the chunk of that time; else from the nearest thumbnail. Raises
        NoSuchMedia if there is neither.
        """
        segments = await recorded(self._store, sid)
        chunk = None if at is None else max(0, chunk_at(int(at * fps) + 1) - 1)
        if segments and (chunk is None or chunk > segments[-1].chunks[-1]):
            chunk = segments[-1].chunks[-1]
        for segment in segments:
            if chunk is not None and chunk in segment.chunks:
                parts = fmp4.parts(await self._store.read(segment.path(sid)))
                data = b"".join(part.data for part in parts if part.first_frame == chunk_first_frame(chunk))
                init = await self._store.read(init_path(sid))
                return await asyncio.to_thread(_jpeg, init + data)
        known = await thumbnails.stored(self._store, sid)
        if not known:
            raise NoSuchMedia(f"{sid}/poster.jpg")
        nearest = known[-1] if chunk is None else min(known, key=lambda other: abs(other - chunk))
        return await asyncio.to_thread(_jpeg, await self._store.read(thumbnails.path(sid, nearest)))

    async def _run(self, export: Export) -> None:
        with about(export.session):
            beating = asyncio.create_task(self._beat(export))
            try:
                async with self._turn:
                    export = await self._make(export)
            except Forgotten:
                return
            except Exception as error:
                export = export.model_copy(update={"status": ExportState.failed, "reason": _reason(error)})
            finally:
                beating.cancel()
            log.info("export %s has %s", export.id, export.status)
            await self._settle(export)

    async def _make(self, export: Export) -> Export:
        export = await self._say(export.model_copy(update={"status": ExportState.running}))
        init = await self._store.read(init_path(export.session))
        segments = [
            segment
            for segment in await recorded(self._store, export.session)
            if segment.first_chunk < export.end_chunk and segment.chunks[-1] >= export.first_chunk
        ]
        with _scratch() as folder:
            file = folder / f"clip.{export.format}"
            clip = await asyncio.to_thread(CLIPS[export.format], file, init, export.fps)
            steps, done, said = clip.passes * len(segments) + 1, 0, 0.0
            for _ in range(clip.passes):
                async for fragments in self._fragments(export, segments):
                    await asyncio.to_thread(clip.add, fragments)
                    done += 1
                    if (now := asyncio.get_running_loop().time()) - said >= PROGRESS_SECONDS:
                        said, export = (
                            now,
                            await self._say(export.model_copy(update={"progress": round(done / steps, 3)})),
                        )
                await asyncio.to_thread(clip.end_pass)
            await self._store.put(file, export.path)
            size = file.stat().st_size
        return export.model_copy(update={"status": ExportState.completed, "progress": 1.0, "size": size})

    async def _fragments(self, export: Export, segments: list[Segment]) -> AsyncIterator[bytes]:
        """Those of each segment that belong to the export, each chunk once."""
        frame, end = chunk_first_frame(export.first_chunk), chunk_first_frame(export.end_chunk)
        for segment in segments:
            found = []
            for part in fmp4.parts(await self._store.read(segment.path(export.session))):
                if frame <= part.first_frame < end:
                    found.append(part.data)
                    frame = part.first_frame + part.frames
            if found:
                yield b"".join(found)

    async def _say(self, export: Export) -> Export:
        """Raises Forgotten. A Redis that is away hears it later."""
        try:
            if not await self._exports.update(export):
                raise Forgotten
        except RedisError as error:
            log.warning("not said: %s", error)
        return export

    async def _settle(self, export: Export) -> None:
        """Have the end of it known, and the file gone if nobody will."""
        for _ in range(10):
            try:
                if not await self._exports.update(export) and export.status is ExportState.completed:
                    await self._store.delete(export.path)
                return
            except RedisError as error:
                log.warning("not said yet: %s", error)
                await asyncio.sleep(BEAT_SECONDS)
            except MediaError as error:
                log.warning("not deleted: %s", error)
                return

    async def _beat(self, export: Export) -> None:
        while True:
            with contextlib.suppress(RedisError):
                await self._exports.beat(export.session, export.id)
            await asyncio.sleep(BEAT_SECONDS)


class ExporterReplica:
    """The deployment."""

    def __init__(self, settings: Settings, redis_url: str) -> None:
        logs.configure(settings.log_level)
        os.nice(NICE)
        clear_scratch()
        self._exporter = Exporter(MediaStore(settings.store_url), Exports(connect(redis_url)))

    async def take(self, export: Export) -> bool:
        """As Exporter.take."""
        return self._exporter.take(export)

    async def poster(self, sid: str, at: float | None, fps: int) -> bytes:
        """As Exporter.poster."""
        return await self._exporter.poster(sid, at, fps)


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """A folder of its own. It is locked while it is used, and a lock ends with its process, however that ends."""
    with tempfile.TemporaryDirectory(prefix=SCRATCH) as folder, _locked(Path(folder)):
        yield Path(folder)


def clear_scratch() -> None:
    """Delete what exporters that were killed have left."""
    for folder in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*"):
        with contextlib.suppress(OSError), _locked(folder):  # one that is in use, or somebody else's, stays
            shutil.rmtree(folder, ignore_errors=True)
            log.info("deleted what a killed exporter had left: %s", folder)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Raises OSError where another holds it."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(opened)


def _jpeg(video: bytes) -> bytes:
    return images.poster(images.decoded(video))


def _reason(error: Exception) -> str:
    if isinstance(error, MediaError):
        log.warning("export failed: %s", error)
        return str(error)
    log.error("export failed", exc_info=error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"The disk for temporary files is full: make room in {tempfile.gettempdir()}, or set TMPDIR."
    return "The file could not be made; the log says why."
