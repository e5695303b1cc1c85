"""An example of every answer and of every message of the WebSocket, all of one video in the middle of its life."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from deployments.api.errors import explain
from deployments.api.export_models import ExportList, ExportView
from deployments.api.messages import (
    Answer,
    Cancel,
    End,
    EntryMessage,
    FragmentFollows,
    GoAway,
    Got,
    Hello,
    Init,
    Over,
    Pause,
    Position,
    ProblemMessage,
    Prompt,
    Resume,
    Rewind,
    Stats,
    Welcome,
)
from deployments.api.models import (
    AtSeconds,
    ChunkPage,
    CreatedSession,
    Health,
    Links,
    PromptAccepted,
    PromptList,
    PromptPreview,
    SessionPage,
    SessionView,
    Suggestions,
    TimelinePage,
)
from deployments.api.operation import ReplicaList
from deployments.api.problems import PID, SID
from deployments.api.recording import Thumbnail, ThumbnailList
from deployments.entries import (
    AnyEntry,
    Chunk,
    PromptApplied,
    PromptExpanded,
    PromptRequested,
    PromptScheduled,
    SessionCreated,
    SessionLive,
    SessionStarting,
)
from deployments.export import Export, ExportFormat, ExportState
from deployments.model_view import ModelView
from deployments.receipts import receipts
from deployments.replicas import Replica
from deployments.session import SessionState, chunk_first_frame, chunk_frames
from deployments.steering import TokenMissing

_START = 1700000000000
_REPLICA = Replica(
    id="x7k2p9qd",
    node="4f0a8d2b6c",
    host="10.0.0.7",
    sessions=3,
    more=1,
    accepting=True,
    draining=False,
    stopping=False,
    started_at=_START,
)
_FPS = 16
_MODEL = "longlive-1.3b"
_PROMPT, _NEXT = "a red ball bounces on a beach at night", "it starts to rain"
_EXPANDED = "a red ball bounces on a beach at night while rain falls on the sand"
_SWITCH, _CHUNKS = 6, 13  # the chunk that follows the second prompt, and how many there are
_EXPORT = "0a1b2c3d4e5f"


def _seconds(chunk: int) -> float:
    return chunk_first_frame(chunk) / _FPS


def _cursor(after_ms: int) -> dict[str, Any]:
    return {"id": f"{_START + after_ms}-0", "at": _START + after_ms}


def _made(chunk: int) -> Chunk:
    return Chunk(
        **_cursor(450 + 750 * chunk),
        chunk=chunk,
        first_frame=chunk_first_frame(chunk),
        frames=chunk_frames(chunk),
        generated_ms=412,
        slack_ms=338 if chunk else None,
    )


_WHERE = {"prompt_id": PID, "chunk": _SWITCH, "frame": chunk_first_frame(_SWITCH), "media_seconds": _seconds(_SWITCH)}
_CREATED = SessionCreated(
    **_cursor(0), prompt=_PROMPT, seed=7, model=_MODEL, width=832, height=480, fps=_FPS, labels={"show": "demo"}
)
_REQUESTED = PromptRequested(**_cursor(4510), prompt_id=PID, text=_NEXT, expand=True)
_WORDED = PromptExpanded(**_cursor(4514), prompt_id=PID, prompt=_EXPANDED, added="rain", source="rules", ms=3)
_APPLIED = PromptApplied(**_cursor(4962), **_WHERE, text=_EXPANDED, latency_ms=452)
_ENTRIES: tuple[AnyEntry, ...] = (
    _CREATED,
    SessionStarting(**_cursor(12)),
    SessionLive(**_cursor(460)),
    _REQUESTED,
    _WORDED,
    PromptScheduled(**_cursor(4530), **_WHERE),
    _APPLIED,
)
_SESSION = SessionView(
    id=SID,
    status=SessionState.live,
    prompt=_EXPANDED,
    **_CREATED.model_dump(include={"seed", "model", "width", "height", "fps", "labels"}),
    created_at=_START,
    frames=chunk_first_frame(_CHUNKS),
    chunks=_CHUNKS,
    media_seconds=_seconds(_CHUNKS),
    slack_ms=338,
    generated_ms=412,
    fence=1,
    owner="generator-0",
    last_event_id=_APPLIED.id,
    links=Links.of(SID),
)
_NEW = SessionView(
    id=SID,
    status=SessionState.starting,
    **_CREATED.model_dump(include={"prompt", "seed", "model", "width", "height", "fps", "labels"}),
    created_at=_START,
    fence=1,
    owner="generator-0",
    last_event_id=_ENTRIES[1].id,
    links=Links.of(SID),
)
_ENDED = _SESSION.model_copy(
    update={"status": SessionState.ended, "reason": "requested", "owner": None, "last_event_id": f"{_START + 9800}-0"}
)
_ACCEPTED = PromptAccepted(**receipts([_REQUESTED])[0].model_dump(), earliest_frame=chunk_first_frame(_SWITCH))
[_RECEIPT] = receipts(_ENTRIES)
_CLIP = ExportView.of(
    Export(
        id=_EXPORT,
        session=SID,
        format=ExportFormat.mp4,
        status=ExportState.completed,
        progress=1.0,
        from_seconds=0.0,
        to_seconds=5.0,
        start_seconds=0.0,
        end_seconds=_seconds(7),
        first_chunk=0,
        end_chunk=7,
        frames=chunk_first_frame(7),
        fps=_FPS,
        size=1843200,
        created_at=_START + 9000,
    )
)
_THUMBNAILS = [
    Thumbnail(chunk=chunk, media_seconds=_seconds(chunk), url=f"/v1/sessions/{SID}/thumbnails/{chunk:09d}.webp")
    for chunk in (0, 4, _SWITCH, 8, 12)
]
_TOKEN = "kT3vWq0d8sJx5mYb1cLr7nUe2aGf9hPzQ4-iN6_oXEk"

_ALL: tuple[BaseModel, ...] = (
    ModelView(
        name=_MODEL,
        width=832,
        height=480,
        fps=_FPS,
        sizes=((832, 480),),
        examples=(_PROMPT, "a paper boat drifts down a stream in spring"),
        follow_ups=(_NEXT,),
    ),
    _SESSION,
    CreatedSession(**_NEW.model_dump(), control_token=_TOKEN),
    SessionPage(data=[_SESSION], has_more=False, next=None),
    _RECEIPT,
    _ACCEPTED,
    PromptList(data=[_RECEIPT]),
    PromptPreview(prompt=_EXPANDED, added="rain", source="rules", ms=3),
    Suggestions(data=["it starts to snow", "now it is day", "turn around"]),
    TimelinePage(data=list(_ENTRIES), has_more=False, next=_ENTRIES[-1].id),
    ChunkPage(data=[_made(0), _made(1)], has_more=True, next=_made(1).id),
    _CLIP,
    ExportList(data=[_CLIP]),
    _THUMBNAILS[0],
    ThumbnailList(data=_THUMBNAILS),
    Health(status="ok"),
    ReplicaList(data=[_REPLICA], drained_nodes=["9d1c7e5b3a"]),
    Hello(type="hello", token=_TOKEN, after_event=_ENTRIES[2].id, after_fragment=3),
    Prompt(type="prompt", text=_NEXT, at=AtSeconds(seconds=12.5), mode="blend", blend_seconds=2.0, ref="1"),
    Cancel(type="cancel", prompt_id=PID, ref="2"),
    Pause(type="pause", ref="3"),
    Resume(type="resume", ref="4"),
    Rewind(type="rewind", to=AtSeconds(seconds=5.0), ref="5"),
    End(type="end", ref="6"),
    Got(type="got", chunk=4),
    Welcome(session=_SESSION, steers=True),
    Init(media_type='video/mp4; codecs="avc1.f4001f"'),
    FragmentFollows(chunk=4, first_frame=chunk_first_frame(4), frames=chunk_frames(4)),
    EntryMessage(entry=_APPLIED),
    Stats(session=_SESSION),
    Answer(ref="1", prompt=_ACCEPTED),
    ProblemMessage(ref="3", problem=explain(TokenMissing(SID))[0]),
    GoAway(seconds=5.0, resume=Position(after=4, event=_APPLIED.id)),
    Over(session=_ENDED),
)
EXAMPLES: Mapping[str, BaseModel] = {type(example).__name__: example for example in _ALL}
"""By the name of the model."""


def example_of(name: str) -> Any:
    """An example as it goes over the wire."""
    return json.loads(EXAMPLES[name].model_dump_json(by_alias=True))
