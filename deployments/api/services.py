"""What the routes need, handed in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from deployments.hub import Hub
from deployments.model_view import ModelView, UnreadWords
from deployments.pool import GeneratorPool
from deployments.timeline import Timeline
from deployments.video_config import InitSegment, VideoConfig


@dataclass(frozen=True)
class Services:
    """`model`, `unread_words` and `init_segment` ask other deployments; `ready` raises unless every part answers."""

    model: Callable[[], Awaitable[ModelView]]
    timeline: Timeline
    generators: GeneratorPool
    hub: Hub
    unread_words: Callable[[str], Awaitable[UnreadWords]]
    init_segment: Callable[[VideoConfig], Awaitable[InitSegment]]
    ready: Callable[[], Awaitable[None]]
