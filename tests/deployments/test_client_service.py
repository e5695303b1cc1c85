"""The client over the service: what a program does with it, from beginning to end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeVar

import av
import httpx
import numpy as np
import pytest
from service_process import ServiceProcess

from deployments.client import AsyncClient, Client
from deployments.client_errors import ApiError
from deployments.entries import PromptApplied, SessionEnded
from deployments.session import Session

SECONDS = 120.0
T = TypeVar("T")


def test_a_program_begins_steers_watches_and_keeps_a_video(service: ServiceProcess, tmp_path: Path) -> None:
    with Client(service.url) as client:
        assert client.model().name == "tiny"
        labels = {"test": "a program"}
        session = client.create(
            "a red ball juggles in the desert", seed=7, script=[(60.0, "it snows")], labels=labels, metadata={"take": 1}
        )
        assert session.created is not None
        assert any("juggles" in warning for warning in session.created.warnings)
        pictures, asked = [], None
        for fragment, frames in zip(session.fragments(), session.frames(), strict=False):
            assert frames.shape == (fragment.frames, 64, 64, 3)
            assert (frames.dtype, fragment.skipped) == (np.uint8, 0)
            pictures.append(frames)
            if fragment.chunk == 1:
                asked = session.prompt("a blue cube at night")
            if fragment.chunk == 5:
                break
        assert sum(len(frames) for frames in pictures) == 9 + 5 * 12
        assert asked is not None
        applied = session.wait_applied(asked.prompt_id, timeout=SECONDS)
        assert applied.frame is not None
        assert applied.frame >= asked.earliest_frame
        (late,) = (receipt for receipt in session.prompts() if receipt.text == "it snows")
        session.cancel(late.prompt_id)
        watcher = client.session(session.id)
        with pytest.raises(ApiError, match="steers") as caught:
            watcher.end()
        assert caught.value.status == 401
        assert [view.id for view in client.sessions("live", labels)] == [session.id]
        saved = watcher.save(tmp_path / "clip.mp4", seconds=2)
        assert saved.skipped == 0
        with av.open(str(tmp_path / "clip.mp4"), "r") as container:
            times = [frame.pts for frame in container.decode(video=0)]
        assert times == [1000 * number for number in range(saved.frames)]
        session.pause()
        paused = session.wait("paused", timeout=SECONDS)
        assert session.resume().status == "live"
        assert session.state().frames >= paused.frames
        session.end()
        assert session.wait("ended", timeout=SECONDS).reason == "requested"
        kinds = [entry.type for entry in session.timeline()]
        assert kinds == [entry.type for entry in watcher.events()]
        assert [kind for kind in kinds if kind.startswith("session.")] == [
            "session.created", "session.starting", "session.live", "session.paused", "session.resumed", "session.ended",
        ]  # fmt: skip
        assert "prompt.cancelled" in kinds


async def test_a_program_that_awaits_follows_a_video_while_it_steers_it(service: ServiceProcess) -> None:
    async with AsyncClient(service.url) as client:
        session = await client.create("a red ball", max_seconds=4)
        seen = asyncio.create_task(_all(session.fragments()))
        told = asyncio.create_task(_all(session.updates()))
        asked = await session.prompt("it rains")
        applied = await session.wait_applied(asked.prompt_id, timeout=SECONDS)
        assert [fragment.chunk for fragment in await seen] == [0, 1, 2, 3, 4, 5]
        entries = [update for update in await told if not isinstance(update, Session)]
        assert any(isinstance(update, Session) and update.status == "live" for update in await told)
        (receipt,) = (entry for entry in entries if isinstance(entry, PromptApplied))
        assert (receipt.prompt_id, receipt.frame) == (asked.prompt_id, applied.frame)
        assert isinstance(entries[-1], SessionEnded)
        assert entries[-1].reason == "finished"


async def test_a_prompt_that_was_sent_twice_counts_once(service: ServiceProcess) -> None:
    """The answer to the first is lost on its way."""

    class Losing(httpx.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            answer = await super().handle_async_request(request)
            if request.method == "POST" and request.headers["Idempotency-Key"] not in seen:
                seen.append(request.headers["Idempotency-Key"])
                await answer.aread()
                raise httpx.ReadError("the answer was lost")
            return answer

    seen: list[str] = []
    async with httpx.AsyncClient(base_url=service.url, transport=Losing(), timeout=60) as http:
        client = AsyncClient(service.url, http=http)
        session = await client.create("a red ball", labels={"lost": "once"})
        asked = await session.prompt("it rains")
        assert [receipt.prompt_id for receipt in await session.prompts()] == [asked.prompt_id]
        assert [view.id async for view in client.sessions(labels={"lost": "once"})] == [session.id]
        await session.end()
        await session.wait("ended", timeout=SECONDS)
    assert len(seen) == 2


async def _all(items: AsyncIterator[T]) -> list[T]:
    return [item async for item in items]
