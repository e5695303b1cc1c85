"""A pool without a generator tells who wants one to come back, and asks Serve for one, once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis_store import Store

from deployments.placement import Placement
from deployments.pool import PoolFull
from deployments.replicas import Replica, Replicas
from deployments.session import Session, SessionState
from deployments.sleeping_pool import SleepingPool

SESSION = Session(
    id="s", status=SessionState.starting, prompt="a ball", seed=0, model="m", width=64, height=64, fps=16,
    created_at=0, last_event_id="1-0",
)  # fmt: skip


class Handle:
    """A deployment handle whose calls are answered when somebody says so."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.sid = ""

    def options(self, session_id: str) -> Handle:
        self.sid = Placement.parse(session_id).sid
        return self

    def __getattr__(self, method: str) -> Handle:
        return self

    def remote(self, *arguments: object) -> asyncio.Future[Any]:
        self.called.append(self.sid)
        return self.answer


def replica(*, stopping: bool) -> Replica:
    return Replica(
        id="r", node="n", host="h", sessions=0, more=2, accepting=not stopping, draining=stopping, stopping=stopping,
        started_at=0,
    )  # fmt: skip


@pytest.mark.parametrize("stopping", [None, True], ids=["none", "the last one stops"])
async def test_who_wants_a_generator_where_none_is_has_one_started(store: Store, stopping: bool | None) -> None:
    replicas, handle = Replicas(store.redis), Handle()
    if stopping is not None:
        await replicas.beat(replica(stopping=stopping))
    pool = SleepingPool(handle, replicas)  # type: ignore[arg-type]
    await pool.ready()
    assert handle.called == []
    for _ in range(3):
        with pytest.raises(PoolFull):
            await pool.take("s")
        await asyncio.sleep(0)
    assert handle.called == ["wake"]
    handle.answer.set_result(None)


async def test_where_one_runs_it_is_asked(store: Store) -> None:
    replicas, handle = Replicas(store.redis), Handle()
    await replicas.beat(replica(stopping=False))
    pool = SleepingPool(handle, replicas)  # type: ignore[arg-type]
    handle.answer.set_result(SESSION)
    await pool.ready()
    assert await pool.take("s") == SESSION
    assert handle.called == ["ready", "s"]
