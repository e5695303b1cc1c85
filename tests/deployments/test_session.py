"""The fold: what each entry does to a session, and what the table of transitions forbids."""

from __future__ import annotations

import itertools
import random

import pytest

from deployments.session import (
    ENTRY,
    TRANSITIONS,
    Chunk,
    EndRequested,
    Fact,
    IllegalTransition,
    PromptApplied,
    PromptRequested,
    SessionCreated,
    SessionEnded,
    SessionFailed,
    SessionLive,
    SessionState,
    Stalled,
    chunk_first_frame,
    chunk_frames,
    created,
    fold,
)

CREATED = SessionCreated(id="5-0", at=5, prompt="a fox", seed=1, model="tiny", width=96, height=96, fps=16)
APPLIED = PromptApplied(
    id="8-0", prompt_id="p", text="it rains", chunk=2, frame=21, media_seconds=1.3125, latency_ms=700
)


def test_chunks_follow_each_other_without_a_gap() -> None:
    assert [chunk_first_frame(k) for k in range(4)] == [0, 9, 21, 33]
    for chunk in range(100):
        assert chunk_first_frame(chunk) + chunk_frames(chunk) == chunk_first_frame(chunk + 1)


def test_other_chunk_sizes_and_strides_follow_each_other_too() -> None:
    for latents, stride in itertools.product((1, 2, 5), (1, 2, 4)):
        sizes = [chunk_frames(k, latents=latents, stride=stride) for k in range(4)]
        assert [chunk_first_frame(k, latents=latents, stride=stride) for k in range(4)] == [
            sum(sizes[:k]) for k in range(4)
        ]


def test_the_fold_of_a_whole_life() -> None:
    session = fold(
        created("s", CREATED),
        [
            Chunk(chunk=0, first_frame=0, frames=9, generated_ms=100),
            SessionLive(id="6-0"),
            PromptRequested(id="7-0", prompt_id="p", text="it rains"),
            Chunk(chunk=1, first_frame=9, frames=12, generated_ms=100, gap_ms=80),
            APPLIED,
            Stalled(id="9-0", chunk=1, gap_ms=80),
            EndRequested(id="10-0"),
            SessionEnded(id="11-0", reason="requested"),
        ],
    )
    assert session.status is SessionState.ended
    assert (session.prompt, session.reason, session.stalls) == ("it rains", "requested", 1)
    assert (session.chunks, session.frames, session.media_seconds) == (2, 21, 21 / 16)
    assert (session.created_at, session.last_event_id) == (5, "11-0")


def test_nothing_leaves_a_final_state_and_live_comes_once() -> None:
    for last in (SessionEnded(reason="x"), SessionFailed(reason="x")):
        over = fold(created("s", CREATED), [last])
        for entry in (SessionLive(), PromptRequested(prompt_id="p", text="t"), APPLIED, last):
            with pytest.raises(IllegalTransition):
                fold(over, [entry])
    with pytest.raises(IllegalTransition):
        fold(created("s", CREATED), [SessionLive(), SessionLive()])


def test_random_lives_only_take_steps_of_the_table() -> None:
    entries: list[Fact] = [
        SessionLive(),
        Stalled(chunk=1, gap_ms=1),
        SessionEnded(reason="x"),
        SessionFailed(reason="x"),
    ]
    rng = random.Random(0)
    seen = set()
    for _ in range(300):
        session = created("s", CREATED)
        for _ in range(6):
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
    assert ENTRY.validate_json(APPLIED.model_dump_json()) == APPLIED
    for bad in ({"type": "stalled", "chunk": 3, "gap_ms": 9, "more": 1}, {"type": "nap"}):
        with pytest.raises(ValueError, match=r"more|nap"):
            ENTRY.validate_python(bad)
