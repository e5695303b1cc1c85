"""A session: its states, what may happen to it, the entries of its timeline. Plain data; knows no Redis, no HTTP."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

LATENTS_PER_CHUNK = 3
FRAMES_PER_LATENT = 4


def chunk_frames(chunk: int, *, latents: int = LATENTS_PER_CHUNK, stride: int = FRAMES_PER_LATENT) -> int:
    """Pixel frames of a chunk: the causal VAE makes one of the very first latent frame, `stride` of each later one."""
    return stride * latents - (stride - 1 if chunk == 0 else 0)


def chunk_first_frame(chunk: int, *, latents: int = LATENTS_PER_CHUNK, stride: int = FRAMES_PER_LATENT) -> int:
    """Number of the first pixel frame of a chunk, both counted from 0."""
    return max(0, stride * latents * chunk - (stride - 1))


class SessionState(StrEnum):
    """`starting`: no fragment yet. `live`: the first one is out. `ended` and `failed` are final."""

    starting = "starting"
    live = "live"
    ended = "ended"
    failed = "failed"

    @property
    def over(self) -> bool:
        return not TRANSITIONS[self]


TRANSITIONS: Mapping[SessionState, frozenset[SessionState]] = MappingProxyType(
    {
        SessionState.starting: frozenset({SessionState.live, SessionState.ended, SessionState.failed}),
        SessionState.live: frozenset({SessionState.ended, SessionState.failed}),
        SessionState.ended: frozenset(),
        SessionState.failed: frozenset(),
    }
)


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Session(_Data):
    """The fold of a session's timeline and of its chunks, as the store keeps it beside them."""

    id: str
    status: SessionState
    prompt: str = Field(description="The prompt that the newest frames follow.")
    seed: int
    model: str
    width: int
    height: int
    fps: int
    created_at: int = Field(description="Unix time in milliseconds.")
    frames: int = Field(0, description="Pixel frames generated so far.")
    chunks: int = Field(0, description="Chunks generated so far.")
    media_seconds: float = Field(0.0, description="Length of the video so far.")
    stalls: int = Field(0, description="How often a fragment came too late and the clock waited for it.")
    reason: str | None = Field(None, description="Why the session ended or failed.")
    fence: int = Field(0, description="Grows with every change of owner.")
    owner: str | None = Field(None, description="The replica that holds the session.")
    last_event_id: str = Field(description="Id of the newest timeline entry: a cursor for timeline and events.")


class _Entry(_Data):
    """`id` and `at` (unix milliseconds) are the store's to give: an entry has them once it was appended."""

    id: str = ""
    at: int = 0


class PromptRequested(_Entry):
    type: Literal["prompt.requested"] = "prompt.requested"
    prompt_id: str
    text: str


class EndRequested(_Entry):
    type: Literal["end.requested"] = "end.requested"


class SessionCreated(_Entry):
    type: Literal["session.created"] = "session.created"
    prompt: str
    seed: int
    model: str
    width: int
    height: int
    fps: int


class SessionLive(_Entry):
    """The first fragment is out."""

    type: Literal["session.live"] = "session.live"


class PromptApplied(_Entry):
    """`frame` is the first that follows the prompt, `media_seconds` its time in the video.

    `latency_ms` counts from the request to the fragment that holds that frame.
    """

    type: Literal["prompt.applied"] = "prompt.applied"
    prompt_id: str
    text: str
    chunk: int
    frame: int
    media_seconds: float
    latency_ms: int


class PromptRefused(_Entry):
    type: Literal["prompt.refused"] = "prompt.refused"
    prompt_id: str
    reason: str


class Stalled(_Entry):
    """Fragment `chunk` came `gap_ms` after it was due; the clock waited for it. The first of a run of late ones."""

    type: Literal["stalled"] = "stalled"
    chunk: int
    gap_ms: int


class SessionEnded(_Entry):
    type: Literal["session.ended"] = "session.ended"
    reason: str


class SessionFailed(_Entry):
    type: Literal["session.failed"] = "session.failed"
    reason: str


Command = PromptRequested | EndRequested
Fact = SessionLive | PromptApplied | PromptRefused | Stalled | SessionEnded | SessionFailed
Entry = Annotated[SessionCreated | Command | Fact, Field(discriminator="type")]
ENTRY: TypeAdapter[SessionCreated | Command | Fact] = TypeAdapter(Entry)


class Chunk(_Data):
    """One generated chunk: its number, its first pixel frame, how many there are, how long they took to make.

    Its fragment came `gap_ms` after it was due, or in time (0).
    """

    id: str = ""
    at: int = 0
    chunk: int
    first_frame: int
    frames: int
    generated_ms: int
    gap_ms: int = 0


@dataclass(frozen=True)
class Change:
    """What an entry does to the session: the state it leads to (None: stays), fields set, counters raised."""

    to: SessionState | None = None
    put: Mapping[str, str] = field(default_factory=dict)
    add: Mapping[str, int] = field(default_factory=dict)

    @property
    def allowed_from(self) -> frozenset[SessionState]:
        """States in which the entry may be appended: those that lead to `to`, or any that is not over."""
        return frozenset(s for s in SessionState if (not s.over if self.to is None else self.to in TRANSITIONS[s]))


def change_of(entry: Command | Fact | Chunk) -> Change:
    """What an entry means for the fold: said here only; the store applies it in the script that appends the entry."""
    match entry:
        case SessionLive():
            return Change(to=SessionState.live)
        case SessionEnded(reason=reason):
            return Change(to=SessionState.ended, put={"reason": reason})
        case SessionFailed(reason=reason):
            return Change(to=SessionState.failed, put={"reason": reason})
        case PromptApplied(text=text):
            return Change(put={"prompt": text})
        case Chunk():
            return Change(
                put={"chunks": str(entry.chunk + 1), "frames": str(entry.first_frame + entry.frames)},
                add={"stalls": 1} if entry.gap_ms else {},
            )
        case _:
            return Change()


class IllegalTransition(Exception):
    """An entry that the session's state does not allow: a fault of the program, not of a client."""


def created(sid: str, entry: SessionCreated) -> Session:
    """The session right after its first entry."""
    facts = entry.model_dump(exclude={"id", "at", "type"})
    return Session(id=sid, status=SessionState.starting, created_at=entry.at, last_event_id=entry.id, **facts)


def fold(session: Session, entries: Iterable[Command | Fact | Chunk]) -> Session:
    """Replay entries over a session. Raises IllegalTransition where the table forbids one."""
    for entry in entries:
        change = change_of(entry)
        if session.status not in change.allowed_from:
            raise IllegalTransition(f"{type(entry).__name__} in state {session.status}")
        values = session.model_dump() | dict(change.put)
        for name, step in change.add.items():
            values[name] += step
        values["status"] = change.to or session.status
        if not isinstance(entry, Chunk):
            values["last_event_id"] = entry.id
        session = Session.model_validate(values | {"media_seconds": int(values["frames"]) / session.fps})
    return session
