"""Exports: a stretch of a recorded session as one file. What was asked for, how far it is; kept in Redis."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from deployments.export import Export, ExportState
from deployments.recording import Segment
from deployments.session import chunk_first_frame, chunk_frames
from deployments.store import SessionError

MOST_KEPT = 100
MOST_PICTURES_SECONDS = 60.0
BEAT_SECONDS = 5.0
SILENT_SECONDS = 20.0
DEAD = "The part of the service that made this file is gone. Ask for the export again."


@dataclass(frozen=True)
class Span:
    """Whole recorded chunks [first_chunk, end_chunk) of a video, and where they lie in it."""

    first_chunk: int
    end_chunk: int
    frames: int
    start_seconds: float
    end_seconds: float


def span(segments: Sequence[Segment], fps: int, start: float | None, end: float | None) -> Span | None:
    """The recorded chunks that hold the frames of seconds [start, end) (None: from the first, to the last).

    None if nothing of that is recorded.
    """
    first_frame = 0 if start is None else math.floor(start * fps + 1e-6)
    end_frame = math.inf if end is None else math.ceil(end * fps - 1e-6)
    chunks = sorted(
        {
            chunk
            for segment in segments
            for chunk in segment.chunks
            if chunk_first_frame(chunk + 1) > first_frame and chunk_first_frame(chunk) < end_frame
        }
    )
    if not chunks:
        return None
    first, last = chunks[0], chunks[-1]
    return Span(
        first,
        last + 1,
        sum(chunk_frames(chunk) for chunk in chunks),
        chunk_first_frame(first) / fps,
        chunk_first_frame(last + 1) / fps,
    )


class NoSuchExport(SessionError):
    def __init__(self, sid: str, eid: str) -> None:
        super().__init__(sid, eid)
        self.sid, self.eid = sid, eid

    def __str__(self) -> str:
        return f"Session {self.sid!r} has no export {self.eid[:64]!r}: its exports lists those that it has."


class Exports:
    """The exports of all sessions. Whoever has taken one must `beat` for it, or it reads as failed.

    Every call raises redis.RedisError when Redis cannot be reached.
    """

    def __init__(self, redis: Redis, silent_seconds: float = SILENT_SECONDS) -> None:
        self._redis = redis
        self._silent_ms = int(silent_seconds * 1000)
        self._update_script = redis.register_script(
            "if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end\n"
            "redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])\nreturn 1"
        )

    async def add(self, export: Export) -> None:
        """Keep a new one, which somebody has to take within SILENT_SECONDS."""
        await self.beat(export.session, export.id)
        await self._redis.hset(_key(export.session), export.id, export.model_dump_json())

    async def update(self, export: Export) -> bool:
        """False: it was forgotten meanwhile, so nobody wants it."""
        return bool(await self._update_script(keys=[_key(export.session)], args=[export.id, export.model_dump_json()]))

    async def beat(self, sid: str, eid: str) -> None:
        """Say that somebody works on it, or has it in a queue."""
        await self._redis.set(_beat_key(sid, eid), "1", px=self._silent_ms)

    async def get(self, sid: str, eid: str) -> Export:
        """Raises NoSuchExport."""
        said: Any = await self._redis.hget(_key(sid), eid)
        if said is None:
            raise NoSuchExport(sid, eid)
        return await self._read(said)

    async def list(self, sid: str) -> list[Export]:
        """Newest first."""
        said: Any = await self._redis.hvals(_key(sid))
        found = [await self._read(text) for text in said]
        return sorted(found, key=lambda export: (export.created_at, export.id), reverse=True)

    async def remove(self, sid: str, eid: str) -> None:
        await self._redis.hdel(_key(sid), eid)

    async def forget(self, sid: str) -> None:
        """All of a session."""
        await self._redis.delete(_key(sid))

    async def _read(self, said: str) -> Export:
        export = Export.model_validate(json.loads(said))
        if export.status.over or await self._redis.exists(_beat_key(export.session, export.id)):
            return export
        # It may have been completed since it was read.
        again: Any = await self._redis.hget(_key(export.session), export.id)
        newer = export if again is None else Export.model_validate(json.loads(again))
        if newer.status.over:
            return newer
        return newer.model_copy(update={"status": ExportState.failed, "reason": DEAD})


def _key(sid: str) -> str:
    return f"{{{sid}}}:exports"


def _beat_key(sid: str, eid: str) -> str:
    return f"{{{sid}}}:export:{eid}"
