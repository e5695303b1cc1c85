"""One upstream per watched session: shared by its viewers, stopped after the last, closed when the owner is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from deployments.fragments import Fragment
from deployments.hub import Hub
from deployments.placement import OwnerDied, ReplicaGone


class FakeOwner:
    """A session's owner, as far as the hub sees it."""

    def __init__(self) -> None:
        self.opened = 0
        self.stopped = asyncio.Event()
        self.queue: asyncio.Queue[int | Exception | None] = asyncio.Queue()
        self.lost: list[tuple[str, str]] = []
        self.is_over = False

    async def fragments(self, sid: str, owner: str) -> AsyncGenerator[Fragment, None]:
        self.opened += 1
        try:
            while (item := await self.queue.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield Fragment(sid, item, 1, first_frame=0, frames=12, config_hash="c", data=b"")
        finally:
            self.stopped.set()

    async def tell_lost(self, sid: str, owner: str) -> None:
        self.lost.append((sid, owner))

    async def over(self, sid: str) -> bool:
        return self.is_over

    def hub(self, keep_s: float = 60.0, idle_s: float = 60.0) -> Hub:
        return Hub(self.fragments, self.tell_lost, self.over, keep_s=keep_s, idle_s=idle_s)


async def test_viewers_of_one_session_share_one_upstream() -> None:
    owner = FakeOwner()
    hub = owner.hub()
    async with hub.watch("s", "r") as one, hub.watch("s", "r") as two:
        owner.queue.put_nowait(0)
        assert await one.next_after(-1) == await two.next_after(-1)
    assert owner.opened == 1
    await hub.close()


async def test_the_upstream_stops_some_time_after_the_last_viewer_left() -> None:
    owner = FakeOwner()
    hub = owner.hub(keep_s=0.01)
    async with hub.watch("s", "r") as ring:
        owner.queue.put_nowait(0)
        await ring.next_after(-1)
    assert hub.ring("s") is ring
    await owner.stopped.wait()
    assert hub.ring("s") is None


async def test_a_viewer_that_comes_back_in_time_keeps_the_upstream() -> None:
    owner = FakeOwner()
    hub = owner.hub()
    for chunk in range(3):
        async with hub.watch("s", "r") as ring:
            owner.queue.put_nowait(chunk)
            assert (await ring.next_after(chunk - 1)) is not None
    assert owner.opened == 1
    await hub.close()
    assert owner.stopped.is_set()


async def test_a_lost_owner_is_reported_and_its_viewers_are_let_go() -> None:
    owner = FakeOwner()
    hub = owner.hub()
    async with hub.watch("s", "r") as ring:
        owner.queue.put_nowait(OwnerDied("r"))
        assert await ring.next_after(-1) is None
    assert owner.lost == [("s", "r")]
    await hub.close()


async def test_an_owner_that_cannot_be_reached_from_here_is_not_declared_lost() -> None:
    owner = FakeOwner()
    hub = owner.hub()
    async with hub.watch("s", "r") as ring:
        owner.queue.put_nowait(ReplicaGone("r"))
        assert await ring.next_after(-1) is None
    assert owner.lost == []
    assert hub.ring("s") is None, "who comes again must get a new upstream"
    await hub.close()


async def test_a_call_that_the_owner_ends_is_made_again_while_the_session_goes_on() -> None:
    owner = FakeOwner()
    hub = owner.hub()
    for item in (0, 1, None, 1, 2):  # the second call begins with what was the newest at the end of the first
        owner.queue.put_nowait(item)
    async with hub.watch("s", "r") as ring:
        assert [(await ring.next_after(chunk - 1, 8)).chunk for chunk in range(3)] == [0, 1, 2]
    assert owner.opened == 2
    await hub.close()


async def test_an_owner_that_has_nothing_of_a_session_is_not_asked_without_end() -> None:
    owner = FakeOwner()
    hub = owner.hub()
    owner.queue.put_nowait(None)
    async with hub.watch("s", "r") as ring:
        assert await ring.next_after(-1) is None
    assert owner.opened == 1
    assert hub.ring("s") is None
    await hub.close()


async def test_the_last_fragments_of_a_session_that_is_over_stay_for_its_viewers() -> None:
    owner = FakeOwner()
    owner.is_over = True
    hub = owner.hub()
    for item in (0, 1, None):
        owner.queue.put_nowait(item)
    async with hub.watch("s", "r") as ring:
        assert await ring.next_after(-1, 8) is not None
    async with hub.watch("s", "r") as again:
        assert (await again.next_after(0)).chunk == 1
        assert await again.next_after(1) is None
    assert owner.opened == 1
    await hub.close()


async def test_a_broken_upstream_lets_its_viewers_come_again_and_accuses_nobody() -> None:
    owner = FakeOwner()
    hub = owner.hub()
    async with hub.watch("s", "r") as ring:
        owner.queue.put_nowait(RuntimeError("a wire broke"))
        assert await ring.next_after(-1) is None
    async with hub.watch("s", "r") as ring:
        owner.queue.put_nowait(0)
        assert await ring.next_after(-1) is not None
    assert owner.opened == 2
    assert owner.lost == []
    await hub.close()


async def test_a_silent_upstream_of_a_session_that_is_over_is_closed() -> None:
    owner = FakeOwner()
    owner.is_over = True
    hub = owner.hub(idle_s=0.01)
    async with hub.watch("s", "r") as ring:
        assert await ring.next_after(-1) is None
    assert owner.lost == []
    assert owner.stopped.is_set()
    await hub.close()
