"""What a video is a function of, read off its timeline: its beginning, its prompts, and where it was rebuilt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from deployments.context import Context
from deployments.entries import (
    AnyEntry,
    BeginStep,
    PromptApplied,
    PromptCancelled,
    PromptRefused,
    PromptRequested,
    PromptStep,
    RestoreStep,
    SessionCreated,
    SessionMoved,
    SessionResumed,
    SessionRewound,
    Step,
)
from deployments.session import chunk_at


def steps_of(entries: Iterable[AnyEntry]) -> tuple[Step, ...]:
    """Of a session's whole timeline so far. Those of a fork begin with the past that it shares, as does a render's.

    A render is made anew from its first chunk where it is interrupted, so that it is rebuilt only where the original
    was: it has its own prompts, and the other steps of its past.

    That a prompt applied is said before its chunk counts. Who takes over from there rebuilds the video for that chunk
    without the prompt, and then has it apply, or says that it does not after all.
    """
    steps: list[Step] = []
    applied: dict[str, Step] = {}
    blends: dict[str, float | None] = {}
    render = False
    for entry in entries:
        match entry:
            case SessionCreated():
                render = entry.parent is not None and entry.parent.relation == "render"
                steps += _beginning(entry)
            case PromptRequested():
                blends[entry.prompt_id] = entry.blend_seconds
            case PromptApplied():
                blend = blends.get(entry.prompt_id)
                applied[entry.prompt_id] = PromptStep(
                    chunk=entry.chunk, text=entry.text, changes=entry.changes, mode=entry.mode, blend_seconds=blend
                )
                steps.append(applied[entry.prompt_id])
            case PromptRefused(prompt_id=prompt_id) | PromptCancelled(prompt_id=prompt_id) if prompt_id in applied:
                steps.remove(applied.pop(prompt_id))
            case SessionMoved() | SessionResumed() | SessionRewound() if entry.chunk and not render:
                restored = entry.chunk if entry.restored_chunk is None else entry.restored_chunk
                shows = context_before(steps, entry.chunk)
                if isinstance(entry, SessionRewound):
                    shows = Context(entry.prompt, entry.changes)
                steps.append(
                    RestoreStep(chunk=entry.chunk, text=shows.scene, changes=shows.changes, restored_chunk=restored)
                )
    return tuple(sorted(steps, key=_place))


def steps_before(steps: Sequence[Step], chunk: int) -> tuple[Step, ...]:
    """What made the video as it was before a chunk: rebuilt for it, but still without a prompt that came with it."""
    return tuple(step for step in steps if _place(step) < (chunk, _PROMPT))


def prompt_before(steps: Sequence[Step], chunk: int) -> str:
    """The prompt in force before a chunk."""
    return context_before(steps, chunk).scene


def context_before(steps: Sequence[Step], chunk: int) -> Context:
    """What the video shows before a chunk."""
    newest = steps_before(steps, chunk)[-1]
    return Context(newest.text, newest.changes)


def seed_of(steps: Sequence[Step]) -> int:
    """That of the newest noise."""
    return next(step.seed for step in reversed(steps) if not isinstance(step, PromptStep) and step.seed is not None)


def _beginning(created: SessionCreated) -> Sequence[Step]:
    parent, past = created.parent, created.past
    if parent is None or not past:
        return [BeginStep(text=created.prompt, seed=created.seed)]
    if parent.relation == "render":
        return [step for step in past if not isinstance(step, PromptStep)]
    chunk, seed = chunk_at(parent.frame), None if seed_of(past) == created.seed else created.seed
    own = RestoreStep(chunk=chunk, text=created.prompt, changes=created.changes, restored_chunk=chunk, seed=seed)
    return [*past, own]


_PROMPT = 1


def _place(step: Step) -> tuple[int, int]:
    return step.chunk, _PROMPT if isinstance(step, PromptStep) else 0
