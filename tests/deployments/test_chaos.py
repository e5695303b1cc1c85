"""A service whose processes are killed and stopped while somebody watches: the same stream goes on.

benchmarks/chaos.py does it often, with many sessions, and measures; `make test-slow` runs all of that.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest
from service_client import Client, Watched
from service_process import ServiceProcess

from chaos_faults import FAULTS
from chaos_figures import stale_chunks
from deployments.session import chunk_first_frame
from deployments.store import connect
from deployments.timeline import Timeline
from running_service import process_of, redis_servers

pytestmark = pytest.mark.service
CHAOS = Path(__file__).parent.parent.parent / "benchmarks" / "chaos.py"


@pytest.fixture(scope="module")
def doomed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """Two generators and two ingresses, for these tests alone."""
    process = ServiceProcess(tmp_path_factory.mktemp("doomed"), ingresses=2)
    try:
        process.wait_until_ready()
        yield process
    finally:
        process.interrupt()


@pytest.fixture
async def client(doomed: ServiceProcess) -> AsyncIterator[Client]:
    async with Client(base_url=doomed.url, timeout=40.0) as client:
        yield client


def processes(service: ServiceProcess) -> list[psutil.Process]:
    return [psutil.Process(pid) for pid in service.processes()]


def owner_of(service: ServiceProcess, session: dict[str, str]) -> int:
    found = process_of(processes(service), session["owner"])
    assert found is not None
    return found.pid


def whole(watched: Watched) -> bool:
    """Every chunk from the first, and every frame of them."""
    count = len(watched.numbers)
    return watched.numbers == list(range(count)) and watched.decode()[1] == list(range(chunk_first_frame(count)))


async def test_an_owner_that_was_stopped_for_a_while_writes_nothing_once_another_has_its_session(
    client: Client, doomed: ServiceProcess
) -> None:
    async with client.session() as created:
        sid = created["id"]
        watching = asyncio.create_task(client.watch(sid, 16))
        session = await client.until(sid, lambda session: session["chunks"] >= 2)
        zombie = owner_of(doomed, session)
        os.kill(zombie, signal.SIGSTOP)
        try:
            moved = await client.entry(sid, "session.moved", cause="lost")
            await client.until(sid, lambda session: session["chunks"] > moved["chunk"])
        finally:
            os.kill(zombie, signal.SIGCONT)
        assert whole(await watching)
        after = await client.until(sid, lambda session: session["chunks"] >= 16)
        assert (after["moves"], after["status"]) == (1, "live")
        assert after["owner"] != session["owner"]
        _, url = redis_servers(processes(doomed))["sessions"]
        async with connect(url) as redis, connect(url, blocking=True) as blocking:
            chunks = await Timeline(redis, blocking).chunks(sid)
        assert stale_chunks(chunks) == 0
        assert len(chunks) >= 16


async def test_a_watched_session_outlives_its_generator_without_a_gap_in_its_video(
    client: Client, doomed: ServiceProcess
) -> None:
    async with client.session() as created:
        sid = created["id"]
        watching = asyncio.create_task(client.watch(sid, 12))
        session = await client.until(sid, lambda session: session["chunks"] >= 3)
        os.kill(owner_of(doomed, session), signal.SIGKILL)
        moved = await client.entry(sid, "session.moved", cause="lost")
        assert whole(await watching)
        assert moved["chunk"] >= 3
        assert moved["restored_chunk"] in (None, moved["chunk"])
        assert (await client.until(sid, lambda session: session["moves"] == 1))["status"] == "live"


async def test_a_client_goes_on_by_fragment_number_when_either_ingress_is_killed(
    client: Client, doomed: ServiceProcess
) -> None:
    async with client.session() as created:
        sid = created["id"]
        watching = asyncio.create_task(client.watch(sid, 12))
        await client.until(sid, lambda session: session["chunks"] >= 2)
        for pid in doomed.processes("Ingress"):
            os.kill(pid, signal.SIGKILL)
            chunks = (await client.handle(sid).state()).chunks
            await client.until(sid, lambda session, chunks=chunks: session["chunks"] > chunks)
        assert whole(await watching)


async def test_a_killed_redis_is_no_gap_in_what_is_delivered(client: Client, doomed: ServiceProcess) -> None:
    async with client.session() as created:
        sid = created["id"]
        watching = asyncio.create_task(client.watch(sid, 14))
        await client.until(sid, lambda session: session["chunks"] >= 2)
        for process, _ in redis_servers(processes(doomed)).values():
            process.kill()
        assert whole(await watching)
        assert (await client.until(sid, lambda session: session["chunks"] >= 14))["status"] == "live"


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_every_fault_stays_within_its_bar_as_often_as_it_is_asked_for(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, str(CHAOS), "--json", "--keep-log", str(log)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    faults = json.loads(done.stdout)["results"]["faults"]
    assert {name: row["missed"] for name, row in faults.items() if row["missed"]} == {}
    assert {name: row["repeats"] for name, row in faults.items()} == {n: fault.repeats for n, fault in FAULTS.items()}
    assert done.returncode == 0
