"""A client of the running service, for tests: HTTP in, plain data out."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import av
import httpx
import numpy as np
from numpy.typing import NDArray

PROMPT = "a red ball rolls across a field"


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
    """`httpx.AsyncClient` with the words of this API."""

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
        await self.delete(f"/v1/sessions/{sid}")
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
        watched = Watched((await self.get(f"/v1/sessions/{sid}/init.mp4")).content)
        while len(watched.fragments) < count:
            answer = await self.get(
                f"/v1/sessions/{sid}/fragments", params={"after": after, "most_behind": most_behind}
            )
            if answer.status_code == 204:
                continue
            assert answer.status_code == 200, answer.text
            after = int(answer.headers["x-fragment"])
            watched.fragments.append(answer.content)
            watched.numbers.append(after)
            watched.first_frames.append(int(answer.headers["x-first-frame"]))
            watched.frames.append(int(answer.headers["x-frames"]))
        return watched

    async def timeline(self, sid: str) -> list[dict[str, Any]]:
        return (await self.get(f"/v1/sessions/{sid}/timeline")).json()["data"]

    async def entry(self, sid: str, kind: str, seconds: float = 30.0, **having: Any) -> dict[str, Any]:
        """The first timeline entry of a kind with these fields, waiting for it."""
        async with asyncio.timeout(seconds):
            while True:
                for entry in await self.timeline(sid):
                    if entry["type"] == kind and having.items() <= entry.items():
                        return entry
                await asyncio.sleep(0.1)

    async def events(
        self, sid: str, last_event_id: str | None = None, seconds: float = 30.0
    ) -> AsyncIterator[dict[str, Any]]:
        """Server-sent events: `event`, parsed `data`, and `id` where there is one."""
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
