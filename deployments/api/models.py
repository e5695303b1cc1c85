"""Bodies of the HTTP API. Requests are strict: no coercion, no unknown fields."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, field_validator, model_validator
from pydantic_core import PydanticSerializationError, to_json

from deployments.entries import BLEND_SECONDS, Chunk, Entry, Expand, Mode, Pace
from deployments.receipts import Receipt
from deployments.session import Session

MAX_PROMPT = 2000
MAX_SEED = 2**53 - 1  # the largest integer that every JSON reader keeps exactly
MAX_SECONDS = 24 * 3600.0
MAX_FRAME = 2**31 - 1
MAX_SCRIPT = 100
MAX_BLEND_SECONDS = 60.0
MAX_LABELS = 16
MAX_METADATA_BYTES = 4096
MAX_METADATA_LEVELS = 32

PromptText = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_PROMPT)]
LabelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
LabelValue = Annotated[str, StringConstraints(max_length=128)]


class RequestModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class AnswerModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AtSeconds(RequestModel):
    """A time of the video."""

    seconds: float = Field(ge=0, le=MAX_SECONDS, allow_inf_nan=False, examples=[12.5])


class AtFrame(RequestModel):
    """A frame of the video."""

    frame: int = Field(ge=0, le=MAX_FRAME, examples=[200])


class NewPrompt(RequestModel):
    """Another prompt for a video."""

    text: PromptText = Field(description="What the video shows from then on.", examples=["it starts to rain"])
    mode: Mode = Field(
        "recache",
        description=(
            "How the picture gets there: `recache` changes it without a cut; `keep` lets the old prompt linger; "
            "`cut` begins a new scene; `blend` goes over in steps."
        ),
    )
    blend_seconds: float | None = Field(
        None,
        gt=0,
        le=MAX_BLEND_SECONDS,
        allow_inf_nan=False,
        description=f"How long a `blend` takes; {BLEND_SECONDS:g} if not given.",
    )
    expand: Expand = Field(
        "auto",
        description=(
            "Whether the text is a change of what the video shows, of which a whole prompt is made; `auto`: unless it "
            "is one already."
        ),
    )

    @model_validator(mode="after")
    def _only_a_blend_takes_time(self) -> Self:
        if self.blend_seconds is not None and self.mode != "blend":
            raise ValueError(f"blend_seconds is for the mode 'blend', not for '{self.mode}': leave it out")
        return self


class AddPrompt(NewPrompt):
    """What the video shows from some time on."""

    at: Literal["now"] | AtSeconds | AtFrame = Field(
        "now",
        description=(
            "When: as soon as possible, or at a time of the video that is still to come, rounded up to the next chunk."
        ),
    )


class TimedPrompt(AddPrompt):
    """A prompt of a script: it says when."""

    at: AtSeconds | AtFrame


class Size(RequestModel):
    """Pixels of a picture."""

    width: int = Field(gt=0, le=8192)
    height: int = Field(gt=0, le=8192)


class _NewSession(RequestModel):
    queue: bool = Field(False, description="Wait for a free generator instead of 503 when all are taken.")
    labels: dict[LabelName, LabelValue] = Field({}, max_length=MAX_LABELS, description="Yours, to find sessions by.")
    metadata: dict[str, JsonValue] = Field(
        {},
        description=f"Yours: JSON of up to {MAX_METADATA_BYTES} bytes and {MAX_METADATA_LEVELS} levels, kept as it is.",
    )

    @field_validator("metadata", mode="before")
    @classmethod
    def _flat(cls, metadata: Any) -> Any:
        if isinstance(metadata, dict):
            _check_json(metadata)
        return metadata

    @field_validator("metadata")
    @classmethod
    def _small(cls, metadata: dict[str, JsonValue]) -> dict[str, JsonValue]:
        try:
            size = len(to_json(metadata))
        except PydanticSerializationError:
            raise ValueError("a text in it is no Unicode (half of a surrogate pair): send whole characters") from None
        if size > MAX_METADATA_BYTES:
            raise ValueError(f"more than {MAX_METADATA_BYTES} bytes as JSON: keep a key to your own store instead")
        return metadata


class CreateSession(_NewSession):
    """A new video."""

    prompt: PromptText = Field(description="What the video shows.", examples=["a red ball bounces on a beach at night"])
    script: tuple[TimedPrompt, ...] = Field(
        (), max_length=MAX_SCRIPT, strict=False, description="Prompts that take effect at times of the video."
    )
    seed: int | None = Field(None, ge=0, le=MAX_SEED, description="The same seed and prompts give the same video.")
    fps: int | None = Field(
        None, ge=1, le=240, description="Frames a second, of those the model offers; fewer play the motion slower."
    )
    size: Size | None = Field(None, description="One of those the model offers.")
    pace: Pace = Field(
        "live",
        description="`live`: made as it is watched. `offline`: as fast as the gaps of live sessions allow, for export.",
    )
    max_seconds: float | None = Field(
        None, gt=0, le=MAX_SECONDS, allow_inf_nan=False, description="Length at which the video ends by itself."
    )
    record: bool | None = Field(None, description="Keep the video for exports. An offline one is kept anyway.")

    @model_validator(mode="after")
    def _offline_has_an_end(self) -> Self:
        if self.pace == "offline" and self.max_seconds is None:
            raise ValueError("an offline video needs max_seconds: nobody watches it, so nobody would end it")
        if self.pace == "offline" and self.record is False:
            raise ValueError("an offline video is made to be recorded: leave record out")
        return self


class RewindSession(RequestModel):
    """Back in the video."""

    to: AtSeconds | AtFrame = Field(description="It goes on as it was before the chunk that holds this time or frame.")


class ForkSession(_NewSession):
    """Another video, which goes on from what this one was."""

    at: Literal["now"] | AtSeconds | AtFrame = Field(
        "now", description="It begins with the chunk that holds this time or frame; `now`: with the next one to come."
    )
    seed: int | None = Field(None, ge=0, le=MAX_SEED, description="Noise of its own. Not given: it keeps the seed.")
    prompt: NewPrompt | None = Field(None, description="What it shows from its first chunk on. Not given: the same.")
    record: bool = Field(False, description="Keep the video for exports.")


class RenderSession(_NewSession):
    """The same video once more, made offline."""

    max_seconds: float | None = Field(
        None,
        gt=0,
        le=MAX_SECONDS,
        allow_inf_nan=False,
        description="So much of it, from its beginning on. Not given, or more than there is: all that there is so far.",
    )


def _check_json(value: Any, levels: int = MAX_METADATA_LEVELS) -> None:
    """Raises ValueError for what a JSON reader may not be able to read, though ours can."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number in it is not finite, which JSON does not know: send null or a text instead")
    if isinstance(value, dict | list):
        if not levels:
            raise ValueError(f"more than {MAX_METADATA_LEVELS} levels of objects and lists: send a flatter one")
        for inner in value.values() if isinstance(value, dict) else value:
            _check_json(inner, levels - 1)


class Links(AnswerModel):
    """Paths of a session's resources."""

    self: str
    prompts: str
    timeline: str
    chunks: str
    events: str
    ws: str
    fragments: str
    init: str
    live: str
    hls: str
    poster: str
    thumbnails: str
    exports: str

    @classmethod
    def of(cls, sid: str) -> Links:
        root = f"/v1/sessions/{sid}"
        same = ("prompts", "timeline", "chunks", "events", "ws", "fragments", "thumbnails", "exports")
        files = {"init": "init.mp4", "live": "live.mp4", "hls": "hls/live.m3u8", "poster": "poster.jpg"}
        parts = {name: f"{root}/{files.get(name, name)}" for name in (*same, *files)}
        return cls(self=root, **parts)


class SessionView(Session):
    """A session with the paths of its resources."""

    links: Links

    @classmethod
    def of(cls, session: Session) -> SessionView:
        return cls(**session.model_dump(), links=Links.of(session.id))


class CreatedSession(SessionView):
    """The answer to its creator, who alone gets the token that steers it."""

    control_token: str = Field(description="Send it as `Authorization: Bearer ...` to steer the session. Shown once.")
    warnings: tuple[str, ...] = Field((), description="Words of the prompt that the model does not know.")


class SessionPage(AnswerModel):
    data: list[SessionView]
    has_more: bool
    next: str | None = Field(description="Pass as `after` to go on; null at the end.")


class PromptAccepted(Receipt):
    """The receipt of a prompt that was just written down; events and timeline tell what becomes of it."""

    earliest_frame: int = Field(description="No frame before this one follows the prompt; `prompt.applied` names it.")
    then: tuple[str, ...] = Field(
        (), description="Prompts that follow it, one after the other, where the text asked for several changes."
    )


class PreviewPrompt(RequestModel):
    """A change, and what it changes: what a session shows now, or any scene."""

    text: PromptText = Field(description="The change.", examples=["make it rain"])
    session: str | None = Field(None, max_length=64, description="The session whose scene it changes.")
    scene: PromptText | None = Field(None, description="The prompt that it changes, where there is no session.")

    @model_validator(mode="after")
    def _one_scene(self) -> Self:
        if (self.session is None) == (self.scene is None):
            raise ValueError("a preview changes the scene of a session, or a scene: send one of `session` and `scene`")
        return self


class PromptPreview(AnswerModel):
    """A prompt that would be made of a text."""

    prompt: str
    added: str = Field("", description="What it changes, in a few words.")
    source: str = Field("", description="Who made it: `llm`, `rules`; `stock`: nobody, the scene stays.")
    ms: int = Field(0, description="How long that took.")
    mode: Mode = Field("recache", description="`cut` where the text asked for another scene.")
    warnings: tuple[str, ...] = Field((), description="What went wrong, and what of the text is not in the prompt.")


class Suggestions(AnswerModel):
    """Texts that would change what a video shows."""

    data: list[str]


class PromptList(AnswerModel):
    """Every follow-up prompt of a session, in the order in which they were accepted."""

    data: list[Receipt]


class TimelinePage(AnswerModel):
    data: list[Entry]
    has_more: bool
    next: str | None = Field(description="Pass as `after` to go on; null when there is nothing yet.")


class ChunkPage(AnswerModel):
    """What each chunk cost and how early it was, oldest first; only the last thousand or so are kept."""

    data: list[Chunk]
    has_more: bool
    next: str | None = Field(description="Pass as `after` to go on; null when there is nothing yet.")


class Health(AnswerModel):
    status: str


class Problem(AnswerModel):
    """RFC 9457. `code` is stable and for programs; `detail` is for people and says what to do."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[dict[str, Any]] | None = None
