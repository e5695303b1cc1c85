"""The entries of a session's timeline: what was asked of it, and what became of it. Plain data."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

Mode = Literal["recache", "keep", "cut", "blend"]
Pace = Literal["live", "offline"]
BLEND_SECONDS = 3.0
"""How long a `blend` takes if that is not said."""
Expand = bool | Literal["auto"]
"""Whether words are expanded to a whole prompt; `auto`: unless they are one."""
PauseReason = Literal["requested", "unwatched", "stopped", "no-room"]
"""`unwatched`: nobody watched. `stopped`: the service stopped. `no-room`: its generator went, and no other had room."""
Relation = Literal["fork", "render"]


class Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Entry(Data):
    """`id` and `at` (unix milliseconds) are the store's to give: an entry has them once it was appended."""

    id: str = ""
    at: int = 0


class Parent(Data):
    """The session whose past a session shares: a `fork` goes on from it, a `render` makes it once more."""

    session: str = Field(description="Its id.")
    frame: int = Field(description="A fork's first frame; of a render, how many frames it has.")
    relation: Relation


class _Step(Data):
    """`text` is the prompt in force from `chunk` on, `changes` what prompts have changed of the scene up to then."""

    chunk: int
    text: str
    changes: tuple[str, ...] = ()


class BeginStep(_Step):
    """The video begins with this prompt, and this seed."""

    kind: Literal["begin"] = "begin"
    chunk: Literal[0] = 0
    seed: int


class PromptStep(_Step):
    """A prompt took hold with `chunk`."""

    kind: Literal["prompt"] = "prompt"
    mode: Mode = "recache"
    blend_seconds: float | None = None


class RestoreStep(_Step):
    """Before `chunk` the video was rebuilt as it was before `restored_chunk`. `seed`: with the noise of another one."""

    kind: Literal["restore"] = "restore"
    restored_chunk: int
    seed: int | None = None


Step = Annotated[BeginStep | PromptStep | RestoreStep, Field(discriminator="kind")]
"""What a video is a function of, besides the model: in order of chunks, a restore before a prompt of its chunk."""


class SessionCreated(_Entry):
    """What the session was asked to be; nothing of it changes later but the prompt.

    A fork's first chunk is the one that begins at `parent.frame`. `past` is what made all before that, and what a
    render makes once more.
    """

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
    parent: Parent | None = Field(None, description="The session whose past this one shares.")
    warnings: tuple[str, ...] = Field((), description="What the model makes nothing of in the prompt.")
    past: tuple[Step, ...] = Field((), exclude=True)
    changes: tuple[str, ...] = Field((), exclude=True, description="What was changed of the scene before it began.")


class PromptRequested(_Entry):
    """A prompt was accepted: for the first chunk that begins at `at_frame` or later, or (None) for the next one.

    `expand`: its text is one change of the scene, of which the prompt agent makes a prompt.
    """

    type: Literal["prompt.requested"] = "prompt.requested"
    prompt_id: str
    text: str
    at_frame: int | None = None
    mode: Mode = "recache"
    blend_seconds: float | None = Field(None, description="How long a `blend` takes.")
    expand: bool = False
    warnings: tuple[str, ...] = Field((), description="What the model makes nothing of in the prompt.")


class PromptExpanded(_Entry):
    """What the video shall show: `prompt`, which is the scene with the change that was asked for, `added`.

    `source`: who wrote it: `llm`, `rules`; `stock`, the scene as it was; `raw`, the text as it was. `ms`: how long that
    took. It may be stated again, where what it was built on has changed, such as by a prompt that was cancelled.
    """

    type: Literal["prompt.expanded"] = "prompt.expanded"
    prompt_id: str
    prompt: str
    added: str
    source: str
    ms: int
    mode: Mode = "recache"
    warnings: tuple[str, ...] = ()
    cut: bool = Field(False, exclude=True, description="Whether it is a scene of its own, that was cut to.")
    built_on: str = Field("", exclude=True, description="Key of the context in which it was made.")


class PromptCancelRequested(_Entry):
    type: Literal["prompt.cancel_requested"] = "prompt.cancel_requested"
    prompt_id: str


class PauseRequested(_Entry):
    type: Literal["pause.requested"] = "pause.requested"


class RewindRequested(_Entry):
    """Go on as the video was before the chunk that holds `to_frame`, a frame that it has."""

    type: Literal["rewind.requested"] = "rewind.requested"
    to_frame: int


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
    changes: tuple[str, ...] = Field((), exclude=True, description="What was changed of the scene, with this prompt.")


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
    reason: PauseReason = "requested"
    snapshot: str = Field("", exclude=True)


class _Restored(_Entry):
    """The video goes on with `frame`, rebuilt from a snapshot: without a cut, but not bit by bit as it would have.

    `restored_chunk`: rebuilt as it was before that chunk, which is an earlier one after a rewind, and where newer
    snapshots are missing or damaged; 0: begun anew, after its first chunk. None: as it was before `chunk`.
    """

    chunk: int
    frame: int
    media_seconds: float
    restored_chunk: int | None = None


class SessionResumed(_Restored):
    type: Literal["session.resumed"] = "session.resumed"


class SessionMoved(_Restored):
    """Another generator goes on with it. `lost`: the one before is gone. `handed-over`: it has given it up."""

    type: Literal["session.moved"] = "session.moved"
    cause: Literal["lost", "handed-over"]
    damaged: tuple[int, ...] = Field((), description="Chunks whose snapshots could not be used.")


class SessionBroke(_Entry):
    """The model broke while `chunk` was made or prepared: another generator tries. Where it breaks again the session
    fails."""

    type: Literal["session.broke"] = "session.broke"
    chunk: int
    frame: int
    media_seconds: float


class SessionRewound(_Restored):
    """`prompt` was in force before `restored_chunk`, and is again."""

    type: Literal["session.rewound"] = "session.rewound"
    prompt: str
    changes: tuple[str, ...] = Field((), exclude=True, description="What was changed of the scene up to there.")


class RewindRefused(_Entry):
    type: Literal["rewind.refused"] = "rewind.refused"
    to_frame: int
    reason: str


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


Command = PromptRequested | PromptCancelRequested | PauseRequested | RewindRequested | EndRequested
Fact = (
    SessionStarting
    | SessionLive
    | PromptExpanded
    | PromptScheduled
    | PromptApplied
    | PromptRefused
    | PromptCancelled
    | Stalled
    | SessionPaused
    | SessionResumed
    | SessionMoved
    | SessionBroke
    | SessionRewound
    | PauseRefused
    | RewindRefused
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
