"""Bodies of the HTTP API. Requests are strict: no coercion, no unknown fields."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from deployments.session import Entry, Session

MAX_PROMPT = 2000
MAX_SEED = 2**53 - 1  # the largest integer that every JSON reader keeps exactly

PromptText = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_PROMPT)]


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CreateSession(_Request):
    prompt: PromptText = Field(description="What the video shows.", examples=["a red ball bounces on a beach at night"])
    seed: int | None = Field(None, ge=0, le=MAX_SEED, description="The same seed and prompts give the same video.")


class AddPrompt(_Request):
    text: PromptText = Field(description="What the video shows from now on.", examples=["it starts to rain"])


class Links(_Answer):
    """Paths of a session's resources."""

    self: str
    prompts: str
    timeline: str
    events: str
    fragments: str
    init: str
    live: str

    @classmethod
    def of(cls, sid: str) -> Links:
        root = f"/v1/sessions/{sid}"
        parts = {name: f"{root}/{name}" for name in ("prompts", "timeline", "events", "fragments")}
        return cls(self=root, init=f"{root}/init.mp4", live=f"{root}/live.mp4", **parts)


class SessionView(Session):
    """A session with the paths of its resources; `warnings` speak of the prompt that came with this request."""

    links: Links
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, session: Session, warnings: tuple[str, ...] = ()) -> SessionView:
        return cls(**session.model_dump(), links=Links.of(session.id), warnings=warnings)


class PromptAccepted(_Answer):
    prompt_id: str
    earliest_frame: int = Field(description="No frame before this one follows the prompt; `prompt.applied` names it.")
    warnings: tuple[str, ...] = Field((), description="Words of the prompt that the model does not know.")


class TimelinePage(_Answer):
    data: list[Entry]
    has_more: bool
    next: str | None = Field(description="Pass as `after` to go on; null when there is nothing yet.")


class Health(_Answer):
    status: str


class Problem(_Answer):
    """RFC 9457. `code` is stable and for programs; `detail` is for people and says what to do."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[dict[str, Any]] | None = None
