"""What a session must be after some entries: the store's script does the same in Redis, and is compared with this."""

from __future__ import annotations

from collections.abc import Iterable

from deployments.entries import AnyEntry, Chunk, SessionCreated
from deployments.session import IllegalTransition, Session, SessionState, change_of


def created(sid: str, entry: SessionCreated) -> Session:
    """The session right after its first entry."""
    facts = entry.model_dump(exclude={"id", "at", "type", "warnings"})
    return Session(id=sid, status=SessionState.queued, created_at=entry.at, last_event_id=entry.id, **facts)


def fold(session: Session, entries: Iterable[AnyEntry | Chunk]) -> Session:
    """Replay entries over a session. Raises IllegalTransition where the table forbids one."""
    for entry in entries:
        change = change_of(entry)
        if session.status not in change.allowed_from:
            raise IllegalTransition(f"{type(entry).__name__} in state {session.status}")
        values = dict(session) | {name: None if value == "" else value for name, value in change.put.items()}
        for name, step in change.add.items():
            values[name] += step
        values["status"] = change.to or session.status
        if not isinstance(entry, Chunk):
            values["last_event_id"] = entry.id
        session = Session.model_validate(values | {"media_seconds": int(values["frames"]) / session.fps})
    return session
