"""An export: a stretch of a recorded session as one file, and how far it is. Plain data."""

from __future__ import annotations

from enum import StrEnum

from pydantic import ConfigDict, Field

from deployments.entries import Data


class ExportFormat(StrEnum):
    """`mp4`: the recorded video, not encoded again. `webp`, `gif`: short, smaller moving pictures."""

    mp4 = "mp4"
    webp = "webp"
    gif = "gif"

    @property
    def media_type(self) -> str:
        return "video/mp4" if self is ExportFormat.mp4 else f"image/{self}"


class ExportState(StrEnum):
    """`completed` and `failed` are final."""

    queued = "queued"
    running = "running"
    completed = "completed"
    failed = "failed"

    @property
    def over(self) -> bool:
        return self in (ExportState.completed, ExportState.failed)


class Export(Data):
    """One file of a session's video."""

    model_config = ConfigDict(populate_by_name=True)

    id: str
    session: str
    format: ExportFormat
    status: ExportState = ExportState.queued
    progress: float = Field(0.0, ge=0, le=1, description="How much of it is made: 0 to 1.")
    from_seconds: float | None = Field(None, alias="from", description="As asked for.")
    to_seconds: float | None = Field(None, alias="to", description="As asked for.")
    start_seconds: float = Field(description="Where in the video it really begins: at the border of a chunk.")
    end_seconds: float = Field(description="Where it really ends.")
    first_chunk: int
    end_chunk: int = Field(description="The first chunk that is not in it any more.")
    frames: int = Field(description="Frames of the video that it covers; `webp` and `gif` may show fewer a second.")
    fps: int
    size: int | None = Field(None, description="Bytes, once it is completed.")
    reason: str | None = Field(None, description="Why it failed.")
    created_at: int = Field(description="Unix time in milliseconds.")

    @property
    def path(self) -> str:
        return f"{self.session}/exports/{self.id}.{self.format}"
