"""The newest fragments of a session: kept in a real Redis and in real files, without a gap, as the next owner's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deployments.fragments import RING_SIZE, Fragment
from deployments.recent_fragments import RecentFragments
from deployments.redis_server import RedisServer
from deployments.session import Session, SessionState, chunk_first_frame, chunk_frames
from deployments.snapshot_shelves import open_shelf


@pytest.fixture(params=["redis", "files"])
async def recent(
    request: pytest.FixtureRequest, redis_server: RedisServer, tmp_path: Path
) -> AsyncIterator[RecentFragments]:
    fragments = RecentFragments(open_shelf(redis_server.url if request.param == "redis" else str(tmp_path)))
    await fragments.forget("s", 9)
    yield fragments
    await fragments.close()


def session(chunks: int) -> Session:
    return Session(
        id="s",
        status=SessionState.live,
        prompt="a fox",
        seed=1,
        model="tiny",
        width=96,
        height=96,
        fps=16,
        created_at=0,
        chunks=chunks,
        last_event_id="1-0",
    )


def fragment(chunk: int, fence: int = 1) -> Fragment:
    data = f"{chunk} by {fence}".encode()
    return Fragment("s", chunk, fence, chunk_first_frame(chunk), chunk_frames(chunk), "hash", data)


async def test_the_last_ones_before_the_next_chunk_are_there_as_those_of_the_next_owner(
    recent: RecentFragments,
) -> None:
    for chunk in range(20):
        await recent.add(fragment(chunk))
    found = await recent.before(session(19), 2, "hash")
    assert [each.chunk for each in found] == list(range(12, 19)), "of those kept the last one was not counted yet"
    assert RING_SIZE == 8
    assert {each.fence for each in found} == {2}
    assert [each.data for each in found] == [f"{chunk} by 1".encode() for chunk in range(12, 19)]
    await recent.forget("s", 0)
    assert len(await recent.before(session(19), 2, "hash")) == 7, "an earlier owner drops none of a later one"
    await recent.forget("s", 1)
    assert await recent.before(session(19), 2, "hash") == []


async def test_a_gap_ends_them_and_the_newer_owner_is_believed(recent: RecentFragments) -> None:
    for chunk, fence in ((1, 1), (3, 1), (4, 1), (4, 2), (5, 2)):
        await recent.add(fragment(chunk, fence))
    found = await recent.before(session(6), 3, "hash")
    assert [(each.chunk, each.data) for each in found] == [(3, b"3 by 1"), (4, b"4 by 2"), (5, b"5 by 2")]
