"""Generators that are a double, with a video that a browser can play: synthetic pictures, as fast as they are shown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import torch
from api_parts import OWNER, VIEW, Parts, served
from redis_store import Store
from synthetic_session import fragment

from deployments.entries import Chunk, PauseReason, SessionLive, SessionMoved, SessionPaused, SessionRewound
from deployments.fragments import FragmentRing
from deployments.placement import TakeOver
from deployments.session import Session, chunk_first_frame, chunk_frames
from deployments.snapshot_shelves import SnapshotsAway
from deployments.stopping import stop
from deployments.video_config import InitSegment, VideoConfig
from deployments.video_encoder import init_segment
from longlive.rollout_state import RolloutState
from longlive.snapshot import Snapshot

CONFIG = VideoConfig(width=VIEW.width, height=VIEW.height, fps=VIEW.fps)
CHUNK_SECONDS = chunk_frames(1) / VIEW.fps


def snapshot(chunk: int) -> Snapshot:
    """One that nobody restores."""
    state = RolloutState("m", 7, chunk, torch.zeros(1, 1, 1), torch.empty(1, 0, 1), None, (), (), 0, 0)
    return Snapshot.take("m", state, 3, torch.float32)


class PlayingParts(Parts):
    """Every session that is taken goes on by itself, chunk by chunk, until a test stops it.

    One can go back to before chunk `kept_from` or a later one.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.kept_from = 0
        self._makers: dict[str, asyncio.Task[None]] = {}

    async def take(self, sid: str, take_over: TakeOver | None = None, not_to: tuple[str, ...] = ()) -> Session:
        session = await super().take(sid, take_over, not_to)
        self.go_on(sid)
        return session

    def go_on(self, sid: str) -> None:
        self._makers[sid] = asyncio.create_task(self._make_on(sid))

    async def stand_still(self, sid: str) -> None:
        """Its generator makes nothing more."""
        await stop([self._makers.pop(sid)])

    async def move(self, sid: str) -> None:
        """A session that stands still goes on with another generator."""
        self.fences[sid] = await self.leases.claim(sid, OWNER)
        await self.state(sid, SessionMoved(cause="lost", **await self._where(sid)))
        self.go_on(sid)

    async def rewind(self, sid: str, chunk: int, prompt: str) -> None:
        """Its generator has it go on as it was before `chunk`."""
        await self.stand_still(sid)
        await self.state(sid, SessionRewound(restored_chunk=chunk, prompt=prompt, **await self._where(sid)))
        self.go_on(sid)

    async def pause_for(self, sid: str, reason: PauseReason) -> None:
        await self.stand_still(sid)
        await self.state(sid, SessionPaused(reason=reason, **await self._where(sid)))
        del self.fences[sid]

    async def make(self, sid: str, chunks: int) -> None:
        for _ in range(chunks):
            number = (await self.store.timeline.session(sid)).chunks
            if number >= self.kept_from:
                await self._keep(sid, number)
            made = fragment(sid, number, CONFIG, self.fences[sid])
            first, count = chunk_first_frame(number), chunk_frames(number)
            record = Chunk(chunk=number, first_frame=first, frames=count, generated_ms=5)
            await self.store.timeline.append_chunk(sid, self.fences[sid], record)
            self.rings.setdefault(sid, FragmentRing()).publish(made)
            if (await self.store.timeline.session(sid)).status == "starting":
                await self.state(sid, SessionLive())

    async def init_segment(self, config: VideoConfig) -> InitSegment:
        return init_segment(config)

    async def close(self) -> None:
        await stop(self._makers.values())

    async def _keep(self, sid: str, chunk: int) -> None:
        writer = self.history.writer(sid, self.fences[sid])
        while True:
            try:
                return await writer.add(chunk, snapshot(chunk))
            except SnapshotsAway:  # only too slow: the history is in this process
                continue

    async def _where(self, sid: str) -> dict[str, Any]:
        session = await self.store.timeline.session(sid)
        at = chunk_first_frame(session.chunks)
        return {"chunk": session.chunks, "frame": at, "media_seconds": at / session.fps}

    async def _make_on(self, sid: str) -> None:
        while True:
            await self.make(sid, 1)
            await asyncio.sleep(CHUNK_SECONDS)


@asynccontextmanager
async def playing(store: Store) -> AsyncIterator[tuple[PlayingParts, str]]:
    """The whole API and the page over such generators, and its address."""
    parts = PlayingParts(store)
    try:
        async with served(parts) as address:
            yield parts, f"http://{address}"
    finally:
        await parts.close()
