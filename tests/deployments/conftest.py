"""A real Redis for the tests of this room, a clean database for each test; and the whole service, once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from api_parts import Parts, client_of
from browser import Watcher, watching
from redis_store import Store
from service_client import PROMPT, Client
from service_process import ServiceProcess

from deployments.leases import Leases
from deployments.redis_server import RedisServer
from deployments.store import connect
from deployments.timeline import Timeline
from tests.support import find_chromium


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(Path(tmp_path_factory.mktemp("redis"))) as server:
        yield server


@pytest.fixture
async def store(redis_server: RedisServer) -> AsyncIterator[Store]:
    async with connect(redis_server.url) as redis, connect(redis_server.url, blocking=True) as blocking:
        await redis.flushall()
        yield Store(redis, Timeline(redis, blocking), Leases(redis, lease_seconds=3600))


@pytest.fixture
def parts(store: Store) -> Parts:
    return Parts(store)


@pytest.fixture
async def http(parts: Parts) -> AsyncIterator[httpx.AsyncClient]:
    """The API over `parts`, without a network."""
    async with client_of(parts) as client:
        yield client


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """`longlive serve` with Ray, Serve, Redis and two generators: real, and shared by every test over HTTP.

    It is stopped with Ctrl-C while somebody watches: the video ends, the process succeeds, nothing is left.
    """
    process = ServiceProcess(tmp_path_factory.mktemp("service"))
    try:
        process.wait_until_ready()
        yield process
        created = httpx.post(f"{process.url}/v1/sessions", json={"prompt": PROMPT}, timeout=40).json()
        with httpx.stream("GET", process.url + created["links"]["live"], timeout=40) as watched:
            parts = watched.iter_raw()
            next(parts)
            status, left = process.interrupt()
            for _ in parts:  # a video that is cut instead of ended raises here
                pass
    except BaseException:
        process.interrupt()
        raise
    said = f"the service said:\n{process.output}"
    assert status == 0, said
    assert left == [], f"Ctrl-C left processes behind; {said}"


@pytest.fixture
async def client(service: ServiceProcess) -> AsyncIterator[Client]:
    async with Client(base_url=service.url, timeout=40.0) as client:
        yield client


@pytest.fixture
async def watcher(service: ServiceProcess, client: Client) -> AsyncIterator[Watcher]:
    """Somebody who has just opened the page; what they started last is ended."""
    async with watching(find_chromium(), service.url) as watcher:
        yield watcher
        if watcher.session:
            client.tokens[watcher.session] = await watcher.token()
            await client.end(watcher.session)
    assert not watcher.faults
