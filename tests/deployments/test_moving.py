"""A session goes on with another generator: its owner died, was fenced off, or handed it over; no frame is missing."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from unittest import mock

import pytest
from generator_rig import PATIENCE, FakeVideoStream, MemoryHistory, Rig, owns
from generator_rig import rig as make_rig
from redis_store import Store
from torch import Tensor

from deployments.admission import Demand
from deployments.claimed import LeftOver
from deployments.entries import (
    Chunk,
    PromptApplied,
    PromptCancelled,
    PromptCancelRequested,
    PromptRefused,
    PromptRequested,
    SessionLive,
    SessionMoved,
    SessionPaused,
)
from deployments.fragments import Fragment
from deployments.moving import Mover
from deployments.owned import Owned
from deployments.parts import Parts
from deployments.placement import Refusal, TakeOver
from deployments.receipts import PromptStatus, receipts
from deployments.recording import recorded
from deployments.session import Session, SessionState, chunk_first_frame
from deployments.store import Keys, LeaseHeld
from deployments.video_config import VideoConfig
from longlive.snapshot import Snapshot

LOST = TakeOver("r", "lost")


def pair(store: Store, folder: Path, **how: object) -> tuple[Rig, Rig]:
    history = MemoryHistory()
    first, second = (make_rig(store, folder, name=name, history=history, **how) for name in ("r", "r2"))
    first.heir = second
    return first, second


async def lose(rig: Rig, sid: str = "s", chunks: int = 5, **how: object) -> Session:
    """The session as it is once its owner has died."""
    async with rig.running():
        await rig.begin(sid, **how)
        await rig.watch(sid, chunks)
    await rig.idle(sid)  # what was under way then is still stated
    return await rig.store.timeline.session(sid)


def is_whole(fragments: list[Fragment]) -> bool:
    """No chunk twice, none missing, and each where it belongs in time."""
    first = fragments[0].chunk
    return [(each.chunk, each.first_frame, each.frames) for each in fragments] == [
        (chunk, chunk_first_frame(chunk), 12 if chunk else 9) for chunk in range(first, first + len(fragments))
    ]


async def test_another_generator_goes_on_where_the_owner_died(store: Store, tmp_path: Path) -> None:
    first, second = pair(store, tmp_path)
    before = await lose(first)
    async with second.running() as generator:
        session = await generator.take("s", LOST)
        assert isinstance(session, Session)
        assert (session.status, session.owner, session.fence, session.moves) == (SessionState.live, "r2", 2, 1)
        fragments = await second.watch("s", 12)
        (moved,) = await second.all_of(SessionMoved, "s")
        chunks = await store.timeline.chunks("s")
    assert (moved.cause, moved.chunk, moved.frame) == ("lost", before.chunks, before.frames)
    assert (moved.restored_chunk, moved.damaged) == (None, ())
    assert is_whole(fragments)
    assert fragments[0].chunk < before.chunks, "what was counted, and may not have come to anybody, is handed out again"
    assert {fragment.fence for fragment in fragments} == {2}
    assert [chunk.chunk for chunk in chunks] == list(range(len(chunks)))
    assert len(await second.all_of(SessionLive, "s")) == 1


@pytest.mark.parametrize("fault", ["newest damaged", "all damaged", "away"])
async def test_without_the_newest_snapshot_an_older_one_or_none_is_gone_on_from_and_that_is_said(
    store: Store, tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployments.restoring.AGAIN_SECONDS", 0.01)
    first, second = pair(store, tmp_path)
    end = (await lose(first)).chunks
    kept = second.history.kept["s"]
    match fault:
        case "newest damaged":
            kept[end] = None
        case "all damaged":
            kept.update(dict.fromkeys(kept, None))
        case "away":
            second.history.away = True
    async with second.running() as generator:
        await generator.take("s", LOST)
        assert is_whole(await second.watch("s", 12))
        await second.until_chunks("s", end + 3)
        (moved,) = await second.all_of(SessionMoved, "s")
    assert moved.chunk == end
    assert moved.restored_chunk == (end - 1 if fault == "newest damaged" else 0)
    assert moved.damaged == ((end,) if fault == "newest damaged" else ())


async def test_a_session_is_taken_from_its_dead_owner_only(store: Store, tmp_path: Path) -> None:
    first, second = pair(store, tmp_path)
    async with first.running() as generator, second.running() as other:
        await first.begin("s")
        await first.watch("s", 2)
        with pytest.raises(LeaseHeld):
            await other.take("s")
        with pytest.raises(LeaseHeld):
            await other.take("s", TakeOver("somebody-else", "lost"))
        with pytest.raises(LeaseHeld):
            await generator.take("s", LOST)
        await store.redis.delete(Keys("s").lease)  # as a restart of Redis may let it run out
        with pytest.raises(LeaseHeld):
            await other.take("s", TakeOver("somebody-else", "lost"))
        assert len(await first.watch("s", 5)) == 5


async def test_who_comes_while_a_session_is_taken_over_waits_for_its_video(store: Store, tmp_path: Path) -> None:
    first, second = pair(store, tmp_path)
    await lose(first)
    restoring, go_on = threading.Event(), threading.Event()
    plain = second.restore

    def restore(snapshot: Snapshot) -> FakeVideoStream:
        restoring.set()
        go_on.wait(PATIENCE)
        return plain(snapshot)

    second.restore = restore
    async with second.running() as generator:
        taking = asyncio.create_task(generator.take("s", LOST))
        await asyncio.to_thread(restoring.wait, PATIENCE)
        watching = asyncio.create_task(second.watch("s", 3))
        await asyncio.sleep(0.05)
        assert not watching.done()
        go_on.set()
        await taking
        assert len(await watching) == 3


async def test_of_many_that_are_taken_over_the_first_goes_on_before_the_last_is_restored(
    store: Store, tmp_path: Path
) -> None:
    first, second = pair(store, tmp_path, slots=5)
    for sid in "abcde":
        await lose(first, sid, chunks=2)
    done: list[str] = []
    plain = second.restore

    class Played(FakeVideoStream):
        def next_frames(self) -> Tensor:
            done.append("chunk")
            return super().next_frames()

    def restore(snapshot: Snapshot) -> FakeVideoStream:
        time.sleep(0.1)
        done.append("restore")
        stream = plain(snapshot)
        stream.__class__ = Played
        return stream

    second.restore = restore
    async with second.running() as generator:
        await asyncio.gather(*(generator.take(sid, LOST) for sid in "abcde"))
        assert all(await asyncio.gather(*(second.watch(sid, 4) for sid in "abcde")))
    assert done.count("restore") == 5
    assert done.index("chunk") < 4


async def test_of_many_who_take_over_one_does(store: Store, tmp_path: Path) -> None:
    first, second = pair(store, tmp_path)
    await lose(first)
    third = make_rig(store, tmp_path, name="r3", history=second.history)
    async with second.running(), third.running():
        takes = (rig.generator.take("s", LOST) for rig in (second, third, second, third))
        answers = await asyncio.gather(*takes, return_exceptions=True)
    assert sum(isinstance(answer, Session) for answer in answers) == 1
    assert sum(isinstance(answer, LeaseHeld) for answer in answers) == 3


async def test_what_has_paused_meanwhile_is_not_taken_over(store: Store, tmp_path: Path) -> None:
    first, second = pair(store, tmp_path, unwatched_seconds=0.1)
    async with first.running():
        await first.begin("s")
        await first.watch("s", 2)
        await first.next_of(SessionPaused, "s")
    async with second.running() as generator:
        with pytest.raises(LeaseHeld):
            await generator.take("s", LOST)
    assert (await store.timeline.session("s")).status is SessionState.paused


async def test_prompts_that_wait_are_taken_up_by_the_next_owner(store: Store, tmp_path: Path) -> None:
    first, second = pair(store, tmp_path)
    script = PromptRequested(prompt_id="later", text="later", at_frame=chunk_first_frame(12))
    async with first.running():
        await first.begin("s", script)
        await first.watch("s", 3)
    await first.idle("s")
    await store.timeline.append_command("s", PromptRequested(prompt_id="meanwhile", text="meanwhile"))
    chunks = (await store.timeline.session("s")).chunks
    async with second.running() as generator:
        await generator.take("s", LOST)
        watching = asyncio.create_task(second.watch("s", 30))
        applied = [await second.next_of(PromptApplied, "s", count) for count in (1, 2)]
        await watching
    assert [(each.prompt_id, each.chunk) for each in applied] == [("meanwhile", chunks), ("later", 12)]


async def test_a_prompt_that_is_said_to_have_applied_applies_whatever_was_asked_later(
    store: Store, tmp_path: Path
) -> None:
    first, second = pair(store, tmp_path)
    before = await lose(first)
    end, frame = before.chunks, before.frames
    asked = PromptRequested(prompt_id="p", text="a cube", at_frame=frame)
    await store.timeline.append_command("s", asked)
    applied = PromptApplied(
        prompt_id="p", text="a cube", chunk=end, frame=frame, media_seconds=before.media_seconds, latency_ms=1
    )
    await store.timeline.append_fact("s", before.fence, applied)  # and before the chunk is counted, its owner dies
    await store.timeline.append_command("s", PromptRequested(prompt_id="q", text="a cone", at_frame=frame))
    await store.timeline.append_command("s", PromptCancelRequested(prompt_id="p"))
    plain, away = second.encode_text, [True, True]

    async def encode_text(text: str) -> Tensor:
        if text == "a cube" and away:
            away.pop()
            raise RuntimeError("no text encoder")
        return await plain(text)

    second.encode_text = encode_text  # type: ignore[method-assign]
    async with second.running() as generator:
        await generator.take("s", LOST)
        shown: dict[int, int] = {}
        async for some in generator.watch("s"):
            shown |= {fragment.chunk: fragment.data[0] for fragment in some}
            if end + 2 in shown:
                break
        session = await store.timeline.session("s")
        facts = await second.facts("s")
    assert [second.prompts[shown[chunk] - 1] for chunk in range(end, end + 3)] == ["a cube", "a cone", "a cone"]
    assert (session.prompt, session.waiting_prompts) == ("a cone", 0)
    assert [(each.prompt_id, each.status, each.chunk) for each in receipts(facts)] == [
        ("p", PromptStatus.applied, end),
        ("q", PromptStatus.applied, end + 1),
    ]
    assert not any(isinstance(fact, PromptRefused | PromptCancelled) for fact in facts)


async def test_a_video_that_is_restored_as_it_was_earlier_follows_its_newest_prompt(
    store: Store, tmp_path: Path
) -> None:
    first, second = pair(store, tmp_path)
    async with first.running():
        await first.begin("s", PromptRequested(prompt_id="p", text="a cube", at_frame=chunk_first_frame(4)))
        await first.watch("s", 7)
    await first.idle("s")
    end = (await store.timeline.session("s")).chunks
    for chunk in range(4, end + 1):
        second.history.kept["s"][chunk] = None
    async with second.running() as generator:
        await generator.take("s", LOST)
        fragments = await second.watch("s", 12)
        (moved,) = await second.all_of(SessionMoved, "s")
    assert moved.restored_chunk == 3
    # The second generator has read one text.
    assert {fragment.data for fragment in fragments if fragment.chunk >= end} == {bytes([1])}
    assert second.prompts == ["a cube"]


async def test_a_recording_misses_nothing_that_was_handed_out_before_its_owner_died(
    store: Store, tmp_path: Path
) -> None:
    first, second = pair(store, tmp_path)
    await lose(first, chunks=6, record=True)
    async with second.running() as generator:
        await generator.take("s", LOST)
        await second.watch("s", 10)
        await generator.close()
    session = await store.timeline.session("s")
    kept = [chunk for segment in await recorded(second.media, "s") for chunk in segment.chunks]
    assert kept == list(range(session.chunks))


async def test_a_session_that_no_fragment_was_out_of_is_begun_by_the_next_owner(store: Store, tmp_path: Path) -> None:
    first, second = pair(store, tmp_path, encoder_breaks_at=None)
    silent = asyncio.Event()

    async def encode_video(*_: object) -> bytes:
        await silent.wait()
        return b""

    first.encode_video = encode_video  # type: ignore[method-assign]
    async with first.running():
        await first.begin("s")
    assert (await store.timeline.session("s")).status is SessionState.starting
    async with second.running() as generator:
        await generator.take("s", LOST)
        fragments = await second.watch("s", 3)
        session = await store.timeline.session("s")
    assert [fragment.chunk for fragment in fragments] == [0, 1, 2]
    assert session.status is SessionState.live


async def test_a_generator_that_drains_hands_its_sessions_over_between_chunks(store: Store, tmp_path: Path) -> None:
    first, second = pair(store, tmp_path)
    async with first.running() as leaving, second.running() as staying:
        for sid in ("a", "b"):
            await first.begin(sid, record=True)
        seen = dict(zip("ab", await asyncio.gather(*(first.watch(sid, 4) for sid in "ab")), strict=True))
        rest = {sid: asyncio.create_task(first.watch(sid, 10_000)) for sid in "ab"}
        leaving.drain()
        await owns(leaving, 0)
        assert (leaving.free, leaving.draining, staying.sessions) == (-1.0, True, 2)
        assert isinstance(await first.offer("c"), Refusal)
        for sid in "ab":
            (moved,) = await second.all_of(SessionMoved, sid)
            there = await second.watch(sid, 12)
            shown = {fragment.chunk: fragment for fragment in [*seen[sid], *await rest[sid], *there]}
            assert is_whole([shown[chunk] for chunk in sorted(shown)])
            assert moved.cause == "handed-over"
            assert moved.restored_chunk is None
            assert max(each.chunk for each in await rest[sid]) == moved.chunk - 1, "all that was made was shown"


@pytest.mark.parametrize("others", ["have no room", "cannot be asked", "refuse"])
async def test_a_session_that_nobody_takes_goes_on_where_it_is_and_is_offered_again(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: str
) -> None:
    monkeypatch.setattr("deployments.moving.MOVE_AGAIN_SECONDS", 0.05)
    first, second = pair(store, tmp_path)
    first.heir = None
    asked: list[str] = []
    offered: list[str] = []
    plain, room = first.hand_over, first.others_have_room

    async def others_have_room(sid: str, demand: Demand) -> bool:
        asked.append(others)
        if others == "cannot be asked" and first.heir is None:
            raise RuntimeError("no way to them")
        return others == "refuse" or await room(sid, demand)

    async def hand_over(sid: str) -> None:
        offered.append(sid)
        await plain(sid)

    first.others_have_room = others_have_room  # type: ignore[method-assign]
    first.hand_over = hand_over  # type: ignore[method-assign]
    async with first.running() as leaving, second.running():
        await first.begin("s")
        watching = asyncio.create_task(first.watch("s", 20))
        leaving.drain()
        assert is_whole(await watching)
        assert len(asked) > 1
        assert (len(offered) > 1) == (others == "refuse"), "its picture stands still only for one that has room"
        leaving.undrain()
        assert (leaving.sessions, leaving.draining) == (1, False)
        first.heir = second
        leaving.drain()
        await owns(leaving, 0)
        assert len(await second.watch("s", 3)) == 3


async def test_a_zombie_states_nothing_and_shows_nothing(store: Store, tmp_path: Path) -> None:
    """Its loop stands still, as if it were stopped, while another generator takes its session."""
    first, second = pair(store, tmp_path)
    standing, go_on = asyncio.Event(), asyncio.Event()
    plain = first.encode_video

    async def encode_video(config: object, frames: object, chunk: int, first_frame: int) -> bytes:
        if chunk == 5:
            standing.set()
            await go_on.wait()
        return await plain(config, frames, chunk, first_frame)  # type: ignore[arg-type]

    first.encode_video = encode_video  # type: ignore[method-assign]
    async with first.running() as zombie, second.running() as generator:
        await first.begin("s")
        watching = asyncio.create_task(first.watch("s", 100))
        await standing.wait()
        await generator.take("s", LOST)
        go_on.set()
        shown = await watching
        await owns(zombie, 0)
        await second.watch("s", 12)
        with suppress(LeaseHeld):
            await zombie.take("s", LOST)
        chunks = await store.timeline.chunks("s")
    assert max(fragment.chunk for fragment in shown) < 5
    assert [chunk.chunk for chunk in chunks] == list(range(len(chunks)))


def test_who_is_taken_over_has_something_to_show_until_the_newest_chunk_has_played() -> None:
    newest = Chunk(at=100_000, chunk=3, first_frame=33, frames=12, generated_ms=90, slack_ms=250)
    assert LeftOver(newest=newest).due(fps=16) == 101.0
    assert LeftOver().due(fps=16) == math.inf


def mover_at(clock: Callable[[], float]) -> Mover:
    parts = mock.Mock(spec=Parts, clock=clock, others_have_room=mock.Mock(), hand_over=mock.Mock(), leases=mock.Mock())
    return Mover(parts, mock.Mock(), mock.Mock())


def with_slack(sid: str, slack: Callable[[float], float]) -> Owned:
    return mock.Mock(spec=Owned, sid=sid, video=VideoConfig(width=16, height=16, fps=16), slack=slack)


async def test_of_those_that_move_first_goes_who_has_most_time_until_the_next_chunk() -> None:
    times = count(100.0, 0.05)  # a chunk plays for 0.75 s
    mover = mover_at(lambda: next(times))
    soon, later = with_slack("soon", lambda _: 0.1), with_slack("later", lambda _: 0.5)
    assert await mover.next_of([soon, later]) is later
    fresh = with_slack("fresh", lambda now: 0.7 if now > 100.4 else -math.inf)
    assert await mover.next_of([soon, fresh]) is fresh, "its chunk is awaited"


async def test_a_session_that_is_never_in_time_is_moved_all_the_same() -> None:
    times = count(100.0, 0.25)
    late = with_slack("late", lambda _: -0.5)
    assert await mover_at(lambda: next(times)).next_of([late]) is late
    assert next(times) == 101.0, "after as long as a chunk plays"
