"""The fold: what each entry does to a session, and what the table of transitions forbids."""

from __future__ import annotations

import random

import pytest
from fold import created, fold

from deployments.entries import (
    ENTRY,
    Chunk,
    EndRequested,
    Fact,
    PauseRequested,
    PromptApplied,
    PromptRequested,
    RecordingFailed,
    SessionCreated,
    SessionEnded,
    SessionFailed,
    SessionLive,
    SessionPaused,
    SessionResumed,
    SessionStarting,
    Stalled,
)
from deployments.session import (
    TRANSITIONS,
    IllegalTransition,
    SessionState,
    chunk_at,
    chunk_first_frame,
    chunk_frames,
)

CREATED = SessionCreated(id="5-0", at=5, prompt="a fox", seed=1, model="tiny", width=96, height=96, fps=16)
PAUSED = SessionPaused(id="12-0", chunk=2, frame=21, media_seconds=1.3125, snapshot="s/snapshots/1-2")
RESUMED = SessionResumed(id="13-0", chunk=2, frame=21, media_seconds=1.3125)
APPLIED = PromptApplied(
    id="8-0",
    prompt_id="p",
    text="it rains",
    chunk=2,
    frame=21,
    media_seconds=1.3125,
    latency_ms=700,
    changes=("rain",),
)


def test_chunks_follow_each_other_without_a_gap() -> None:
    assert [chunk_first_frame(k) for k in range(4)] == [0, 9, 21, 33]
    for chunk in range(100):
        assert chunk_first_frame(chunk) + chunk_frames(chunk) == chunk_first_frame(chunk + 1)


def test_a_frame_belongs_to_the_first_chunk_that_does_not_begin_before_it() -> None:
    for frame in range(500):
        chunk = chunk_at(frame)
        assert chunk_first_frame(chunk) >= frame
        assert chunk == 0 or chunk_first_frame(chunk - 1) < frame
    assert [chunk_at(chunk_first_frame(k)) for k in range(100)] == list(range(100))


def test_the_fold_of_a_whole_life() -> None:
    queued = created("s", CREATED)
    assert queued.status is SessionState.queued
    paused = fold(
        queued,
        [
            SessionStarting(id="5-1"),
            Chunk(chunk=0, first_frame=0, frames=9, generated_ms=100),
            SessionLive(id="6-0"),
            PromptRequested(id="7-0", prompt_id="p", text="it rains"),
            Chunk(chunk=1, first_frame=9, frames=12, generated_ms=90, gap_ms=80, slack_ms=0),
            APPLIED,
            Stalled(id="9-0", chunk=1, gap_ms=80),
            RecordingFailed(id="10-0", reason="full"),
            PauseRequested(id="11-0"),
            PAUSED,
        ],
    )
    assert (paused.status, paused.snapshot) == (SessionState.paused, "s/snapshots/1-2")
    assert (paused.slack_ms, paused.generated_ms, paused.record) == (0, 90, False)
    assert (paused.prompt, paused.changes) == ("it rains", ("rain",))
    ended = fold(paused, [RESUMED, EndRequested(id="14-0"), SessionEnded(id="15-0", reason="requested")])
    assert ended.status is SessionState.ended
    assert (ended.prompt, ended.reason, ended.stalls) == ("it rains", "requested", 1)
    assert (ended.chunks, ended.frames, ended.media_seconds) == (2, 21, 21 / 16)
    assert (ended.created_at, ended.last_event_id) == (5, "15-0")


def test_nothing_leaves_a_final_state_and_live_comes_once() -> None:
    for last in (SessionEnded(reason="x"), SessionFailed(reason="x")):
        over = fold(created("s", CREATED), [last])
        for entry in (
            SessionStarting(),
            SessionLive(),
            PAUSED,
            PromptRequested(prompt_id="p", text="t"),
            APPLIED,
            last,
        ):
            with pytest.raises(IllegalTransition):
                fold(over, [entry])
    for twice in ([SessionStarting()] * 2, [SessionStarting(), SessionLive(), SessionLive()], [SessionLive()]):
        with pytest.raises(IllegalTransition):
            fold(created("s", CREATED), twice)


def test_random_lives_only_take_steps_of_the_table() -> None:
    entries: list[Fact] = [
        SessionStarting(),
        SessionLive(),
        Stalled(chunk=1, gap_ms=1),
        PAUSED,
        RESUMED,
        SessionEnded(reason="x"),
        SessionFailed(reason="x"),
    ]
    rng = random.Random(0)
    seen = set()
    for _ in range(1000):
        session = created("s", CREATED)
        for _ in range(12):
            before = session.status
            try:
                session = fold(session, [rng.choice(entries)])
            except IllegalTransition:
                continue
            assert session.status == before or session.status in TRANSITIONS[before]
            seen.add((before, session.status))
    assert {(a, b) for a in SessionState for b in TRANSITIONS[a]} <= seen


def test_entries_are_told_apart_by_type_and_unknown_fields_are_refused() -> None:
    assert ENTRY.validate_python({"type": "stalled", "chunk": 3, "gap_ms": 9}) == Stalled(chunk=3, gap_ms=9)
    assert ENTRY.validate_json(RESUMED.model_dump_json()) == RESUMED
    for bad in ({"type": "stalled", "chunk": 3, "gap_ms": 9, "more": 1}, {"type": "nap"}):
        with pytest.raises(ValueError, match=r"more|nap"):
            ENTRY.validate_python(bad)
