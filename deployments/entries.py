"""The entries of a session's timeline: what was asked of it, and what became of it. Plain data."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

Mode = Literal["recache", "keep", "cut", "blend"]
Pace = Literal["live", "offline"]
BLEND_SECONDS = 3.0
"""How long a `blend` takes if that is not said."""


class Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Entry(Data):
    """`id` and `at` (unix milliseconds) are the store's to give: an entry has them once it was appended."""

    id: str = ""
    at: int = 0


class SessionCreated(_Entry):
    """What the session was asked to be; nothing of it changes later but the prompt."""

    type: Literal["session.created"] = "session.created"
    prompt: str
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
    warnings: tuple[str, ...] = Field((), description="What the model makes nothing of in the prompt.")


class PromptRequested(_Entry):
    """A prompt was accepted: for the first chunk that begins at `at_frame` or later, or (None) for the next one."""

    type: Literal["prompt.requested"] = "prompt.requested"
    prompt_id: str
    text: str
    at_frame: int | None = None
    mode: Mode = "recache"
    blend_seconds: float | None = Field(None, description="How long a `blend` takes.")
    warnings: tuple[str, ...] = Field((), description="What the model makes nothing of in the prompt.")


class PromptCancelRequested(_Entry):
    type: Literal["prompt.cancel_requested"] = "prompt.cancel_requested"
    prompt_id: str


class PauseRequested(_Entry):
    type: Literal["pause.requested"] = "pause.requested"


class EndRequested(_Entry):
    type: Literal["end.requested"] = "end.requested"


class SessionStarting(_Entry):
    """A generator has taken the session."""

    type: Literal["session.starting"] = "session.starting"


class SessionLive(_Entry):
    """The first fragment is out."""

    type: Literal["session.live"] = "session.live"


class PromptScheduled(_Entry):
    """The prompt is read and waits for chunk `chunk`, which begins at `frame`, `media_seconds` into the video."""

    type: Literal["prompt.scheduled"] = "prompt.scheduled"
    prompt_id: str
    chunk: int
    frame: int
    media_seconds: float


class PromptApplied(_Entry):
    """`frame` is the first that follows the prompt, `media_seconds` its time in the video.

    `latency_ms` counts to the fragment that holds that frame: from the request, or for a prompt that was asked for at a
    later time from when that time was there.
    """

    type: Literal["prompt.applied"] = "prompt.applied"
    prompt_id: str
    text: str
    mode: Mode = "recache"
    chunk: int
    frame: int
    media_seconds: float
    latency_ms: int


class PromptRefused(_Entry):
    type: Literal["prompt.refused"] = "prompt.refused"
    prompt_id: str
    reason: str


class PromptCancelled(_Entry):
    type: Literal["prompt.cancelled"] = "prompt.cancelled"
    prompt_id: str


class Stalled(_Entry):
    """Fragment `chunk` came `gap_ms` after it was due; the clock waited for it. The first of a run of late ones."""

    type: Literal["stalled"] = "stalled"
    chunk: int
    gap_ms: int


class SessionPaused(_Entry):
    """The video stands still before `frame`; no generator holds the session. `snapshot` is where it goes on from."""

    type: Literal["session.paused"] = "session.paused"
    chunk: int
    frame: int
    media_seconds: float
    snapshot: str = Field("", exclude=True)


class SessionResumed(_Entry):
    """The video goes on with `frame`, rebuilt from the snapshot: without a cut, but not bit by bit as it would have."""

    type: Literal["session.resumed"] = "session.resumed"
    chunk: int
    frame: int
    media_seconds: float


class PauseRefused(_Entry):
    type: Literal["pause.refused"] = "pause.refused"
    reason: str


class RecordingFailed(_Entry):
    """Nothing more is recorded; what was recorded before stays."""

    type: Literal["recording.failed"] = "recording.failed"
    reason: str


class SessionEnded(_Entry):
    type: Literal["session.ended"] = "session.ended"
    reason: str


class SessionFailed(_Entry):
    type: Literal["session.failed"] = "session.failed"
    reason: str


Command = PromptRequested | PromptCancelRequested | PauseRequested | EndRequested
Fact = (
    SessionStarting
    | SessionLive
    | PromptScheduled
    | PromptApplied
    | PromptRefused
    | PromptCancelled
    | Stalled
    | SessionPaused
    | SessionResumed
    | PauseRefused
    | RecordingFailed
    | SessionEnded
    | SessionFailed
)
AnyEntry = SessionCreated | Command | Fact
Entry = Annotated[AnyEntry, Field(discriminator="type")]
ENTRY: TypeAdapter[AnyEntry] = TypeAdapter(Entry)


class Chunk(Data):
    """One generated chunk: its number, its first pixel frame, how many there are, how long they took to make.

    Its fragment was out `slack_ms` before it was due, or `gap_ms` after it (0: in time).
    """

    id: str = ""
    at: int = 0
    chunk: int
    first_frame: int
    frames: int
    generated_ms: int
    gap_ms: int = 0
    slack_ms: int | None = Field(None, description="None where nothing is due: a first chunk, an offline render.")
