"""A Redis that comes back without its newest writes: whoever owns a session says them again, or has it no more."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from generator_rig import MemoryHistory, Rig, owns
from generator_rig import rig as make_rig
from redis.asyncio import Redis
from redis_store import Store

from deployments.entries import SessionLive, SessionMoved
from deployments.leases import Leases
from deployments.placement import TakeOver
from deployments.redis_server import RedisServer
from deployments.session import Session, SessionState
from deployments.store import Keys, connect
from deployments.timeline import Timeline


class ForgetfulServer(RedisServer):
    """Comes back with what it had when it was told to `remember`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "redis")
        self._folder, self._remembered = folder / "redis", folder / "remembered"

    def remember(self) -> None:
        shutil.copytree(self._folder, self._remembered)

    async def fall_back(self, redis: Redis) -> None:
        assert self.pid is not None
        os.kill(self.pid, signal.SIGKILL)
        while self.alive:
            pass
        shutil.copytree(self._remembered, self._folder, dirs_exist_ok=True)
        self.keep()
        await redis.connection_pool.disconnect(inuse_connections=False)


@asynccontextmanager
async def forgetful(folder: Path) -> AsyncIterator[tuple[ForgetfulServer, Store]]:
    with ForgetfulServer(folder) as server:
        async with connect(server.url) as redis, connect(server.url, blocking=True) as blocking:
            await redis.config_set("appendfsync", "always")
            yield server, Store(redis, Timeline(redis, blocking), Leases(redis))


async def recorded(store: Store) -> list[int]:
    return [json.loads(fields["data"])["chunk"] for _, fields in await store.redis.xrange(Keys("s").chunks)]


async def until_seen(rig: Rig, chunk: int) -> None:
    async for fragments in rig.generator.watch("s"):
        if fragments[-1].chunk >= chunk:
            return


@pytest.mark.parametrize("idle", [False, True])
async def test_a_live_session_of_which_the_store_knows_only_that_it_starts_goes_on(tmp_path: Path, idle: bool) -> None:
    async with forgetful(tmp_path) as (server, store):
        rig = make_rig(store, tmp_path)
        may_show = asyncio.Event()
        plain = rig.encode_video

        async def encode_video(*video: object) -> bytes:
            await may_show.wait()
            return await plain(*video)  # type: ignore[arg-type]

        rig.encode_video = encode_video  # type: ignore[method-assign]
        async with rig.running() as generator:
            await rig.begin("s")
            assert (await store.timeline.session("s")).status is SessionState.starting
            server.remember()
            may_show.set()
            await until_seen(rig, 5)
            made = await rig.idle("s")
            watching = None if idle else asyncio.create_task(rig.watch("s", 1000))
            await rig.until_chunks("s", made + 2 * (not idle))
            await server.fall_back(store.redis)
            session = await rig.until("s", lambda now: now.status is SessionState.live and now.chunks >= made)
            await until_seen(rig, made + 5)
            await rig.until_chunks("s", made + 5)
            await owns(generator, 1)
            if watching is not None:
                watching.cancel()
        assert session.owner == "r"
        assert len(await rig.all_of(SessionLive, "s")) == 1
        chunks = await recorded(store)
        assert chunks == list(range(len(chunks)))


@pytest.mark.parametrize("first_to_write", ["r", "q"])
async def test_of_two_owners_that_a_store_has_seen_the_newer_one_goes_on_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first_to_write: str
) -> None:
    # Neither renews its lease: each hears only by what it writes whose the session is.
    monkeypatch.setattr("deployments.generator.RENEW_SECONDS", 3600.0)
    async with forgetful(tmp_path) as (server, store):
        history = MemoryHistory()
        older, newer = (make_rig(store, tmp_path, name=name, history=history) for name in "rq")
        async with older.running() as one, newer.running() as other:
            await older.begin("s")
            await until_seen(older, 5)
            before = await older.idle("s")
            server.remember()
            assert isinstance(await other.take("s", TakeOver("r", "lost")), Session)
            await until_seen(newer, before + 10)
            lost = await newer.idle("s")
            await server.fall_back(store.redis)
            session = await store.timeline.session("s")
            assert (session.owner, session.fence, session.chunks) == ("r", 1, before)
            if first_to_write == "r":
                await until_seen(older, before)
                assert (await older.until_chunks("s", before + 1)).owner == "r"
            await until_seen(newer, lost + 1)
            session = await newer.until_chunks("s", lost + 2)
            assert (session.owner, session.fence) == ("q", 3)
            await asyncio.gather(owns(one, 0), until_seen(older, 10**6))
            await until_seen(newer, lost + 5)
            await newer.until_chunks("s", lost + 5)
            await owns(other, 1)
        chunks = await recorded(store)
        assert chunks == list(range(len(chunks)))
        assert len(await newer.all_of(SessionMoved, "s")) == 1
