"""A real Redis for the tests of this room; each test gets a clean database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis_store import Store

from deployments.leases import Leases
from deployments.redis_server import RedisServer
from deployments.store import connect
from deployments.timeline import Timeline


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(Path(tmp_path_factory.mktemp("redis"))) as server:
        yield server


@pytest.fixture
async def store(redis_server: RedisServer) -> AsyncIterator[Store]:
    async with connect(redis_server.url) as redis, connect(redis_server.url, blocking=True) as blocking:
        await redis.flushall()
        yield Store(redis, Timeline(redis, blocking), Leases(redis, lease_seconds=0.2))
