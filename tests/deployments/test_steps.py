"""What made a video, read off its timeline."""

from __future__ import annotations

from typing import Any

from deployments.entries import (
    AnyEntry,
    BeginStep,
    Parent,
    PromptApplied,
    PromptRefused,
    PromptRequested,
    PromptStep,
    RestoreStep,
    SessionCreated,
    SessionMoved,
    SessionResumed,
    SessionRewound,
    SessionStarting,
)
from deployments.session import chunk_first_frame
from deployments.steps import prompt_before, seed_of, steps_before, steps_of

BEGIN = BeginStep(text="a ball", seed=7)


def created(**how: Any) -> SessionCreated:
    asked: dict[str, Any] = {"prompt": "a ball", "seed": 7, "model": "m", "width": 16, "height": 16, "fps": 16} | how
    return SessionCreated(**asked)


def where(chunk: int) -> dict[str, Any]:
    frame = chunk_first_frame(chunk)
    return {"chunk": chunk, "frame": frame, "media_seconds": frame / 16}


def prompt(name: str, chunk: int, text: str, **how: Any) -> list[AnyEntry]:
    mode = how.get("mode", "recache")
    return [
        PromptRequested(prompt_id=name, text=text, **how),
        PromptApplied(prompt_id=name, text=text, mode=mode, latency_ms=1, **where(chunk)),
    ]


def test_prompts_and_every_time_that_it_was_rebuilt() -> None:
    entries = [
        created(),
        SessionStarting(),
        *prompt("1", 3, "rain", mode="blend", blend_seconds=2.0),
        SessionResumed(**where(5)),
        SessionMoved(**where(7), cause="lost", restored_chunk=6, damaged=(7,)),
        *prompt("2", 8, "night"),
        SessionRewound(**where(9), restored_chunk=2, prompt="a ball"),
    ]
    steps = steps_of(entries)
    assert steps == (
        BEGIN,
        PromptStep(chunk=3, text="rain", mode="blend", blend_seconds=2.0),
        RestoreStep(chunk=5, restored_chunk=5, text="rain"),
        RestoreStep(chunk=7, restored_chunk=6, text="rain"),
        PromptStep(chunk=8, text="night"),
        RestoreStep(chunk=9, restored_chunk=2, text="a ball"),
    )
    assert [prompt_before(steps, chunk) for chunk in (0, 3, 4, 8, 9, 20)] == [
        *("a ball", "a ball", "rain", "rain", "a ball", "a ball")
    ]


def test_one_that_had_nothing_yet_was_not_rebuilt() -> None:
    assert steps_of([created(), SessionMoved(**where(0), cause="lost")]) == (BEGIN,)


def test_begun_anew_is_rebuilt_as_it_was_before_its_first_chunk() -> None:
    steps = steps_of([created(), SessionMoved(**where(4), cause="lost", restored_chunk=0)])
    assert steps[1:] == (RestoreStep(chunk=4, restored_chunk=0, text="a ball"),)


def test_a_fork_shares_the_past_and_is_rebuilt_at_its_first_chunk() -> None:
    entries = [created(), *prompt("1", 3, "rain"), SessionResumed(**where(5)), *prompt("2", 5, "night")]
    past = steps_before(steps_of(entries), 5)
    assert [step.kind for step in past] == ["begin", "prompt", "restore"]
    parent = Parent(session="p", frame=chunk_first_frame(5), relation="fork")
    same = steps_of([created(prompt="rain", parent=parent, past=past), *prompt("1", 5, "snow")])
    assert same == (*past, RestoreStep(chunk=5, restored_chunk=5, text="rain"), PromptStep(chunk=5, text="snow"))
    other = steps_of([created(prompt="rain", parent=parent, past=past, seed=8)])
    assert other == (*past, RestoreStep(chunk=5, restored_chunk=5, text="rain", seed=8))
    assert (seed_of(same), seed_of(other)) == (7, 8)


def test_a_fork_of_the_very_beginning_is_a_video_of_its_own() -> None:
    parent = Parent(session="p", frame=0, relation="fork")
    assert steps_of([created(parent=parent, seed=8)]) == (BeginStep(text="a ball", seed=8),)


def test_a_render_has_the_steps_of_its_past_however_often_it_was_interrupted() -> None:
    restored = RestoreStep(chunk=9, restored_chunk=2, text="a ball")
    past = (BEGIN, PromptStep(chunk=3, text="rain"), restored)
    parent = Parent(session="p", frame=chunk_first_frame(12), relation="render")
    entries = [
        created(parent=parent, past=past, pace="offline"),
        *prompt("1", 3, "rain"),
        SessionMoved(**where(5), cause="lost"),
        *prompt("2", 11, "snow"),
    ]
    assert steps_of(entries) == (*past, PromptStep(chunk=11, text="snow"))


def test_a_prompt_whose_chunk_the_next_owner_makes_applies_to_what_that_one_rebuilds() -> None:
    entries = [created(), *prompt("1", 3, "rain", mode="cut"), SessionMoved(**where(3), cause="lost")]
    restored = RestoreStep(chunk=3, restored_chunk=3, text="a ball")
    assert steps_of(entries) == (BEGIN, restored, PromptStep(chunk=3, text="rain", mode="cut"))
    assert steps_of([*entries, PromptRefused(prompt_id="1", reason="not read")]) == (BEGIN, restored)
