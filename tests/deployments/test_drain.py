"""A generator of the real service is emptied: its session goes on at the other one, and a viewer has all of it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from service_client import Client
from service_process import ServiceProcess

from deployments.operator_token import kept_token


async def longlive(service: ServiceProcess, *words: str) -> str:
    """What a command of an operator says, who has the token from the data directory."""
    token = kept_token(service.folder / "data").get_secret_value()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from deployments.cli import main; main()",
        *words,
        "--url",
        service.url,
        env=os.environ | {"LONGLIVE_OPERATOR_TOKEN": token},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode()


@pytest.fixture
async def live(client: Client) -> AsyncIterator[dict[str, Any]]:
    async with client.session() as created:
        yield await client.until(created["id"], lambda session: session["status"] == "live")


async def test_a_drained_replica_hands_its_session_over_while_somebody_watches(
    service: ServiceProcess, client: Client, live: dict[str, Any]
) -> None:
    sid, owner = live["id"], live["owner"]
    watching = asyncio.create_task(client.watch(sid, 16))
    await client.until(sid, lambda session: session["chunks"] >= 4)
    try:
        assert "has none left" in await longlive(service, "drain", owner)
        assert (await client.until(sid, lambda session: session["owner"] != owner))["status"] == "live"
        assert "draining" in await longlive(service, "replicas")
    finally:
        await longlive(service, "drain", owner, "--undo")
    watched = await watching
    assert watched.numbers == list(range(watched.numbers[0], watched.numbers[0] + 16))
    _, frames = watched.decode()
    assert frames == list(range(frames[0], frames[0] + len(frames)))
    moved = await client.entry(sid, "session.moved")
    assert moved["cause"] == "handed-over"
    assert moved["chunk"] < watched.numbers[-1]
