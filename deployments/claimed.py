"""A session that a replica has claimed: its video, and what an owner before left over of it."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

from deployments.entries import AnyEntry, Chunk, SessionCreated, SessionFailed
from deployments.fragments import Fragment
from deployments.media_store import MediaError
from deployments.parts import OnDevice, Parts, Stream
from deployments.recording import recorded
from deployments.replaying import Replay, words_of
from deployments.restoring import Restored, begin, restore
from deployments.session import Session, SessionState, chunk_at
from deployments.snapshot_shelves import SnapshotsAway
from deployments.steps import prompt_before, steps_of
from deployments.store import SessionOver
from deployments.video_config import VideoConfig
from longlive.switch import Recache

Cause: TypeAlias = Literal["lost", "handed-over"]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LeftOver:
    """The newest fragments of an owner before, and its newest chunk; of its chunks so many are recorded."""

    fragments: tuple[Fragment, ...] = ()
    recorded: int = 0
    newest: Chunk | None = None

    @property
    def shown_at(self) -> float:
        """When the newest chunk was due, unix time. Infinite where there is none."""
        return (self.newest.at + (self.newest.slack_ms or 0)) / 1000 if self.newest is not None else math.inf

    def due(self, fps: int) -> float:
        """When there is nothing more to show, unix time."""
        return self.shown_at + (self.newest.frames / fps if self.newest is not None else 0)


@dataclass(frozen=True)
class Claim:
    owner: str
    fence: int


async def stream_of(
    parts: Parts, session: Session, entries: Sequence[AnyEntry], claim: Claim, on_device: OnDevice
) -> Restored:
    """The video of a session that was claimed: a new one, or one that goes on after the chunks it has.

    `entries` are its timeline. Raises what the stores and the text encoder do: another attempt may go well. Where none
    will, it states that the session failed, and raises SessionOver.
    """
    if is_render(session):
        return Restored(await _replay(parts, entries, on_device), session.chunks)
    steps = steps_of(entries)
    prompt = prompt_before(steps, session.chunks)
    if not session.chunks:
        return Restored(await begin(parts, on_device, prompt, session.seed), 0)
    restored = await restore(parts, on_device, session, session.chunks, prompt)
    if restored.chunk != session.chunks and _is_new_fork(session):
        reason = "What it was to go on from is not kept any more. Fork the session again, at a later time."
        await parts.timeline.append_fact(session.id, claim.fence, SessionFailed(reason=reason), owner=claim.owner)
        raise SessionOver(session.id, SessionState.failed)
    if restored.chunk and prompt_before(steps, restored.chunk) != prompt:
        embeddings = await parts.encode_text(prompt)
        await on_device(partial(restored.stream.switch, embeddings, Recache()))
    return restored


async def left_over(parts: Parts, session: Session, fence: int) -> LeftOver:
    """What the owner before may not have handed out, or recorded, of the session that is taken over from it."""
    if not session.status.owned:
        return LeftOver()
    newest = await parts.timeline.newest_chunk(session.id)
    try:
        fragments = await parts.recent.before(session, fence, video_of(session).hash)
        kept = await recorded(parts.media, session.id) if session.record else []
    except (SnapshotsAway, MediaError) as error:
        log.warning("what viewers and the recording do not have yet is lost: %s", error)
        return LeftOver(newest=newest)
    return LeftOver(tuple(fragments), kept[-1].chunks.stop if kept else 0, newest)


def video_of(session: Session) -> VideoConfig:
    return VideoConfig(width=session.width, height=session.height, fps=session.fps)


def _is_new_fork(session: Session) -> bool:
    parent = session.parent
    return parent is not None and parent.relation == "fork" and session.chunks == chunk_at(parent.frame)


def is_render(session: Session) -> bool:
    return session.parent is not None and session.parent.relation == "render"


async def _replay(parts: Parts, entries: Sequence[AnyEntry], on_device: OnDevice) -> Stream:
    """A render, which is made from its beginning on however often it was interrupted: else it would be another one."""
    created = entries[0]
    assert isinstance(created, SessionCreated)
    words = {text: await parts.encode_text(text) for text in words_of(created.past)}
    return await on_device(partial(Replay, created.past, created.seed, words, parts.open_stream, parts.restore_stream))
