"""A page of the sessions that suit, found among all that are kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from deployments.api.models import SessionPage, SessionView
from deployments.session import Session, SessionState
from deployments.timeline import Timeline

MOST_READ = 2000
"""Sessions read for one page: a filter that nearly nothing passes costs several short pages, not one endless one."""
_BATCH = 100


async def list_sessions(
    timeline: Timeline, after: str, limit: int, status: Collection[SessionState], labels: Mapping[str, str]
) -> SessionPage:
    """Newest first. A page may be short, even empty, while more follow. Raises BadCursor."""
    found: list[tuple[str, Session]] = []
    step = _BATCH if status or labels else limit + 1  # one more tells whether more follow
    read, cursor, more = 0, after, True
    while more and read < MOST_READ and len(found) <= limit:
        batch = await timeline.sessions(cursor, step)
        found += [(place, session) for place, session in batch if _suits(session, status, labels)]
        more = len(batch) == step
        read += len(batch)
        cursor = batch[-1][0] if batch else cursor
    if len(found) > limit:
        found, more = found[:limit], True
        cursor = found[-1][0]
    return SessionPage(
        data=[SessionView.of(session) for _, session in found], has_more=more, next=cursor if more else None
    )


def _suits(session: Session, status: Collection[SessionState], labels: Mapping[str, str]) -> bool:
    return (not status or session.status in status) and labels.items() <= session.labels.items()
