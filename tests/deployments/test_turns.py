"""A lock that the most urgent gets, and that is lost by nobody's leaving."""

from __future__ import annotations

import asyncio

import pytest

from deployments.turns import Turns


async def queue(
    turns: Turns, *waiting: tuple[str, float]
) -> tuple[list[str], dict[str, asyncio.Task[None]], asyncio.Event]:
    """Somebody who has the lock until the event, and those who came after."""
    done: list[str] = []
    release = asyncio.Event()

    async def work(name: str, due: float) -> None:
        async with turns.turn(due):
            done.append(name)
            if name == "first":
                await release.wait()

    tasks = {}
    for name, due in [("first", 9.0), *waiting]:
        tasks[name] = asyncio.create_task(work(name, due))
        await asyncio.sleep(0)
    return done, tasks, release


async def test_the_most_urgent_is_next_and_among_equals_who_came_first() -> None:
    done, tasks, release = await queue(Turns(), ("b", 2.0), ("a", 1.0), ("c", 2.0), ("z", float("inf")))
    assert done == ["first"]
    release.set()
    await asyncio.gather(*tasks.values())
    assert done == ["first", "a", "b", "c", "z"]


@pytest.mark.parametrize("when", ["while it waits", "when it is its turn"])
async def test_who_leaves_holds_up_nobody(when: str) -> None:
    done, tasks, release = await queue(Turns(), ("a", 1.0), ("b", 2.0))
    if when == "while it waits":
        tasks["a"].cancel()
        await asyncio.sleep(0)
        release.set()
    else:
        release.set()
        await asyncio.sleep(0)  # the first is about to leave
        await asyncio.sleep(0)
        tasks["a"].cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)
    assert done[-1] == "b"


async def test_one_at_a_time() -> None:
    turns, inside, most = Turns(), 0, 0

    async def work(due: float) -> None:
        nonlocal inside, most
        async with turns.turn(due):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(work(float(due % 3)) for due in range(20)))
    assert (inside, most) == (0, 1)
    await work(0.0)
