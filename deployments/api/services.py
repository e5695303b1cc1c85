"""What the routes need, handed in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pydantic import SecretStr

from deployments.entries import SessionEnded
from deployments.export import Export
from deployments.exports import Exports
from deployments.farewell import Farewell
from deployments.hub import Hub
from deployments.idempotency import IdempotencyKeys
from deployments.media_store import MediaStore
from deployments.model_view import ModelView, UnreadWords
from deployments.pool import GeneratorPool
from deployments.prompt_calls import PromptCalls
from deployments.replicas import Replicas
from deployments.snapshot_history import SnapshotHistory
from deployments.steering import Steering
from deployments.timeline import Timeline
from deployments.video_config import InitSegment, VideoConfig
from deployments.waiting_room import WaitingRoom
from prompt_agent.safety import SafetyHook


@dataclass(frozen=True)
class Services:
    """`model`, `unread_words`, `prompts`, `init_segment`, `make_export` and `poster` ask other deployments; `ready`
    raises unless every part answers.

    `conclude` ends a session that no generator holds; False: one does.
    """

    model: Callable[[], Awaitable[ModelView]]
    timeline: Timeline
    generators: GeneratorPool
    waiting: WaitingRoom
    steering: Steering
    idempotency: IdempotencyKeys
    conclude: Callable[[str, SessionEnded], Awaitable[bool]]
    hub: Hub
    farewell: Farewell
    unread_words: Callable[[str], Awaitable[UnreadWords]]
    prompts: PromptCalls
    safety: SafetyHook
    init_segment: Callable[[VideoConfig], Awaitable[InitSegment]]
    media: MediaStore
    history: SnapshotHistory
    exports: Exports
    make_export: Callable[[Export], Awaitable[bool]]
    poster: Callable[[str, float | None, int], Awaitable[bytes]]
    replicas: Replicas
    operator_token: SecretStr
    ready: Callable[[], Awaitable[None]]
