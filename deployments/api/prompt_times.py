"""When a prompt is asked for: times of the video as frames of a session. Plain functions, and a new prompt's id."""

from __future__ import annotations

import math
import secrets

from deployments.api.models import AddPrompt, AtFrame, AtSeconds, TimedPrompt
from deployments.api.refusals import AfterTheEnd, InThePast
from deployments.entries import BLEND_SECONDS, PromptRequested
from deployments.session import Session, chunk_at, chunk_first_frame

_ROUNDING = 1e-6


def new_prompt_id() -> str:
    return secrets.token_hex(6)


def frame_of(ask: AddPrompt, fps: int) -> int | None:
    """The first frame that may follow the prompt; None: the next one that can."""
    match ask.at:
        case AtSeconds(seconds=seconds):
            return math.ceil(seconds * fps - _ROUNDING)
        case AtFrame(frame=frame):
            return frame
    return None


def requested(
    ask: AddPrompt, prompt_id: str, fps: int, warnings: tuple[str, ...], change: str | None = None
) -> PromptRequested:
    """The timeline's entry for a prompt that was asked for. `change`: the one to expand; None: the text as it is."""
    return PromptRequested(
        prompt_id=prompt_id,
        text=ask.text if change is None else change,
        expand=change is not None,
        at_frame=frame_of(ask, fps),
        mode=ask.mode,
        blend_seconds=ask.blend_seconds or (BLEND_SECONDS if ask.mode == "blend" else None),
        warnings=warnings,
    )


def after_the_end(at_frame: int, fps: int, max_seconds: float | None) -> bool:
    """Whether the video is over before a chunk begins at this frame or later."""
    return max_seconds is not None and chunk_first_frame(chunk_at(at_frame)) >= max_seconds * fps


def earliest_frame(session: Session, at_frame: int | None) -> int:
    """No frame before this one can follow a prompt that is asked for now. Raises InThePast, AfterTheEnd."""
    next_frame = chunk_first_frame(session.chunks)
    if at_frame is None:
        return next_frame
    if chunk_at(at_frame) < session.chunks:
        raise InThePast(next_frame, next_frame / session.fps)
    if session.max_seconds is not None and after_the_end(at_frame, session.fps, session.max_seconds):
        raise AfterTheEnd(session.max_seconds)
    return chunk_first_frame(chunk_at(at_frame))


def in_order(script: tuple[TimedPrompt, ...], fps: int) -> list[TimedPrompt]:
    """A script by time; prompts of one time as they were given."""
    return sorted(script, key=lambda prompt: frame_of(prompt, fps) or 0)
