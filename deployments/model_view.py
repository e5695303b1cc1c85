"""What the service generates with, as the text encoder tells it and the API shows it. Plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from pydantic import BaseModel, ConfigDict, Field

from deployments.entries import Mode
from deployments.session import CHUNK_FRAMES, chunk_frames


class ModelView(BaseModel):
    """What the service generates with, for clients that want to offer examples."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    width: int
    height: int
    fps: int = Field(description="Frames a second that the model was made for; a session may have fewer.")
    slowest_fps: int = Field(1, description="The fewest frames a second of a session.")
    sizes: tuple[tuple[int, int], ...] = Field((), description="Widths and heights that a session may have.")
    modes: tuple[Mode, ...] = Field(get_args(Mode), description="How a follow-up prompt may take hold.")
    first_chunk_frames: int = Field(chunk_frames(0), description="Frames of a video's first chunk.")
    chunk_frames: int = Field(CHUNK_FRAMES, description="Frames of each later chunk: prompts take hold between two.")
    examples: tuple[str, ...] = Field(description="Prompts to begin with.")
    follow_ups: tuple[str, ...] = Field((), description="Prompts to go on with.")


@dataclass(frozen=True, slots=True)
class UnreadWords:
    """Words of a prompt that change nothing: those the model has never seen, and those past what it reads."""

    unknown: tuple[str, ...]
    cut: tuple[str, ...]
