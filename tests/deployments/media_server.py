"""The media routes over real HTTP, a real hub and a real Redis. Only the generators are not: a test makes the video."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import uvicorn
from fastapi import FastAPI
from redis_store import Store
from starlette.types import ASGIApp, Receive, Scope, Send
from synthetic_session import CONFIG, fragment

from deployments.api import errors, hls, media
from deployments.api.services import Services
from deployments.entries import (
    Chunk,
    SessionCreated,
    SessionEnded,
    SessionLive,
    SessionPaused,
    SessionResumed,
    SessionStarting,
)
from deployments.farewell import Farewell
from deployments.fragments import Fragment, FragmentRing
from deployments.hub import Hub
from deployments.live import LiveStream
from deployments.shared import SharedAnswers
from deployments.video_config import InitSegment, VideoConfig
from deployments.video_encoder import init_segment


class Video:
    """One session: a test moves it chunk by chunk, from owner to owner."""

    def __init__(self, store: Store, sid: str) -> None:
        self.sid = sid
        self.chunks = 0
        self.owner = ""
        self.ring = FragmentRing()
        self._store = store
        self._fence = 0

    async def queue(self) -> None:
        created = SessionCreated(
            prompt="a ball", seed=0, model="tiny", width=CONFIG.width, height=CONFIG.height, fps=CONFIG.fps
        )
        await self._store.timeline.create(self.sid, created)

    async def start(self) -> None:
        await self._own("first")
        await self._store.timeline.append_fact(self.sid, self._fence, SessionStarting())
        await self._store.timeline.append_fact(self.sid, self._fence, SessionLive())

    async def make(self, count: int, padding: int = 0) -> None:
        """The next chunks: written down, then published, as an owner does. `padding`: bytes that no player minds."""
        free = struct.pack(">I4s", padding + 8, b"free") + bytes(padding) if padding else b""
        for _ in range(count):
            made = fragment(self.sid, self.chunks, fence=self._fence)
            made = replace(made, data=made.data + free)
            record = Chunk(chunk=made.chunk, first_frame=made.first_frame, frames=made.frames, generated_ms=1)
            await self._store.timeline.append_chunk(self.sid, self._fence, record)
            self.chunks += 1
            self.ring.publish(made)

    async def pause(self) -> None:
        where = {"chunk": self.chunks, "frame": self._frame, "media_seconds": self._frame / CONFIG.fps}
        await self._store.timeline.append_fact(self.sid, self._fence, SessionPaused(snapshot="memory://", **where))
        self.ring.close()

    async def resume(self, owner: str) -> None:
        await self._own(owner)
        where = {"chunk": self.chunks, "frame": self._frame, "media_seconds": self._frame / CONFIG.fps}
        await self._store.timeline.append_fact(self.sid, self._fence, SessionResumed(**where))

    async def end(self) -> None:
        await self._store.timeline.append_fact(self.sid, self._fence, SessionEnded(reason="requested"))
        self.ring.close()

    @property
    def _frame(self) -> int:
        return max(0, 12 * self.chunks - 3)

    async def _own(self, owner: str) -> None:
        self._fence = await self._store.leases.claim(self.sid, owner)
        self.owner, self.ring = owner, FragmentRing()


class MediaServer:
    """Serves the media of its videos at `url`, with what the proxy has in front of them."""

    def __init__(self, store: Store, url: str, keep_s: float) -> None:
        self.url = url
        self.videos: dict[str, Video] = {}
        self.upstreams: list[tuple[str, str]] = []
        self.open_upstreams = 0
        self.requests = 0
        self.asked: Counter[str] = Counter()
        self._store = store
        self.hub = Hub(self._watch, self._lost, self._wanted, store.timeline, keep_s=keep_s, retry_s=0.01)
        self.farewell = Farewell()
        services = SimpleNamespace(
            hub=self.hub, timeline=store.timeline, init_segment=self._init, farewell=self.farewell
        )
        self.api = FastAPI()
        errors.install(self.api)
        for routes in (media.routes, hls.routes):
            self.api.include_router(routes(cast("Services", services)))

    async def video(self, sid: str = "s") -> Video:
        """A session that is queued."""
        video = self.videos[sid] = Video(self._store, sid)
        await video.queue()
        return video

    def path(self, rest: str, sid: str = "s") -> str:
        return f"{self.url}/v1/sessions/{sid}/{rest}"

    def viewers(self, sid: str = "s") -> int:
        channel = self.hub._channels.get(sid)
        return channel.viewers if channel else 0

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ingress. Counts what it is asked."""
        self.asked[scope["path"].rpartition("/")[2]] += 1
        await self.api(scope, receive, send)

    def counting(self, app: ASGIApp) -> ASGIApp:
        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            self.requests += 1
            try:
                await app(scope, receive, send)
            finally:
                self.requests -= 1

        return serve

    async def _watch(self, sid: str, owner: str) -> AsyncGenerator[tuple[Fragment, ...], None]:
        video = self.videos[sid]
        if video.owner != owner:
            return
        self.upstreams.append((sid, owner))
        self.open_upstreams += 1
        ring, chunk = video.ring, -1
        try:
            while await ring.reach(chunk + 1):
                fresh = ring.after(chunk)
                chunk = fresh[-1].chunk
                yield fresh
        finally:
            self.open_upstreams -= 1

    async def _lost(self, sid: str, owner: str, fence: int) -> None:
        raise AssertionError(f"{owner} was declared dead")

    async def _wanted(self, sid: str) -> bool:
        raise AssertionError(f"{sid} paused because it was asked to")

    async def _init(self, config: VideoConfig) -> InitSegment:
        return init_segment(config)


@asynccontextmanager
async def serving(store: Store, keep_s: float = 5.0) -> AsyncIterator[MediaServer]:
    """A server that runs."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = MediaServer(store, f"http://127.0.0.1:{listener.getsockname()[1]}", keep_s)
        config = uvicorn.Config(
            server.counting(LiveStream(SharedAnswers(server.serve))),
            lifespan="off",
            log_level="error",
            timeout_graceful_shutdown=1,
        )
        runner = uvicorn.Server(config)
        running = asyncio.create_task(runner.serve([listener]))
        try:
            yield server
        finally:
            runner.should_exit = True
            await running
            await server.hub.close()
