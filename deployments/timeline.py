"""The history of a session in Redis: appended by one script, read by everybody, the truth about the session."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from deployments.session import (
    ENTRY,
    Change,
    Chunk,
    Command,
    Fact,
    IllegalTransition,
    Session,
    SessionCreated,
    SessionState,
    change_of,
)
from deployments.store import (
    LIVE_SESSIONS,
    BadCursor,
    CursorGone,
    Fenced,
    Keys,
    NoSuchSession,
    SessionExists,
    SessionOver,
    inbox_key,
)

AnyEntry = SessionCreated | Command | Fact

START = "0-0"
KEEP_SECONDS = 24 * 3600
CHUNKS_KEPT = 1000
BLOCK_MS = 5000
INBOX_SECONDS = 3600
_CURSOR = re.compile(r"(\d{1,20})-(\d{1,20})")
_STAMP = {"id", "at"}
_log = logging.getLogger(__name__)


def parse_cursor(cursor: str) -> tuple[int, int]:
    """A stream id as two numbers that compare as the ids do; '' is the start. Raises BadCursor."""
    match = _CURSOR.fullmatch(cursor or START)
    if match is None or max(pair := (int(match[1]), int(match[2]))) >= 2**64:
        raise BadCursor(cursor)
    return pair


class Timeline:
    """Sessions in Redis. `redis` and `blocking` come from `store.connect`, the second with `blocking=True`.

    Every call raises redis.RedisError when Redis cannot be reached.
    """

    def __init__(self, redis: Redis, blocking: Redis, *, keep_seconds: float = KEEP_SECONDS) -> None:
        self._redis = redis
        self._blocking = blocking
        self._keep_ms = int(keep_seconds * 1000)
        self._append_script = redis.register_script(files("deployments").joinpath("timeline.lua").read_text())

    async def create(self, sid: str, entry: SessionCreated) -> Session:
        """Begin a session with nobody as its owner yet: claim it next. Raises SessionExists."""
        state = {"id": sid, "status": SessionState.starting.value, "chunks": "0", "frames": "0", "stalls": "0"}
        facts = entry.model_dump(exclude={*_STAMP, "type"})
        await self._append(
            sid, entry, Change(put=state | {name: str(fact) for name, fact in facts.items()}), create=True
        )
        await self._redis.sadd(LIVE_SESSIONS, sid)
        return await self.session(sid)

    async def append_command(self, sid: str, command: Command) -> str:
        """Ask the owner for something; anybody may. Gives the entry's id. Raises NoSuchSession, SessionOver."""
        return await self._append(sid, command, change_of(command))

    async def append_fact(self, sid: str, fence: int, fact: Fact) -> str:
        """State what became of the session, as its owner. Gives the entry's id.

        Raises NoSuchSession, SessionOver, Fenced (another owner has claimed it), IllegalTransition.
        """
        change = change_of(fact)
        entry_id = await self._append(sid, fact, change, fence=fence)
        if change.to is not None and change.to.over:
            await self._redis.srem(LIVE_SESSIONS, sid)
        return entry_id

    async def append_chunk(self, sid: str, fence: int, chunk: Chunk) -> str:
        """Record a finished chunk, as the owner. Raises NoSuchSession, SessionOver, Fenced."""
        return await self._append(sid, chunk, change_of(chunk), fence=fence)

    async def session(self, sid: str) -> Session:
        """What the session is now. Raises NoSuchSession."""
        state: Any = await self._redis.hgetall(Keys(sid).state)
        if not state:
            raise NoSuchSession(sid)
        return Session.model_validate(state | {"media_seconds": int(state["frames"]) / int(state["fps"])})

    async def read(self, sid: str, after: str = "", limit: int = 100) -> list[AnyEntry]:
        """The next entries after a cursor ('': from the first), oldest first, at most `limit`.

        Raises NoSuchSession, BadCursor, and CursorGone where entries after the cursor are no longer kept.
        """
        position = parse_cursor(after)
        first: Any = await self._redis.xrange(Keys(sid).timeline, count=1)
        if not first:
            raise NoSuchSession(sid)
        if (0, 0) < position < parse_cursor(first[0][0]):
            raise CursorGone(after, first[0][0])
        rows: Any = await self._redis.xrange(Keys(sid).timeline, min=f"({after or START}", count=limit)
        return [_entry(row) for row in rows]

    async def tail(self, sid: str, after: str = "") -> AsyncIterator[AnyEntry]:
        """Entries after a cursor as they come, until the session is over. Raises as `read` does, at the first step."""
        for entry in await self.read(sid, after, limit=1):
            yield entry
            after = entry.id
        while not (session := await self.session(sid)).status.over or parse_cursor(after) < parse_cursor(
            session.last_event_id
        ):
            replies: Any = await self._blocking.xread({Keys(sid).timeline: after or START}, count=100, block=BLOCK_MS)
            for _, rows in replies:
                for row in rows:
                    entry = _entry(row)
                    yield entry
                    after = entry.id

    async def chunks(self, sid: str, limit: int = 100) -> list[Chunk]:
        """The newest chunks, oldest first. Older ones are trimmed. Raises NoSuchSession."""
        await self.session(sid)
        rows: Any = await self._redis.xrevrange(Keys(sid).chunks, count=limit)
        return [Chunk.model_validate(_fields(row)) for row in reversed(rows)]

    async def ring(self, replica: str, sid: str) -> None:
        """Tell a replica that there is a new command for one of its sessions."""
        key = inbox_key(replica)
        await self._redis.xadd(key, {"sid": sid}, maxlen=1000, approximate=True)
        await self._redis.expire(key, INBOX_SECONDS)

    async def inbox(self, replica: str) -> AsyncIterator[frozenset[str]]:
        """Sessions whose timeline has a new command, for ever. While Redis is away it waits.

        An empty set, every few seconds, says: look at all of yours. For a ring can get lost with Redis.
        """
        after = START
        while True:
            try:
                replies: Any = await self._blocking.xread({inbox_key(replica): after}, count=1000, block=BLOCK_MS)
            except RedisConnectionError as error:
                _log.warning("Redis is away, the inbox of %s waits: %s", replica, error)
                await asyncio.sleep(0.5)
                continue
            rows = [row for _, rows in replies for row in rows]
            if rows:
                after = rows[-1][0]
            yield frozenset(fields["sid"] for _, fields in rows)

    async def _append(
        self, sid: str, entry: AnyEntry | Chunk, change: Change, *, fence: int | None = None, create: bool = False
    ) -> str:
        keys = Keys(sid)
        is_chunk = isinstance(entry, Chunk)
        ask: dict[str, Any] = {
            "data": entry.model_dump_json(exclude=_STAMP),
            "create": create,
            "fence": fence,
            "from": dict.fromkeys(change.allowed_from, True),
            "to": change.to,
            "put": change.put,
            "add": change.add,
            "cursor": not is_chunk,
            "maxlen": CHUNKS_KEPT if is_chunk else None,
            "expire_ms": self._keep_ms if change.to is not None and change.to.over else None,
        }
        stream = keys.chunks if is_chunk else keys.timeline
        answer = await self._append_script(
            keys=[keys.state, stream, keys.fence, keys.lease, keys.state, keys.timeline, keys.chunks, keys.fence],
            args=[json.dumps({name: value for name, value in ask.items() if value is not None})],
        )
        match answer:
            case ["ok", entry_id]:
                return entry_id
            case ["exists"]:
                raise SessionExists(sid)
            case ["missing"]:
                raise NoSuchSession(sid)
            case ["fenced"]:
                raise Fenced(sid, fence or 0)
            case [_, status] if SessionState(status).over:
                raise SessionOver(sid, status)
            case _:
                raise IllegalTransition(f"{type(entry).__name__} in state {answer[1]} of session {sid}")


def _fields(row: tuple[str, dict[str, str]]) -> dict[str, Any]:
    entry_id, fields = row
    return json.loads(fields["data"]) | {"id": entry_id, "at": parse_cursor(entry_id)[0]}


def _entry(row: tuple[str, dict[str, str]]) -> AnyEntry:
    return ENTRY.validate_python(_fields(row))
