"""A session: its states, what each entry of its timeline does to it, and where its chunks lie in time. Plain data."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from deployments.entries import (
    AnyEntry,
    Chunk,
    Data,
    Pace,
    Parent,
    PauseRefused,
    PauseRequested,
    PromptApplied,
    PromptCancelled,
    PromptRefused,
    PromptRequested,
    RecordingFailed,
    SessionCreated,
    SessionEnded,
    SessionFailed,
    SessionLive,
    SessionMoved,
    SessionPaused,
    SessionResumed,
    SessionRewound,
    SessionStarting,
)

LATENTS_PER_CHUNK = 3
FRAMES_PER_LATENT = 4
CHUNK_FRAMES = LATENTS_PER_CHUNK * FRAMES_PER_LATENT
"""Pixel frames of every chunk but the first."""


def chunk_frames(chunk: int) -> int:
    """Pixel frames of a chunk: the causal VAE makes one of the very first latent frame, four of each later one."""
    return CHUNK_FRAMES - (FRAMES_PER_LATENT - 1 if chunk == 0 else 0)


def chunk_first_frame(chunk: int) -> int:
    """Number of the first pixel frame of a chunk, both counted from 0."""
    return max(0, CHUNK_FRAMES * chunk - (FRAMES_PER_LATENT - 1))


def chunk_at(frame: int) -> int:
    """The first chunk that begins at `frame` or later."""
    return 0 if frame <= 0 else math.ceil((frame + FRAMES_PER_LATENT - 1) / CHUNK_FRAMES)


def chunk_holding(frame: int) -> int:
    """The chunk of which `frame` is one."""
    return chunk_at(frame + 1) - 1


class SessionState(StrEnum):
    """`queued`: no generator has it yet. `starting`: one has, and no fragment is out yet. `live`: the first one is.
    `paused`: no generator has it any more, and one can go on with it. `ended` and `failed` are final."""

    queued = "queued"
    starting = "starting"
    live = "live"
    paused = "paused"
    ended = "ended"
    failed = "failed"

    @property
    def over(self) -> bool:
        return not TRANSITIONS[self]

    @property
    def owned(self) -> bool:
        """Whether some generator should hold it."""
        return self in (SessionState.starting, SessionState.live)


_FINAL = frozenset({SessionState.ended, SessionState.failed})
TRANSITIONS: Mapping[SessionState, frozenset[SessionState]] = MappingProxyType(
    {
        SessionState.queued: _FINAL | {SessionState.starting},
        SessionState.starting: _FINAL | {SessionState.live, SessionState.paused},
        SessionState.live: _FINAL | {SessionState.paused},
        SessionState.paused: _FINAL | {SessionState.live},
        SessionState.ended: frozenset(),
        SessionState.failed: frozenset(),
    }
)


def _written(value: object) -> object:
    """As `in_force` writes it."""
    return json.loads(value) if isinstance(value, str) else value


class Session(Data):
    """The fold of a session's timeline and of its chunks, as the store keeps it beside them."""

    id: str
    status: SessionState
    prompt: str = Field(description="The prompt that the newest frames follow.")
    seed: int
    model: str
    width: int
    height: int
    fps: int
    pace: Pace = "live"
    max_seconds: float | None = Field(None, description="Length at which the video ends by itself.")
    record: bool = Field(False, description="Whether the video is kept, for exports.")
    labels: dict[str, str] = Field({}, description="The caller's, to find sessions by.")
    metadata: dict[str, Any] = Field({}, description="The caller's, kept as they are.")
    parent: Parent | None = Field(None, description="The session whose past this one shares.")
    created_at: int = Field(description="Unix time in milliseconds.")
    frames: int = Field(0, description="Pixel frames generated so far.")
    chunks: int = Field(0, description="Chunks generated so far.")
    media_seconds: float = Field(0.0, description="Length of the video so far.")
    stalls: int = Field(0, description="How often a fragment came too late and the clock waited for it.")
    slack_ms: int | None = Field(None, description="How long before it was due the newest fragment was out.")
    generated_ms: int | None = Field(None, description="What the newest chunk took on the device.")
    moves: int = Field(0, description="How often another generator took the video over.")
    reason: str | None = Field(None, description="Why the session is paused, or has ended or failed.")
    changes: Annotated[tuple[str, ...], BeforeValidator(_written)] = Field(
        (), description="What prompts have changed of the scene.", exclude=True
    )
    snapshot: str | None = Field(None, description="Where a paused session goes on from.", exclude=True)
    pausing: bool = Field(False, description="Whether it was asked to pause and has not yet.", exclude=True)
    waiting_prompts: int = Field(0, description="Prompts that were accepted and still wait.", exclude=True)
    fence: int = Field(0, description="Grows with every change of owner.")
    owner: str | None = Field(None, description="The generator that holds the session.")
    queue_position: int | None = Field(None, description="Of a queued session: 1 is the next of its pace to start.")
    last_event_id: str = Field(description="Id of the newest timeline entry: a cursor for timeline and events.")

    @property
    def first_chunk(self) -> int:
        """Number of the first chunk that is its own: what a fork has from its parent are the chunks before."""
        return chunk_at(self.parent.frame) if self.parent is not None and self.parent.relation == "fork" else 0


@dataclass(frozen=True)
class Change:
    """What an entry does to the session: the state it leads to (None: stays), fields set, counters raised.

    `release`: its owner gives it back.
    """

    to: SessionState | None = None
    put: Mapping[str, str] = field(default_factory=dict)
    add: Mapping[str, int] = field(default_factory=dict)
    release: bool = False

    @property
    def allowed_from(self) -> frozenset[SessionState]:
        """States in which the entry may be appended: those that lead to `to`, or any that is not over."""
        return frozenset(s for s in SessionState if (not s.over if self.to is None else self.to in TRANSITIONS[s]))


_NOT_PAUSING = {"pausing": "false"}


def in_force(prompt: str, changes: Sequence[str]) -> dict[str, str]:
    """What the fold keeps of the scene that the newest frames follow."""
    return {"prompt": prompt, "changes": json.dumps(changes)}


def change_of(entry: AnyEntry | Chunk) -> Change:
    """What an entry means for the fold: said here only; the store applies it in the script that appends the entry."""
    match entry:
        case SessionCreated():
            raise ValueError("a session begins with this entry; it changes none")
        case SessionStarting():
            return Change(to=SessionState.starting)
        case SessionLive():
            return Change(to=SessionState.live)
        case PauseRequested():
            return Change(put={"pausing": "true"})
        case PauseRefused():
            return Change(put=_NOT_PAUSING)
        case SessionPaused(snapshot=snapshot, reason=reason):
            put = {"reason": reason} | ({"snapshot": snapshot} if snapshot else {})
            return Change(to=SessionState.paused, put=put | _NOT_PAUSING, release=True)
        case SessionResumed():  # also from a pause that was asked for again when it was there already
            return Change(to=SessionState.live, put=_NOT_PAUSING | {"reason": ""})
        case SessionMoved():
            return Change(add={"moves": 1})
        case SessionRewound(prompt=prompt, changes=changes):
            # Where it had paused before is not where it goes on from.
            return Change(put=in_force(prompt, changes) | {"snapshot": ""})
        case SessionEnded(reason=reason):
            return Change(to=SessionState.ended, put={"reason": reason}, release=True)
        case SessionFailed(reason=reason):
            return Change(to=SessionState.failed, put={"reason": reason}, release=True)
        case PromptRequested():
            return Change(add={"waiting_prompts": 1})
        case PromptApplied(text=text, changes=changes):
            return Change(put=in_force(text, changes), add={"waiting_prompts": -1})
        case PromptRefused() | PromptCancelled():
            return Change(add={"waiting_prompts": -1})
        case RecordingFailed():
            return Change(put={"record": "false"})
        case Chunk():
            return Change(
                put={
                    "chunks": str(entry.chunk + 1),
                    "frames": str(entry.first_frame + entry.frames),
                    "generated_ms": str(entry.generated_ms),
                    "slack_ms": "" if entry.slack_ms is None else str(entry.slack_ms),
                },
                add={"stalls": 1} if entry.gap_ms else {},
            )
        case _:
            return Change()


class IllegalTransition(Exception):
    """An entry that the session's state does not allow: a fault of the program, not of a client."""
