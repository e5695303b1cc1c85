"""How sessions lie in Redis: the client, the keys, and the errors that a store of sessions can give."""

from __future__ import annotations

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

LIVE_SESSIONS = "sessions:live"  # a set: those that some generator should hold
SESSION_INDEX = "sessions:index"  # a sorted set whose members sort by time: every session that is kept
WAITING_SESSIONS = "sessions:queue"  # of each pace a sorted set by arrival: those that wait for a free generator


def connect(url: str, *, blocking: bool = False) -> Redis:
    """A client for `url`. A `blocking` one never times out on a read: use it for blocking reads, and for nothing else.

    Raises redis.RedisError from each call, at once where the connection is lost: the command may have been carried out,
    so only the caller knows whether it can be repeated. A blocking read can; it is tried again for about a second.
    """
    again = Retry(ExponentialBackoff(cap=0.5, base=0.05), 4, supported_errors=(RedisConnectionError,))
    return Redis.from_url(
        url,
        decode_responses=True,
        protocol=2,  # under RESP3 the shape of a stream's reply depends on the server
        retry=again if blocking else Retry(NoBackoff(), 0),
        socket_timeout=None if blocking else 5.0,
        socket_connect_timeout=5.0,
        max_connections=4096 if blocking else 100,  # each blocked reader holds one
    )


class Keys:
    """The keys of one session. One hash tag: they share a cluster slot, so one script may touch them all."""

    def __init__(self, sid: str) -> None:
        tag = f"{{{sid}}}"
        self.timeline = f"{tag}:timeline"
        self.chunks = f"{tag}:chunks"
        self.state = f"{tag}:state"
        self.lease = f"{tag}:lease"
        self.fence = f"{tag}:fence"


def waiting_key(pace: str) -> str:
    return f"{WAITING_SESSIONS}:{pace}"


def inbox_key(replica: str) -> str:
    return f"inbox:{replica}"


class SessionError(Exception):
    """Its text is for people. Survives pickling, so it crosses processes."""


class NoSuchSession(SessionError):
    def __init__(self, sid: str) -> None:
        super().__init__(sid)
        self.sid = sid

    def __str__(self) -> str:
        return f"There is no session {self.sid!r}: it never was, or it ended more than a day ago."


class SessionExists(SessionError):
    def __init__(self, sid: str) -> None:
        super().__init__(sid)
        self.sid = sid

    def __str__(self) -> str:
        return f"There already is a session {self.sid!r}."


class SessionOver(SessionError):
    def __init__(self, sid: str, status: str) -> None:
        super().__init__(sid, status)
        self.sid, self.status = sid, status

    def __str__(self) -> str:
        return f"Session {self.sid!r} has {self.status}: it takes nothing more. Start a new one."


class WritesLost(SessionError):
    """The store does not have all that the owner has written."""

    def __init__(self, sid: str) -> None:
        super().__init__(sid)
        self.sid = sid

    def __str__(self) -> str:
        return f"The store has lost the newest entries of session {self.sid!r}."


class Fenced(SessionError):
    """The writer is no longer the owner: it must drop the session at once."""

    def __init__(self, sid: str, fence: int) -> None:
        super().__init__(sid, fence)
        self.sid, self.fence = sid, fence

    def __str__(self) -> str:
        return f"Session {self.sid!r} has another owner now: fence {self.fence} is stale."


class LeaseHeld(SessionError):
    def __init__(self, sid: str, owner: str) -> None:
        super().__init__(sid, owner)
        self.sid, self.owner = sid, owner

    def __str__(self) -> str:
        return f"Session {self.sid!r} is held by {self.owner!r}."


class BadCursor(SessionError):
    def __init__(self, cursor: str) -> None:
        super().__init__(cursor)
        self.cursor = cursor

    def __str__(self) -> str:
        return f"{self.cursor[:64]!r} is no cursor: use the id of a timeline entry, such as 1700000000000-0, or none."


class CursorGone(SessionError):
    def __init__(self, cursor: str, first: str) -> None:
        super().__init__(cursor, first)
        self.cursor, self.first = cursor, first

    def __str__(self) -> str:
        return (
            f"Entries after {self.cursor} are no longer kept, the first is {self.first}: read again without a cursor."
        )
