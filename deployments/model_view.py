"""What the service generates with, as the text encoder tells it and the API shows it. Plain data."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field


class ModelView(BaseModel):
    """What the service generates with, for clients that want to offer examples."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    width: int
    height: int
    fps: int
    examples: tuple[str, ...] = Field(description="Prompts to begin with.")
    follow_ups: tuple[str, ...] = Field((), description="Prompts to go on with.")


@dataclass(frozen=True, slots=True)
class UnreadWords:
    """Words of a prompt that change nothing: those the model has never seen, and those past what it reads."""

    unknown: tuple[str, ...]
    cut: tuple[str, ...]
