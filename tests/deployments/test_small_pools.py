"""A service with one generator that is replaced, and one that may have none: nobody loses a video for it. Minutes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from service_client import PROMPT, Client

from deployments.autoscaling import EMPTY_SECONDS
from deployments.session import chunk_first_frame
from steered_service import SteeredService

pytestmark = [pytest.mark.service, pytest.mark.slow]


@contextmanager
def service(folder: Path, **settings: Any) -> Iterator[SteeredService]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = SteeredService(folder, {"port": port, **settings})
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.stop()


async def pool_is(running: SteeredService, holds: Callable[[int], bool], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not holds((await asyncio.to_thread(running.replicas))["Generator"].get("RUNNING", 0)):  # noqa: ASYNC110
            await asyncio.sleep(0.5)


async def test_the_only_generator_and_all_else_is_replaced_while_somebody_watches(tmp_path: Path) -> None:
    with service(tmp_path) as running:
        async with Client(base_url=running.url, timeout=40.0) as client, client.session() as created:
            sid = created["id"]
            watching = asyncio.create_task(client.watch(sid, 60))
            before = await client.until(sid, lambda session: session["chunks"] >= 3)
            await asyncio.to_thread(running.update, snapshot_mib=65)  # any other setting
            moved = await client.entry(sid, "session.moved", seconds=120.0)
            watched = await watching
            after = await client.until(sid, lambda session: session["chunks"] >= 60)
    assert (moved["cause"], after["status"], after["owner"] != before["owner"]) == ("handed-over", "live", True)
    assert watched.numbers == list(range(60))
    assert watched.decode()[1] == list(range(chunk_first_frame(60)))


async def test_a_pool_that_has_become_empty_is_filled_by_who_wants_a_session(tmp_path: Path) -> None:
    with service(tmp_path, min_generators=0) as running:
        async with Client(base_url=running.url, timeout=40.0) as client:
            await pool_is(running, lambda count: count == 0, EMPTY_SECONDS + 120)
            answer = await client.post("/v1/sessions", json={"prompt": PROMPT})
            assert (answer.status_code, int(answer.headers["Retry-After"]) > 0) == (503, True)
            async with client.session(queue=True) as created:
                assert created["status"] == "queued"
                await client.until(created["id"], lambda session: session["status"] == "live", seconds=120.0)
                assert (await client.watch(created["id"], 3)).numbers == [0, 1, 2]
