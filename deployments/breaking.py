"""What the timeline says of a session over which the model broke: nobody tries for ever."""

from __future__ import annotations

from deployments.entries import SessionBroke, SessionFailed
from deployments.session import chunk_first_frame

TWICE = "The model broke twice over the same part of this video; the log says how."


def broke_over(chunk: int, fps: int, before: int | None) -> SessionBroke | SessionFailed:
    """The fact that the model broke over a chunk. Another replica may make it, unless it is that over which the model
    broke the last time (`before`): then the session has failed."""
    if chunk == before:
        return SessionFailed(reason=TWICE)
    frame = chunk_first_frame(chunk)
    return SessionBroke(chunk=chunk, frame=frame, media_seconds=frame / fps)
