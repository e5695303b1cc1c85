"""One upstream per watched session: shared by its viewers, handed from owner to owner, stopped after the last."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from redis.exceptions import ConnectionError as RedisAway

from deployments import hub as hub_module
from deployments.entries import AnyEntry, SessionEnded
from deployments.fragments import Fragment
from deployments.hub import Hub
from deployments.placement import OwnerDied, ReplicaGone
from deployments.session import Session, SessionState
from deployments.store import NoSuchSession

SESSION = Session(
    id="s",
    status=SessionState.live,
    prompt="a ball",
    seed=0,
    model="tiny",
    width=64,
    height=64,
    fps=16,
    created_at=0,
    owner="r",
    last_event_id="1-0",
)


def fragments(*chunks: int, fence: int = 1) -> tuple[Fragment, ...]:
    return tuple(Fragment("s", chunk, fence, 0, 12, config_hash="c", data=b"") for chunk in chunks)


class FakeService:
    """A session's owners and its history, as far as the hub sees them. What a test puts in the queue comes upstream."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.stopped = asyncio.Event()
        self.queue: asyncio.Queue[tuple[Fragment, ...] | Exception | None] = asyncio.Queue()
        self.lost: list[tuple[str, str, int]] = []
        self.wanted: list[str] = []
        self.room = True
        self.heir = ""  # who takes over at once what has lost its owner
        self.looks = 0
        self.now: Session | Exception = SESSION
        self.told: asyncio.Queue[AnyEntry] = asyncio.Queue()
        self.tailed = asyncio.Event()

    def become(self, status: SessionState, owner: str = "r", **how: object) -> None:
        self.now = SESSION.model_copy(update={"status": status, "owner": owner, **how})

    async def upstream(self, sid: str, owner: str) -> AsyncGenerator[tuple[Fragment, ...], None]:
        self.asked.append(owner)
        try:
            while (item := await self.queue.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            self.stopped.set()

    async def tell_lost(self, sid: str, owner: str, fence: int) -> None:
        self.lost.append((sid, owner, fence))
        if self.heir:
            self.become(SessionState.live, self.heir, fence=fence + 1)

    async def tell_wanted(self, sid: str) -> bool:
        self.wanted.append(sid)
        if self.room:
            self.become(SessionState.live, "other", fence=2)
        return self.room

    async def seen(self, looks: int) -> None:
        """Returns when the hub has asked so many times more what the session is."""
        until = self.looks + looks
        while self.looks < until:  # noqa: ASYNC110
            await asyncio.sleep(0)

    async def session(self, sid: str) -> Session:
        self.looks += 1
        if isinstance(self.now, Exception):
            raise self.now
        return self.now

    async def tail(self, sid: str, after: str = "") -> AsyncGenerator[AnyEntry, None]:
        self.tailed.set()
        yield await self.told.get()

    def hub(self, keep_s: float = 60.0, idle_s: float = 60.0) -> Hub:
        return Hub(
            self.upstream,
            self.tell_lost,
            self.tell_wanted,
            self,
            keep_s=keep_s,
            idle_s=idle_s,
            again_s=0.01,
            retry_s=0.001,
            most_retry_s=0.01,
        )


async def test_viewers_of_one_session_share_one_upstream() -> None:
    service = FakeService()
    hub = service.hub()
    async with hub.watch(SESSION) as one, hub.watch(SESSION) as two:
        service.queue.put_nowait(fragments(0))
        assert await one.next_after(-1) == await two.next_after(-1)
    assert service.asked == ["r"]
    await hub.close()


async def test_what_the_owner_kept_comes_at_once_and_a_viewer_begins_with_the_newest() -> None:
    service = FakeService()
    hub = service.hub()
    async with hub.watch(SESSION) as ring:
        joining = asyncio.create_task(ring.next_after(-1))
        service.queue.put_nowait(fragments(3, 4, 5, 6))
        assert (await joining).chunk == 6
        assert [fragment.chunk for fragment in ring.kept] == [3, 4, 5, 6]
    await hub.close()


async def test_the_upstream_stops_some_time_after_the_last_viewer_left() -> None:
    service = FakeService()
    hub = service.hub(keep_s=0.01)
    async with hub.watch(SESSION) as ring:
        service.queue.put_nowait(fragments(0))
        await ring.next_after(-1)
    assert hub.ring("s") is ring
    await service.stopped.wait()
    assert hub.ring("s") is None
    assert hub.session("s") is None


async def test_a_viewer_that_comes_back_in_time_keeps_the_upstream() -> None:
    service = FakeService()
    hub = service.hub()
    for chunk in range(3):
        async with hub.watch(SESSION) as ring:
            service.queue.put_nowait(fragments(chunk))
            assert (await ring.next_after(chunk - 1)) is not None
    assert service.asked == ["r"]
    await hub.close()
    assert service.stopped.is_set()


async def test_a_dead_owner_is_reported_and_its_viewers_are_let_go_when_the_session_fails_with_it() -> None:
    service = FakeService()
    hub = service.hub()
    async with hub.watch(SESSION) as ring:
        service.become(SessionState.failed)
        service.queue.put_nowait(OwnerDied("r"))
        assert await ring.next_after(-1) is None
    assert service.lost == [("s", "r", 0)]
    await hub.close()


async def test_viewers_follow_the_session_to_the_owner_that_takes_it_over() -> None:
    service = FakeService()
    hub = service.hub()
    async with hub.watch(SESSION) as ring:
        service.queue.put_nowait(fragments(0, 1))
        await ring.reach(1)
        service.become(SessionState.live, owner="other")
        service.queue.put_nowait(OwnerDied("r"))
        service.queue.put_nowait(fragments(1, fence=1))
        service.queue.put_nowait(fragments(2, fence=2))
        assert (await ring.next_after(1)).fence == 2
    assert service.asked == ["r", "other"]
    assert [fragment.chunk for fragment in ring.kept] == [0, 1, 2]
    assert service.lost == [("s", "r", 1)]
    await hub.close()


async def test_a_session_is_adopted_with_a_higher_fence_than_its_viewers_have_seen() -> None:
    service = FakeService()
    service.heir = "other"
    hub = service.hub()
    for item in (fragments(0, fence=7), OwnerDied("r"), fragments(1, fence=8)):
        service.queue.put_nowait(item)
    async with hub.watch(SESSION) as ring:
        assert (await ring.next_after(0)).fence == 8
    assert service.lost == [("s", "r", 7)]
    assert service.asked == ["r", "other"]
    await hub.close()


async def test_a_dead_owner_is_reported_until_somebody_has_the_session() -> None:
    service = FakeService()
    hub = service.hub()
    for _ in range(3):
        service.queue.put_nowait(OwnerDied("r"))
    async with hub.watch(SESSION) as ring:
        while len(service.lost) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert not ring.closed
        service.become(SessionState.live, "other", fence=2)
        service.queue.put_nowait(fragments(0, fence=2))
        assert (await ring.next_after(-1)).fence == 2
    await hub.close()


async def test_nothing_of_a_replica_that_was_stopped_and_goes_on_gets_past_its_successor() -> None:
    """Its upstream is still open, and nobody has heard of the successor yet."""
    service = FakeService()
    hub = service.hub(idle_s=0.01)
    async with hub.watch(SESSION) as ring:
        service.queue.put_nowait(fragments(0, 1))
        await ring.reach(1)
        await service.seen(3)  # it has been silent for a while
        service.become(SessionState.live, "other", fence=2, chunks=2)
        service.queue.put_nowait(fragments(2, 3, 4, fence=1))
        await service.stopped.wait()
        assert [fragment.chunk for fragment in ring.kept] == [0, 1]
        service.queue.put_nowait(fragments(2, fence=2))
        assert (await ring.next_after(1)).fence == 2
        service.queue.put_nowait(fragments(3, fence=1))
        service.queue.put_nowait(fragments(3, fence=2))
        assert (await ring.next_after(2)).fence == 2
    assert service.asked == ["r", "other"]
    await hub.close()


async def test_what_an_owner_wrote_down_before_it_handed_the_session_over_is_still_passed_on() -> None:
    service = FakeService()
    hub = service.hub(idle_s=0.01)
    async with hub.watch(SESSION) as ring:
        service.become(SessionState.live, "other", fence=2, chunks=3)
        service.queue.put_nowait(fragments(0, 1, 2, fence=1))
        await ring.reach(2)
        service.queue.put_nowait(None)
        service.queue.put_nowait(fragments(3, fence=2))
        assert (await ring.next_after(2)).fence == 2
    await hub.close()


async def test_a_session_that_paused_unwatched_goes_on_when_somebody_watches() -> None:
    service = FakeService()
    service.become(SessionState.paused, reason="unwatched")
    service.room = False
    hub = service.hub()
    async with hub.watch(await service.session("s")) as ring:
        while len(service.wanted) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0)
        service.room = True
        service.queue.put_nowait(fragments(0, fence=2))
        assert await ring.next_after(-1) is not None
    assert service.asked == ["other"]
    await hub.close()


@pytest.mark.parametrize("reason", ["requested", "stopped", "no-room"])
async def test_a_session_that_paused_for_another_reason_is_left_alone(reason: str) -> None:
    service = FakeService()
    service.become(SessionState.paused, reason=reason)
    hub = service.hub()
    async with hub.watch(await service.session("s")):
        await service.tailed.wait()
        service.told.put_nowait(SessionEnded(reason="any entry will do"))
        service.tailed.clear()
        await service.tailed.wait()
    assert service.wanted == []
    await hub.close()


async def test_nobody_is_asked_to_take_an_unwatched_session_that_nobody_watches_any_more() -> None:
    service = FakeService()
    service.become(SessionState.paused, reason="unwatched")
    service.room = False
    hub = service.hub()
    async with hub.watch(await service.session("s")):
        await service.tailed.wait()
    asked = len(service.wanted)
    for _ in range(3):
        service.tailed.clear()
        await service.tailed.wait()
    assert len(service.wanted) == asked
    await hub.close()


async def test_a_store_that_hangs_holds_no_picture_up_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "LOOK_SECONDS", 0.01)
    service = FakeService()
    hub = service.hub(idle_s=0.001)

    async def hang(sid: str) -> Session:
        await asyncio.Event().wait()
        raise AssertionError

    service.session = hang  # type: ignore[method-assign]
    async with hub.watch(SESSION) as ring:
        for chunk in range(3):
            await asyncio.sleep(0.005)  # silence, in which the store is asked
            service.queue.put_nowait(fragments(chunk))
            assert (await ring.next_after(chunk - 1)).chunk == chunk
    await hub.close()


async def test_an_owner_that_cannot_be_reached_from_here_is_tried_again_and_not_declared_lost() -> None:
    service = FakeService()
    hub = service.hub()
    async with hub.watch(SESSION) as ring:
        service.queue.put_nowait(ReplicaGone("r"))
        service.queue.put_nowait(RuntimeError("a wire broke"))
        service.queue.put_nowait(fragments(0))
        assert (await ring.next_after(-1)).chunk == 0
    assert service.lost == []
    assert service.asked == ["r", "r", "r"]
    await hub.close()


async def test_a_call_that_the_owner_ends_is_made_again_while_the_session_goes_on() -> None:
    service = FakeService()
    hub = service.hub()
    for item in (fragments(0), fragments(1), None, fragments(0, 1, 2)):
        service.queue.put_nowait(item)
    async with hub.watch(SESSION) as ring:
        assert [(await ring.next_after(chunk - 1, 8)).chunk for chunk in range(3)] == [0, 1, 2]
    assert service.asked == ["r", "r"]
    await hub.close()


async def test_the_last_fragments_of_a_session_that_is_over_stay_for_its_viewers() -> None:
    service = FakeService()
    service.become(SessionState.ended)
    hub = service.hub()
    for item in (fragments(0), fragments(1), None):
        service.queue.put_nowait(item)
    async with hub.watch(SESSION) as ring:
        assert await ring.next_after(-1, 8) is not None
    async with hub.watch(SESSION) as again:
        assert (await again.next_after(0)).chunk == 1
        assert await again.next_after(1) is None
    assert service.asked == ["r"]
    await hub.close()


async def test_a_silent_upstream_of_a_session_that_is_over_is_closed() -> None:
    service = FakeService()
    service.become(SessionState.ended)
    hub = service.hub(idle_s=0.01)
    async with hub.watch(SESSION) as ring:
        assert await ring.next_after(-1) is None
    assert service.lost == []
    assert service.stopped.is_set()
    await hub.close()


async def test_a_silent_upstream_is_left_for_the_owner_that_has_the_session_now() -> None:
    service = FakeService()
    service.become(SessionState.live, owner="other")
    hub = service.hub(idle_s=0.01)
    async with hub.watch(SESSION) as ring:
        await service.stopped.wait()
        service.queue.put_nowait(fragments(0))
        assert await ring.next_after(-1) is not None
    assert service.asked[-1] == "other"
    await hub.close()


async def test_a_paused_session_keeps_its_viewers_and_asks_nobody_until_there_is_news() -> None:
    service = FakeService()
    hub = service.hub()
    async with hub.watch(SESSION) as ring:
        service.queue.put_nowait(fragments(0))
        await ring.reach(0)
        service.become(SessionState.paused)
        service.queue.put_nowait(None)
        await service.tailed.wait()
        going_on = asyncio.create_task(ring.next_after(0))
        assert service.asked == ["r"]
        service.become(SessionState.live, owner="other")
        service.told.put_nowait(SessionEnded(reason="any entry will do"))
        service.queue.put_nowait(fragments(1, fence=2))
        assert (await going_on).chunk == 1
    assert service.asked == ["r", "other"]
    await hub.close()


async def test_a_session_that_ends_while_it_is_paused_lets_its_viewers_go() -> None:
    service = FakeService()
    service.become(SessionState.paused)
    hub = service.hub()
    async with hub.watch(await service.session("s")) as ring:
        await service.tailed.wait()
        service.become(SessionState.ended)
        service.told.put_nowait(SessionEnded(reason="requested"))
        assert await ring.next_after(-1) is None
    assert service.asked == []
    await hub.close()


async def test_a_store_that_is_away_stops_no_picture() -> None:
    service = FakeService()
    hub = service.hub(idle_s=0.001)
    service.now = RedisAway("away")
    async with hub.watch(SESSION) as ring:
        for chunk in range(3):
            service.queue.put_nowait(fragments(chunk))
            service.queue.put_nowait(None)
            assert (await ring.next_after(chunk - 1)).chunk == chunk
    await hub.close()


async def test_a_session_that_the_store_forgot_is_over() -> None:
    service = FakeService()
    service.now = NoSuchSession("s")
    hub = service.hub()
    service.queue.put_nowait(None)
    async with hub.watch(SESSION) as ring:
        assert await ring.next_after(-1) is None
    await hub.close()


async def test_a_fault_lets_the_viewers_go_and_who_comes_again_is_served() -> None:
    service = FakeService()
    service.now = ValueError("a state that nobody can read")
    hub = service.hub()
    service.queue.put_nowait(None)
    async with hub.watch(SESSION) as ring:
        assert await ring.next_after(-1) is None
        assert hub.ring("s") is None
        service.now = SESSION
        service.queue.put_nowait(fragments(0))
        async with hub.watch(SESSION) as another:
            assert await another.next_after(-1) is not None
    await hub.close()


async def test_viewers_that_come_and_go_by_the_hundred_leave_one_upstream_and_nobody_behind() -> None:
    service = FakeService()
    hub = service.hub(keep_s=0.05)
    seen: list[Fragment | None] = []

    async def view(number: int) -> None:
        for _ in range(3):
            async with hub.watch(SESSION) as ring:
                if number % 3:
                    seen.append(await ring.next_after(-1))
                else:
                    await asyncio.sleep(0)  # leaves before anything came

    viewers = [asyncio.create_task(view(number)) for number in range(150)]
    await asyncio.sleep(0)  # all are inside
    for viewer in viewers[::10]:
        viewer.cancel()
    service.queue.put_nowait(fragments(0))
    await asyncio.gather(*viewers, return_exceptions=True)
    assert seen == [*fragments(0)] * 3 * sum(1 for number in range(150) if number % 3 and number % 10)
    assert service.asked == ["r"]
    await service.stopped.wait()
    assert hub.ring("s") is None
