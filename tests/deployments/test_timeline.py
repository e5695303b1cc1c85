"""The timeline over a real Redis: one script appends and folds; errors are typed; cursors and doorbells work."""

from __future__ import annotations

import asyncio
import json
import pickle
from typing import Any
from unittest import mock

import pytest
from fold import created, fold
from redis.exceptions import RedisError
from redis_store import Store

from deployments import inbox
from deployments.entries import (
    Chunk,
    Command,
    EndRequested,
    Fact,
    PromptApplied,
    PromptRefused,
    PromptRequested,
    SessionCreated,
    SessionEnded,
    SessionLive,
    SessionPaused,
    SessionResumed,
    SessionStarting,
    Stalled,
)
from deployments.redis_server import RedisServer
from deployments.session import IllegalTransition, Session, SessionState
from deployments.store import (
    LIVE_SESSIONS,
    SESSION_INDEX,
    BadCursor,
    CursorGone,
    Fenced,
    Keys,
    LeaseHeld,
    NoSuchSession,
    SessionExists,
    SessionOver,
    WritesLost,
    connect,
    inbox_key,
    waiting_key,
)
from deployments.timeline import Timeline

CREATED = SessionCreated(prompt="a fox", seed=2**62, model="tiny", width=96, height=96, fps=16)
ASK = PromptRequested(prompt_id="p1", text='it "rains" — ✓')
APPLIED = PromptApplied(prompt_id="p1", text=ASK.text, chunk=2, frame=21, media_seconds=1.3125, latency_ms=7)
CHUNK = Chunk(chunk=0, first_frame=0, frames=9, generated_ms=80)


async def begin(store: Store, sid: str = "s1") -> int:
    """A session that a generator has taken."""
    await store.timeline.create(sid, CREATED)
    fence = await store.leases.claim(sid, "r1")
    await store.timeline.append_fact(sid, fence, SessionStarting())
    return fence


async def test_the_stored_state_is_the_fold_of_the_stored_entries(store: Store) -> None:
    fence = await begin(store)
    facts: list[Fact] = [
        SessionLive(),
        APPLIED,
        Stalled(chunk=1, gap_ms=50),
        PromptRefused(prompt_id="p2", reason="empty"),
        SessionPaused(chunk=2, frame=21, media_seconds=1.3125, snapshot="s1/snapshots/1-2"),
        SessionResumed(chunk=2, frame=21, media_seconds=1.3125),
        SessionEnded(reason="requested"),
    ]
    await store.timeline.append_chunk("s1", fence, CHUNK)
    late = Chunk(chunk=1, first_frame=9, frames=12, generated_ms=70, gap_ms=50, slack_ms=0)
    await store.timeline.append_chunk("s1", fence, late)
    commands: list[Command] = [ASK, EndRequested()]
    for command in commands:
        await store.timeline.append_command("s1", command)
    for fact in facts:
        await store.timeline.append_fact("s1", fence, fact)

    stored = await store.timeline.session("s1")
    first, starting, *rest = await store.timeline.read("s1")
    assert isinstance(first, SessionCreated)
    entries: list[Any] = [starting, *await store.timeline.chunks("s1"), *rest]
    assert stored == fold(created("s1", first), entries).model_copy(update={"fence": fence, "owner": "r1"})
    assert [entry.type for entry in rest] == [entry.type for entry in (*commands, *facts)]
    assert stored.created_at == first.at > 0
    assert stored.seed == 2**62


async def test_what_another_version_writes_is_read_and_what_it_did_not_know_is_left_out(store: Store) -> None:
    await store.timeline.create("s", CREATED)
    keys, requested = Keys("s"), {"type": "prompt.requested", "prompt_id": "p", "text": "rain", "of_tomorrow": 1}
    await store.redis.xadd(keys.timeline, {"data": json.dumps(requested)})
    await store.redis.hset(keys.state, "of_tomorrow", "1")
    await store.redis.hdel(keys.state, "changes")
    newest = (await store.timeline.read("s"))[-1]
    assert isinstance(newest, PromptRequested)
    assert (newest.prompt_id, newest.text) == ("p", "rain")
    assert (await store.timeline.session("s")).changes == ()


async def test_a_created_session_is_queued_and_cannot_be_created_again(store: Store) -> None:
    session = await store.timeline.create("s1", CREATED)
    assert session.status is SessionState.queued
    assert (session.prompt, session.frames, session.owner) == ("a fox", 0, None)
    with pytest.raises(SessionExists):
        await store.timeline.create("s1", CREATED)
    assert len(await store.timeline.read("s1")) == 1


async def test_a_stale_owner_can_append_nothing(store: Store) -> None:
    old = await begin(store)
    new = await store.leases.claim("s1", "r2", dead_owner="r1")
    with pytest.raises(Fenced):
        await store.timeline.append_fact("s1", old, SessionLive())
    with pytest.raises(Fenced):
        await store.timeline.append_chunk("s1", old, CHUNK)
    with pytest.raises(Fenced):
        await store.timeline.append_fact("s1", old, SessionEnded(reason="requested"))
    await store.timeline.append_fact("s1", new, SessionLive())
    assert [entry.type for entry in await store.timeline.read("s1")] == [
        "session.created",
        "session.starting",
        "session.live",
    ]


async def test_unknown_and_ended_sessions_take_nothing(store: Store) -> None:
    with pytest.raises(NoSuchSession):
        await store.timeline.append_command("nobody", ASK)
    with pytest.raises(NoSuchSession):
        await store.timeline.session("nobody")
    with pytest.raises(NoSuchSession):
        await store.timeline.read("nobody")
    fence = await begin(store)
    await store.timeline.append_fact("s1", fence, SessionEnded(reason="requested"))
    for attempt in (
        store.timeline.append_command("s1", ASK),
        store.timeline.append_fact("s1", fence, Stalled(chunk=1, gap_ms=1)),
        store.timeline.append_chunk("s1", fence, CHUNK),
    ):
        with pytest.raises(SessionOver):
            await attempt


async def test_what_an_owner_repeats_with_its_key_is_there_once_even_when_the_session_is_over(store: Store) -> None:
    fence = await begin(store)
    steps: list[tuple[Fact | Chunk, str]] = [
        (CHUNK, "1-1"),
        (SessionLive(), "1-2"),
        (APPLIED, "1-3"),
        (SessionEnded(reason="requested"), "1-4"),
    ]
    for entry, key in steps:
        append = store.timeline.append_chunk if isinstance(entry, Chunk) else store.timeline.append_fact
        ids = [await append("s1", fence, entry, key) for _ in range(3)]  # type: ignore[arg-type]
        assert len(set(ids)) == 1
        # What anybody else appends meanwhile changes nothing about it.
        if key == "1-2":
            await store.timeline.append_command("s1", ASK)
            assert await store.timeline.append_fact("s1", fence, SessionLive(), key) == ids[0]
    assert len(await store.timeline.chunks("s1")) == 1
    types = [entry.type for entry in await store.timeline.read("s1")]
    assert types[2:] == ["session.live", "prompt.requested", "prompt.applied", "session.ended"]


async def test_who_writes_behind_an_entry_that_is_not_the_newest_hears_that_some_are_lost(store: Store) -> None:
    fence = await begin(store)
    await store.timeline.append_chunk("s1", fence, CHUNK, "1-1")
    await store.timeline.append_command("s1", ASK)
    for _ in range(2):
        await store.timeline.append_fact("s1", fence, SessionLive(), "1-2", after="1-1")
    with pytest.raises(WritesLost):
        await store.timeline.append_fact("s1", fence, APPLIED, "1-4", after="1-3")
    types = [entry.type for entry in await store.timeline.read("s1")]
    assert types[2:] == ["prompt.requested", "session.live"]


async def test_a_write_whose_answer_is_lost_is_not_repeated(redis_server: RedisServer, store: Store) -> None:
    """A proxy that passes the first command on and cuts the connection before the answer."""
    await begin(store)
    passed = 0

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal passed
        to, there = await asyncio.open_connection("127.0.0.1", int(redis_server.url.rpartition(":")[2].split("/")[0]))
        back = asyncio.create_task(relay(to, writer))
        while data := await reader.read(65536):
            there.write(data)
            if b"EVALSHA" in data:
                passed += 1
                back.cancel()
                await to.read(1)
                break
        writer.close()
        there.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)

    async with await asyncio.start_server(cut, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"redis://127.0.0.1:{port}/0") as redis:
            with pytest.raises(RedisError):
                await Timeline(redis, redis).append_command("s1", ASK)
    assert passed == 1
    assert [entry.type for entry in await store.timeline.read("s1")] == [
        "session.created",
        "session.starting",
        "prompt.requested",
    ]


async def test_a_session_becomes_live_once(store: Store) -> None:
    fence = await begin(store)
    await store.timeline.append_fact("s1", fence, SessionLive())
    with pytest.raises(IllegalTransition):
        await store.timeline.append_fact("s1", fence, SessionLive())


async def test_what_a_session_left_expires_together_and_only_after_its_end(store: Store) -> None:
    fence = await begin(store)
    await store.timeline.append_chunk("s1", fence, CHUNK)
    keys = Keys("s1")
    kept = [keys.state, keys.timeline, keys.chunks, keys.fence]
    assert {await store.redis.ttl(key) for key in kept} == {-1}
    assert await store.redis.smembers(LIVE_SESSIONS) == {"s1"}
    await store.timeline.append_fact("s1", fence, SessionEnded(reason="requested"))
    assert {86_000 < await store.redis.ttl(key) <= 86_400 for key in kept} == {True}
    assert not await store.redis.exists(keys.lease)
    assert await store.leases.orphans() == frozenset()
    assert not await store.redis.exists(LIVE_SESSIONS)


async def test_a_paused_session_has_no_owner_expires_like_one_that_is_over_and_a_claim_keeps_it(store: Store) -> None:
    fence = await begin(store)
    await store.timeline.append_fact("s1", fence, SessionLive())
    await store.timeline.append_chunk("s1", fence, CHUNK)
    paused = SessionPaused(chunk=1, frame=9, media_seconds=0.5625, snapshot="s1/snapshots/1-1")
    await store.timeline.append_fact("s1", fence, paused)
    keys = Keys("s1")
    kept = [keys.state, keys.timeline, keys.chunks, keys.fence]
    assert {86_000 < await store.redis.ttl(key) <= 86_400 for key in kept} == {True}
    assert await store.leases.orphans() == frozenset()
    assert not await store.redis.exists(keys.lease, LIVE_SESSIONS)
    assert (await store.timeline.session("s1")).snapshot == paused.snapshot
    assert await store.leases.claim("s1", "r2") == fence + 1
    assert {await store.redis.ttl(key) for key in kept} == {-1}


async def test_old_chunks_are_trimmed(store: Store) -> None:
    fence = await begin(store)
    for chunk in range(1400):
        await store.timeline.append_chunk("s1", fence, Chunk(chunk=chunk, first_frame=0, frames=12, generated_ms=1))
    assert 1000 <= await store.redis.xlen(Keys("s1").chunks) < 1200
    assert [chunk.chunk for chunk in await store.timeline.chunks("s1", limit=2000)][-1] == 1399
    assert (await store.timeline.session("s1")).chunks == 1400


async def test_reading_in_pages_gives_every_entry_once(store: Store) -> None:
    fence = await begin(store)
    for chunk in range(7):
        await store.timeline.append_fact("s1", fence, Stalled(chunk=chunk, gap_ms=1))
    cursor, seen = "", []
    while page := await store.timeline.read("s1", cursor, limit=3):
        seen += page
        cursor = page[-1].id
    assert [entry.chunk for entry in seen if isinstance(entry, Stalled)] == list(range(7))
    assert len(seen) == 9


async def test_a_script_is_written_down_with_its_session(store: Store) -> None:
    script = [PromptRequested(prompt_id=f"p{n}", text="it rains", at_frame=100 * n) for n in (1, 2)]
    await store.timeline.create("s1", CREATED, script)
    _, *asked = await store.timeline.read("s1")
    assert [entry.model_copy(update={"id": "", "at": 0}) for entry in asked] == script


async def test_sessions_come_newest_first_in_pages_and_without_what_is_forgotten(store: Store) -> None:
    sids = [f"s{n}" for n in range(7)]
    for sid in sids:
        await store.timeline.create(sid, CREATED)
        await asyncio.sleep(0.002)  # the index has milliseconds
    await store.timeline.forget("s2")
    found: list[Session] = []
    cursor = ""
    while page := await store.timeline.sessions(cursor, limit=3):
        cursor = page[-1][0]
        found += [session for _, session in page]
    assert [session.id for session in found] == ["s6", "s5", "s4", "s3", "s1", "s0"]
    assert len(await store.redis.zrange(SESSION_INDEX, 0, -1)) == 6
    with pytest.raises(BadCursor):
        await store.timeline.sessions("(everything")


async def expired(store: Store, *sids: str) -> None:
    """Sessions of which time has left nothing but their places in the list."""
    for sid in sids:
        await store.timeline.create(sid, CREATED)
        await store.redis.delete(Keys(sid).state, Keys(sid).timeline)


async def test_a_page_is_full_however_many_around_it_are_gone(store: Store) -> None:
    for sid in ("old", "new"):
        await expired(store, *(f"before_{sid}_{n}" for n in range(250)))
        await store.timeline.create(sid, CREATED)
        await asyncio.sleep(0.002)  # the index has milliseconds
    await expired(store, *(f"last_{n}" for n in range(250)))
    assert [session.id for _, session in await store.timeline.sessions(limit=100)] == ["new", "old"]
    [(cursor, session)] = await store.timeline.sessions(limit=1)
    assert session.id == "new"
    assert [session.id for _, session in await store.timeline.sessions(cursor, limit=1)] == ["old"]


async def test_a_page_costs_a_few_commands_however_long_it_is(store: Store) -> None:
    for n in range(100):
        await store.timeline.create(f"s{n}", CREATED)
    with mock.patch.object(store.redis, "execute_command", wraps=store.redis.execute_command) as commands:
        assert len(await store.timeline.sessions(limit=100)) == 100
    assert commands.call_count <= 2


async def test_what_is_gone_leaves_the_list_though_nobody_reads_it(store: Store) -> None:
    await store.timeline.create("s1", CREATED)
    await expired(store, *(f"gone{n}" for n in range(250)))
    await store.timeline.tidy(most=100)
    assert 1 < await store.redis.zcard(SESSION_INDEX) <= 152, "so many a round"
    for _ in range(3):
        await store.timeline.tidy()
    assert [member.partition("-")[2] for member in await store.redis.zrange(SESSION_INDEX, 0, -1)] == ["s1"]


async def test_nothing_is_left_to_tidy_of_an_empty_list(store: Store) -> None:
    await store.timeline.tidy()
    assert await store.timeline.sessions() == []


async def test_a_forgotten_session_never_was_and_may_be_created_again(store: Store) -> None:
    await store.timeline.create("s1", CREATED)
    await store.timeline.forget("s1")
    with pytest.raises(NoSuchSession):
        await store.timeline.read("s1")
    assert await store.redis.keys("{s1}*") == []
    assert not await store.redis.exists(SESSION_INDEX)
    await store.timeline.create("s1", CREATED)


async def test_a_session_that_waits_is_kept_as_long_as_one_that_is_over(store: Store) -> None:
    await store.timeline.create("s1", CREATED)
    await store.timeline.keep("s1")
    keys = Keys("s1")
    assert {86_000 < await store.redis.ttl(key) <= 86_400 for key in (keys.state, keys.timeline)} == {True}


async def test_a_queued_session_knows_its_place_and_a_taken_one_has_none(store: Store) -> None:
    for place, sid in enumerate(("s1", "s2")):
        await store.timeline.create(sid, CREATED)
        await store.redis.zadd(waiting_key("live"), {sid: place})
    assert (await store.timeline.session("s2")).queue_position == 2
    fence = await store.leases.claim("s2", "r1")
    await store.timeline.append_fact("s2", fence, SessionStarting())
    assert (await store.timeline.session("s2")).queue_position is None


async def test_chunks_are_read_in_pages_after_a_cursor(store: Store) -> None:
    fence = await begin(store)
    assert await store.timeline.chunks("s1") == []
    for chunk in range(5):
        await store.timeline.append_chunk("s1", fence, Chunk(chunk=chunk, first_frame=0, frames=12, generated_ms=1))
    first = await store.timeline.chunks("s1", limit=3)
    rest = await store.timeline.chunks("s1", first[-1].id)
    assert [chunk.chunk for chunk in first + rest] == list(range(5))
    await store.redis.xtrim(Keys("s1").chunks, maxlen=1, approximate=False)
    with pytest.raises(CursorGone):
        await store.timeline.chunks("s1", first[-1].id)
    with pytest.raises(NoSuchSession):
        await store.timeline.chunks("nobody")


@pytest.mark.parametrize(
    "cursor", ["x", "-", "+", "$", "5", "5-", "-1-0", "1-1-1", "9" * 21 + "-0", "99999999999999999999-0"]
)
async def test_a_malformed_cursor_is_refused(store: Store, cursor: str) -> None:
    await begin(store)
    with pytest.raises(BadCursor):
        await store.timeline.read("s1", cursor)


async def test_a_cursor_before_the_first_kept_entry_is_gone(store: Store) -> None:
    fence = await begin(store)
    cursor = (await store.timeline.session("s1")).last_event_id
    await store.timeline.append_fact("s1", fence, SessionLive())
    await store.redis.xtrim(Keys("s1").timeline, maxlen=1, approximate=False)
    with pytest.raises(CursorGone):
        await store.timeline.read("s1", cursor)
    assert [entry.type for entry in await store.timeline.read("s1")] == ["session.live"]


async def test_a_tail_follows_to_the_end_and_resumes_after_a_cursor(store: Store) -> None:
    fence = await begin(store)
    followed = asyncio.create_task(_types(store.timeline, "s1", ""))
    await asyncio.sleep(0)
    await store.timeline.append_fact("s1", fence, SessionLive())
    cursor = await store.timeline.append_command("s1", ASK)
    resumed = asyncio.create_task(_types(store.timeline, "s1", cursor))
    await asyncio.sleep(0)
    await store.timeline.append_fact("s1", fence, APPLIED)
    last = await store.timeline.append_fact("s1", fence, SessionEnded(reason="requested"))
    assert await followed == [
        "session.created", "session.starting", "session.live", "prompt.requested", "prompt.applied", "session.ended",
    ]  # fmt: skip
    assert await resumed == ["prompt.applied", "session.ended"]
    assert await _types(store.timeline, "s1", last) == []


async def _types(timeline: Timeline, sid: str, after: str) -> list[str]:
    return [entry.type async for entry in timeline.tail(sid, after)]


async def test_an_inbox_outlives_whatever_redis_answers(store: Store) -> None:
    await store.redis.set(inbox_key("r1"), "not a stream")
    refused = asyncio.Event()
    with mock.patch.object(inbox.log, "warning", side_effect=lambda *_: refused.set()):
        listening = asyncio.ensure_future(anext(store.timeline.inbox("r1")))
        await refused.wait()
    await store.redis.delete(inbox_key("r1"))
    await store.timeline.ring("r1", "s1")
    assert await listening == {"s1"}


async def test_an_inbox_hears_rings_from_before_and_after_it_listened(store: Store) -> None:
    await store.timeline.ring("r1", "s1")
    bell = store.timeline.inbox("r1")
    assert await anext(bell) == {"s1"}
    waiting = asyncio.ensure_future(anext(bell))
    await asyncio.sleep(0)
    await store.timeline.ring("r2", "s9")
    await store.timeline.ring("r1", "s2")
    assert await waiting == {"s2"}


async def test_an_inbox_that_never_stops_ringing_has_all_looked_at_nevertheless(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "BLOCK_MS", 300)
    bell = store.timeline.inbox("r1")
    heard = []
    async with asyncio.timeout(60):
        while heard.count(frozenset()) < 2:
            await store.timeline.ring("r1", "s1")  # there is one whenever the inbox looks
            heard.append(await anext(bell))
    assert frozenset({"s1"}) in heard


async def test_an_inbox_without_a_ring_has_all_looked_at(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "BLOCK_MS", 50)
    bell = store.timeline.inbox("r1")
    assert [await anext(bell), await anext(bell)] == [frozenset(), frozenset()]


@pytest.mark.parametrize(
    "error",
    [
        NoSuchSession("s"), SessionExists("s"), SessionOver("s", "ended"), Fenced("s", 2), LeaseHeld("s", "r"),
        BadCursor("x"), CursorGone("1-0", "2-0"),
    ],
)  # fmt: skip
def test_errors_cross_processes_with_their_words(error: Exception) -> None:
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
