"""The API over a real store. The generators are a double: it claims sessions and states what a test has it state."""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr
from redis_store import Store

from deployments.api.build import build_api
from deployments.api.document import document
from deployments.api.services import Services
from deployments.calls import PartDown
from deployments.entries import (
    Chunk,
    Expand,
    Fact,
    SessionEnded,
    SessionFailed,
    SessionLive,
    SessionPaused,
    SessionResumed,
    SessionStarting,
)
from deployments.export import Export
from deployments.exporter import Exporter
from deployments.exports import Exports
from deployments.farewell import Farewell
from deployments.fragments import Fragment, FragmentRing
from deployments.hub import Hub
from deployments.idempotency import IdempotencyKeys
from deployments.leases import Leases
from deployments.media_store import MediaStore
from deployments.model_view import ModelView, UnreadWords
from deployments.placement import TakeOver
from deployments.pool import PoolFull
from deployments.replicas import Replicas
from deployments.session import Session, SessionState, chunk_first_frame, chunk_frames
from deployments.snapshot_history import open_history
from deployments.steering import Steering
from deployments.sweeper import Sweeper
from deployments.video_config import InitSegment, VideoConfig
from deployments.waiting_room import WaitingRoom
from prompt_agent.expansion import Expansion, Unwanted
from prompt_agent.request import Changes, changes_of
from prompt_agent.safety import WordList

OWNER = "generator"
OPERATOR = SecretStr("the operator's")
VIEW = ModelView(name="m", width=64, height=48, fps=16, slowest_fps=2, sizes=((64, 48), (96, 64)), examples=("a ball",))


class PromptAgentDouble:
    """A change is what begins with "make"; a prompt is the scene and the change. Refuses "evil". May be `down`, and
    writes when `writes` is set."""

    def __init__(self) -> None:
        self.down = False
        self.writes = asyncio.Event()
        self.writes.set()

    async def changes(self, text: str, expand: Expand) -> Changes:
        self._require()
        if expand is False or (expand == "auto" and not text.startswith("make ")):
            return Changes(())
        return changes_of(text)

    async def write(
        self, scene: str, request: str, history: tuple[str, ...]
    ) -> AsyncGenerator[str | Expansion | Unwanted, None]:
        self._require()
        await self.writes.wait()
        if "evil" in request:
            if not request.startswith("an evil"):
                yield scene
            yield Unwanted("It is evil.")
            return
        prompt = f"{scene}, {request}"
        for end in range(1, len(prompt) + 1, 5):
            yield prompt[:end]
        yield Expansion(prompt, request, "rules", 0.003, history, "cut" in request)

    async def suggest(self, scene: str, history: tuple[str, ...], count: int) -> list[str]:
        self._require()
        return [f"{scene} {number}" for number in range(count)]

    def _require(self) -> None:
        if self.down:
            raise PartDown("prompt agent")


class Parts:
    """Everything beside the store, with switches for what is down. `room`: sessions that it takes, None for any."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.leases = Leases(store.redis, lease_seconds=3600)
        self.waiting = WaitingRoom(store.redis)
        self.media = MediaStore(f"memory://{secrets.token_hex(4)}")
        self.history = open_history(f"memory://{secrets.token_hex(4)}", 2**26)
        self.exports = Exports(store.redis)
        self.exporter = Exporter(self.media, self.exports)
        self.sweeper = Sweeper(store.timeline, self.leases, "ingress", self.take)
        self.farewell = Farewell()
        self.prompts = PromptAgentDouble()
        self.room: int | None = None
        self.dying = 0
        self.dying_after_the_claim = False
        self.deaf = False
        self.silent = False
        self.asked: list[str] = []
        self.fences: dict[str, int] = {}
        self.rings: dict[str, FragmentRing] = {}

    def services(self) -> Services:
        return Services(
            model=self.model,
            timeline=self.store.timeline,
            generators=self,
            waiting=self.waiting,
            steering=Steering(self.store.redis),
            idempotency=IdempotencyKeys(self.store.redis),
            conclude=self.sweeper.conclude,
            hub=Hub(self.watch, self.sweeper.lost, self.sweeper.wanted, self.store.timeline),
            farewell=self.farewell,
            unread_words=self.unread_words,
            prompts=self.prompts,
            safety=WordList(),
            init_segment=self.init_segment,
            media=self.media,
            history=self.history,
            exports=self.exports,
            make_export=self.make_export,
            poster=self.exporter.poster,
            replicas=Replicas(self.store.redis),
            operator_token=OPERATOR,
            ready=self.ready,
        )

    async def take(self, sid: str, take_over: TakeOver | None = None, not_to: tuple[str, ...] = ()) -> Session:
        assert take_over is None, "no owner dies here"
        self.asked.append(sid)
        if self.dying:
            self.dying -= 1
            raise PartDown("generator")
        if self.room is not None and len(self.fences) >= self.room:
            raise PoolFull(3)
        before = await self.store.timeline.session(sid)
        self.fences[sid] = await self.leases.claim(sid, OWNER)
        if before.status is SessionState.paused:
            at = chunk_first_frame(before.chunks)
            await self.state(sid, SessionResumed(chunk=before.chunks, frame=at, media_seconds=at / before.fps))
        else:
            await self.state(sid, SessionStarting())
        if self.dying_after_the_claim:
            self.dying_after_the_claim = False
            raise PartDown("generator")
        return await self.store.timeline.session(sid)

    async def state(self, sid: str, *facts: Fact) -> None:
        """What the owner says of the session."""
        for fact in facts:
            await self.store.timeline.append_fact(sid, self.fences[sid], fact)

    async def make(self, sid: str, chunks: int) -> None:
        """Make so many chunks, as the owner; the first one has the session live."""
        for _ in range(chunks):
            session = await self.store.timeline.session(sid)
            chunk, first, count = session.chunks, chunk_first_frame(session.chunks), chunk_frames(session.chunks)
            made = Chunk(chunk=chunk, first_frame=first, frames=count, generated_ms=5)
            await self.store.timeline.append_chunk(sid, self.fences[sid], made)
            ring = self.rings.setdefault(sid, FragmentRing())
            ring.publish(Fragment(sid, chunk, self.fences[sid], first, count, "c", f"fragment {chunk}".encode()))
            if session.status is SessionState.starting:
                await self.state(sid, SessionLive())

    async def end(self, sid: str) -> None:
        await self.state(sid, SessionEnded(reason="requested"))
        self.rings[sid].close()

    async def pause(self, sid: str) -> None:
        session = await self.store.timeline.session(sid)
        at = chunk_first_frame(session.chunks)
        paused = SessionPaused(chunk=session.chunks, frame=at, media_seconds=at / session.fps, snapshot="s")
        await self.state(sid, paused)
        del self.fences[sid]

    async def give_up(self, sid: str, reason: str) -> None:
        await self.sweeper.conclude(sid, SessionFailed(reason=reason))

    async def kinds(self, sid: str) -> list[str]:
        return [entry.type for entry in await self.store.timeline.read(sid)]

    async def watch(self, sid: str, owner: str) -> AsyncIterator[tuple[Fragment, ...]]:
        ring, chunk = self.rings.setdefault(sid, FragmentRing()), -1
        while await ring.reach(chunk + 1):
            fresh = ring.after(chunk)
            chunk = fresh[-1].chunk
            yield fresh

    async def model(self) -> ModelView:
        return VIEW

    async def unread_words(self, text: str) -> UnreadWords:
        if self.deaf:
            raise PartDown("text encoder")
        if self.silent:
            await asyncio.Event().wait()
        unknown = tuple(word for word in text.split() if word == "zyzzyva")
        return UnreadWords(unknown=unknown, cut=("and", "so", "on") if text.endswith("and so on") else ())

    async def make_export(self, export: Export) -> bool:
        return self.exporter.take(export)

    async def init_segment(self, config: VideoConfig) -> InitSegment:
        return InitSegment(b"init", "avc1.f4000a", config.hash)

    async def ready(self) -> None:
        raise PartDown("video encoder")


@asynccontextmanager
async def no_lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield


@cache
def _described() -> dict[str, Any]:
    """Methods by what matches their path. It is served as it is (a test), and costs more than most tests."""
    return {re.sub(r"{\w+}", "[^/]+", path): methods for path, methods in document()["paths"].items()}


@asynccontextmanager
async def client_of(parts: Parts) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a network. Each answer must be one that the API's description knows."""
    services = parts.services()
    api = build_api(services, no_lifespan)

    async def is_described(answer: httpx.Response) -> None:
        for path, methods in _described().items():
            if re.fullmatch(path, answer.request.url.path) and answer.request.method.lower() in methods:
                documented = methods[answer.request.method.lower()]["responses"]
                assert str(answer.status_code) in documented, f"{answer.status_code} is not described"
                if answer.is_error:
                    await answer.aread()
                    code = answer.json()["code"]
                    content = documented[str(answer.status_code)]["content"]["application/problem+json"]
                    assert code in content["examples"], f"{code} is not described"
                return

    transport = httpx.ASGITransport(api, raise_app_exceptions=False)
    hooks = {"response": [is_described]}
    async with httpx.AsyncClient(transport=transport, base_url="http://test", event_hooks=hooks) as client:
        yield client
    await services.hub.close()


@asynccontextmanager
async def served(parts: Parts, ping_seconds: float = 20.0) -> AsyncIterator[str]:
    """The API as a server that runs; gives its host and port."""
    services = parts.services()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        api = build_api(services, no_lifespan)
        config = uvicorn.Config(
            api,
            lifespan="off",
            log_level="error",
            timeout_graceful_shutdown=1,
            ws_ping_interval=ping_seconds,
            ws_ping_timeout=ping_seconds,
        )
        server = uvicorn.Server(config)
        running = asyncio.create_task(server.serve([listener]))
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await running
            await services.hub.close()


def steering(created: httpx.Response) -> dict[str, str]:
    """Headers of who created the session."""
    return {"Authorization": f"Bearer {created.json()['control_token']}"}
