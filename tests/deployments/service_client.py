"""A client of the running service, for tests: the one that everybody uses, and beside it plain HTTP."""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import av
import httpx
import numpy as np
from numpy.typing import NDArray

from deployments.client import AsyncClient, AsyncSessionHandle

PROMPT = "a red ball rolls across a field"
_OF_A_SESSION = re.compile(r"/v1/sessions/([^/]+)")


@dataclass
class Watched:
    """What a viewer that pulls has got: init segment, fragments, and what their headers say."""

    init: bytes
    fragments: list[bytes] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    first_frames: list[int] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)

    def decode(self) -> tuple[NDArray[np.uint8], list[int]]:
        """Frames [T, H, W, 3] and their numbers in media time."""
        return decode(self.init + b"".join(self.fragments))


def decode(data: bytes, fps: int = 16) -> tuple[NDArray[np.uint8], list[int]]:
    """Frames [T, H, W, 3] of an MP4 and their numbers in media time."""
    with av.open(io.BytesIO(data)) as container:
        frames = list(container.decode(container.streams.video[0]))
    return np.stack([f.to_ndarray(format="rgb24") for f in frames]), [round(f.time * fps) for f in frames]


class Client(httpx.AsyncClient):
    """Plain HTTP that steers the sessions which it has created; `handle` gives one as a program has it.

    `auth=None` sends a request without the right to steer.
    """

    def __init__(self, base_url: str, **options: Any) -> None:
        steering = _Steering()
        hooks = {"response": [steering.remember]}
        super().__init__(base_url=base_url, auth=steering, event_hooks=hooks, trust_env=False, **options)
        self.tokens = steering.tokens
        self.programs = AsyncClient(base_url, http=self)

    def handle(self, sid: str) -> AsyncSessionHandle:
        return self.programs.session(sid, self.tokens.get(sid))

    @asynccontextmanager
    async def session(self, prompt: str = PROMPT, **fields: Any) -> AsyncIterator[dict[str, Any]]:
        """A session, ended afterwards: the next test finds its slot free."""
        answer = await self.post("/v1/sessions", json={"prompt": prompt, **fields})
        assert answer.status_code == 201, answer.text
        created = answer.json()
        try:
            yield created
        finally:
            await self.end(created["id"])

    async def end(self, sid: str) -> dict[str, Any]:
        """End a session; gives what it is once it is over."""
        await self.handle(sid).end()
        return await self.until(sid, lambda session: session["status"] in ("ended", "failed"))

    async def until(self, sid: str, holds: Callable[[dict[str, Any]], bool], seconds: float = 30.0) -> dict[str, Any]:
        """The session, as soon as it can be read and something holds of it."""
        async with asyncio.timeout(seconds):
            while True:
                answer = await self.get(f"/v1/sessions/{sid}")
                if answer.status_code == 200 and holds(session := answer.json()):
                    return session
                await asyncio.sleep(0.1)

    async def watch(self, sid: str, count: int, after: int = -1, most_behind: int = 8) -> Watched:
        """Pull `count` fragments. Unlike the page, which takes the newest, none is skipped if this process is slow."""
        handle = self.handle(sid)
        watched = Watched(await handle.init_segment())
        if not count:
            return watched
        async for fragment in handle.fragments(after, most_behind):
            watched.fragments.append(fragment.data)
            watched.numbers.append(fragment.chunk)
            watched.first_frames.append(fragment.first_frame)
            watched.frames.append(fragment.frames)
            if len(watched.fragments) == count:
                return watched
        raise AssertionError(f"the video of {sid} ended after {len(watched.fragments)} of {count} fragments")

    async def timeline(self, sid: str) -> list[dict[str, Any]]:
        return [entry.model_dump(mode="json") async for entry in self.handle(sid).timeline()]

    async def entry(self, sid: str, kind: str, seconds: float = 30.0, **having: Any) -> dict[str, Any]:
        """The first timeline entry of a kind with these fields, waiting for it."""
        async with asyncio.timeout(seconds):
            async for entry in self.handle(sid).events():
                found = entry.model_dump(mode="json")
                if entry.type == kind and having.items() <= found.items():
                    return found
        raise AssertionError(f"{sid} was over without {kind} {having}")

    async def events(
        self, sid: str, last_event_id: str | None = None, seconds: float = 30.0
    ) -> AsyncIterator[dict[str, Any]]:
        """Server-sent events of one answer, as they are: `event`, parsed `data`, and `id` where there is one."""
        headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
        url = f"/v1/sessions/{sid}/events"
        async with asyncio.timeout(seconds), self.stream("GET", url, headers=headers) as answer:
            assert answer.status_code == 200, await answer.aread()
            assert answer.headers["content-type"].startswith("text/event-stream")
            fields: dict[str, Any] = {}
            async for line in answer.aiter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = json.loads(value) if name == "data" else value
                elif "event" in fields:
                    yield fields
                    fields = {}
                else:
                    fields = {}


class _Steering(httpx.Auth):
    """Sends with each request the control token of its session, if this client has created it."""

    def __init__(self) -> None:
        self.tokens: dict[str, str] = {}

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        named = _OF_A_SESSION.match(request.url.path)
        if named and named[1] in self.tokens and "Authorization" not in request.headers:
            request.headers["Authorization"] = f"Bearer {self.tokens[named[1]]}"
        yield request

    async def remember(self, answer: httpx.Response) -> None:
        if answer.request.method == "POST" and answer.request.url.path == "/v1/sessions" and answer.is_success:
            created = json.loads(await answer.aread())
            self.tokens[created["id"]] = created["control_token"]
