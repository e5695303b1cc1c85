"""A real Redis for the tests of this room, a clean database for each test; and the whole service, once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis_store import Store
from service_client import Client
from service_process import ServiceProcess

from deployments.leases import Leases
from deployments.redis_server import RedisServer
from deployments.store import connect
from deployments.timeline import Timeline
from longlive.checkpoints import CheckpointError
from longlive.pipeline import model_folder


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(Path(tmp_path_factory.mktemp("redis"))) as server:
        yield server


@pytest.fixture
async def store(redis_server: RedisServer) -> AsyncIterator[Store]:
    async with connect(redis_server.url) as redis, connect(redis_server.url, blocking=True) as blocking:
        await redis.flushall()
        yield Store(redis, Timeline(redis, blocking), Leases(redis, lease_seconds=3600))


@pytest.fixture(scope="session")
def served_model(request: pytest.FixtureRequest) -> str:
    """The shipped model; where it was not trained yet, one that nobody trained."""
    try:
        return str(model_folder("tiny"))
    except CheckpointError:
        return str(request.getfixturevalue("untrained_folder"))


@pytest.fixture(scope="session")
def service(served_model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """`longlive serve` with Ray, Serve, Redis and two generators: real, and shared by every test over HTTP."""
    process = ServiceProcess(tmp_path_factory.mktemp("service"), served_model)
    try:
        process.wait_until_ready()
        yield process
    finally:
        left = process.interrupt()
    assert left == [], f"Ctrl-C left processes behind; the service said:\n{process.output}"


@pytest.fixture
async def client(service: ServiceProcess) -> AsyncIterator[Client]:
    async with Client(base_url=service.url, timeout=40.0) as client:
        yield client
