"""Bodies of the API's exports."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from deployments.api.models import MAX_SECONDS, AnswerModel, RequestModel
from deployments.export import Export, ExportFormat

_SECONDS: dict[str, Any] = {"ge": 0, "le": MAX_SECONDS, "allow_inf_nan": False}


class AskExport(RequestModel):
    """A stretch of the recording as one file."""

    format: ExportFormat = Field(
        strict=False, description="`mp4`: the video as it is. `webp`, `gif`: smaller moving pictures, at most a minute."
    )
    start: float | None = Field(
        None,
        alias="from",
        examples=[1.5],
        description="Seconds of the video; not given: from its beginning.",
        **_SECONDS,
    )
    end: float | None = Field(
        None, alias="to", examples=[9.0], description="Not given: to the end, or what is recorded so far.", **_SECONDS
    )

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.end is not None and self.end <= (self.start or 0.0):
            raise ValueError("`to` must be greater than `from`: correct one of them")
        return self


class ExportLinks(AnswerModel):
    """Paths. `content` answers once the export is completed."""

    self: str
    content: str


class ExportView(Export):
    """One file of a session's video, and how far it is."""

    links: ExportLinks

    @classmethod
    def of(cls, export: Export) -> ExportView:
        root = f"/v1/sessions/{export.session}/exports/{export.id}"
        return cls(**export.model_dump(), links=ExportLinks(self=root, content=f"{root}/content"))


class ExportList(AnswerModel):
    """Newest first."""

    data: list[ExportView]
