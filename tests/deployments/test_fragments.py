"""Readers of a ring: in order when fast, skipping when slow, never repainted by a stale owner."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from deployments.fragments import Fragment, FragmentRing


def fragment(chunk: int, fence: int = 1) -> Fragment:
    return Fragment("s", chunk, fence, first_frame=0, frames=12, config_hash="c", data=bytes([chunk]))


def filled(*chunks: int) -> FragmentRing:
    ring = FragmentRing()
    for chunk in chunks:
        assert ring.publish(fragment(chunk))
    return ring


async def test_a_fast_reader_gets_every_fragment_in_order() -> None:
    ring = FragmentRing()
    seen: list[int] = []

    async def read() -> None:
        while (item := await ring.next_after(seen[-1] if seen else -1)) is not None:
            seen.append(item.chunk)

    reader = asyncio.create_task(read())
    for chunk in range(20):
        ring.publish(fragment(chunk))
        await asyncio.sleep(0)
    ring.close()
    await reader
    assert seen == list(range(20))


async def test_a_reader_too_far_behind_skips_to_the_newest() -> None:
    ring = filled(0)
    ring.publish(fragment(1))
    assert await ring.next_after(-1, most_behind=2) == fragment(0)
    ring.publish(fragment(2))
    assert await ring.next_after(-1, most_behind=2) == fragment(2)


async def test_pulling_returns_the_newest_and_waits_when_there_is_none() -> None:
    ring = filled(3, 4, 5)
    newest = await ring.next_after(3)
    assert newest is not None
    assert newest.chunk == 5
    waiting = asyncio.create_task(ring.next_after(5))
    await asyncio.sleep(0)
    assert not waiting.done()
    ring.publish(fragment(6))
    assert await waiting == fragment(6)


async def test_a_closed_ring_gives_what_it_keeps_and_then_nothing() -> None:
    ring = filled(0, 1)
    ring.close()
    assert await ring.next_after(-1, most_behind=2) == fragment(0)
    assert await ring.next_after(0) == fragment(1)
    assert await ring.next_after(1) is None
    assert not ring.publish(fragment(2))


def test_a_stale_owner_an_old_chunk_and_another_configuration_are_dropped() -> None:
    ring = filled(0, 1)
    assert not ring.publish(replace(fragment(2), config_hash="other"))
    assert ring.publish(fragment(2, fence=7))
    assert not ring.publish(fragment(3, fence=6))
    assert not ring.publish(fragment(2, fence=8))
    assert ring.newest == fragment(2, fence=7)


def test_memory_is_bounded_when_nobody_reads() -> None:
    ring = FragmentRing(size=8)
    for chunk in range(100):
        ring.publish(fragment(chunk))
    assert len(ring._kept) == 8
