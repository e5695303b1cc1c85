"""The history of a session in Redis: appended by one script, read by everybody, the truth about the session."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Sequence
from importlib.resources import files
from typing import Any

from pydantic_core import to_json
from redis.asyncio import Redis

from deployments import inbox
from deployments.entries import ENTRY, AnyEntry, Chunk, Command, Fact, PromptRequested, SessionCreated
from deployments.session import Change, IllegalTransition, Session, SessionState, change_of, chunk_at, in_force
from deployments.store import (
    SESSION_INDEX,
    BadCursor,
    CursorGone,
    Fenced,
    Keys,
    NoSuchSession,
    SessionExists,
    SessionOver,
    WritesLost,
    waiting_key,
)

START = "0-0"
KEEP_SECONDS = 24 * 3600
CHUNKS_KEPT = 1000
BLOCK_MS = 5000
CLAIM_SECONDS = 60
_CURSOR = re.compile(r"(\d{1,20})-(\d{1,20})")
_INDEX_MEMBER = re.compile(r"\d{13}-\w{1,64}")
_STAMP = {"id", "at"}
_NOT_OF_THE_FOLD = frozenset({"created", "written_key", "written_id"})
_MOST_AT_ONCE = 1000


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

    async def create(self, sid: str, entry: SessionCreated, script: Sequence[PromptRequested] = ()) -> Session:
        """Begin a session with nobody as its owner yet, and the prompts that were asked for with it.

        Have it claimed or `keep` it within CLAIM_SECONDS, or it is forgotten. Raises SessionExists.
        """
        past = entry.parent.frame if entry.parent and entry.parent.relation == "fork" else 0
        counted = {"chunks": str(chunk_at(past)), "frames": str(past), "stalls": "0"}
        state = {"id": sid, "status": SessionState.queued.value} | counted
        asked = entry.model_dump_json(exclude={*_STAMP, "type", "prompt", "warnings"})
        begun = Change(put=state | in_force(entry.prompt, entry.changes) | {"created": asked})
        first = await self._append(sid, entry, begun, create=True)
        await self.append_commands(sid, script)
        await self._redis.zadd(SESSION_INDEX, {_index_member(parse_cursor(first)[0], sid): 0})
        return await self.session(sid)

    async def keep(self, sid: str) -> None:
        """Remember a session that nobody has claimed for as long as one that is over."""
        await self._redis.pexpire(Keys(sid).state, self._keep_ms)
        await self._redis.pexpire(Keys(sid).timeline, self._keep_ms)

    async def forget(self, sid: str) -> None:
        """As if the session had never been. Only for one that nobody has claimed."""
        keys = Keys(sid)
        created_at: Any = await self._redis.hget(keys.state, "created_at")
        await self._redis.delete(keys.state, keys.timeline, keys.chunks, keys.fence, keys.lease)
        if created_at is not None:
            await self._redis.zrem(SESSION_INDEX, _index_member(int(created_at), sid))

    async def sessions(self, after: str = "", limit: int = 100) -> list[tuple[str, Session]]:
        """Sessions with a cursor each, newest first, from behind a cursor on ('': from the newest).

        As many as `limit`, fewer only where no more follow. Raises BadCursor.
        """
        if after and not _INDEX_MEMBER.fullmatch(after):
            raise BadCursor(after)
        found: list[tuple[str, Session]] = []
        step, more = limit, True
        while more and len(found) < limit:
            most = f"({after}" if after else "+"
            members: Any = await self._redis.zrevrangebylex(SESSION_INDEX, most, "-", start=0, num=step)
            found += await self._kept(members)
            more = len(members) == step
            after = members[-1] if members else after
            step = min(2 * step, _MOST_AT_ONCE)  # only where many are gone
        return found[:limit]

    async def tidy(self, most: int = _MOST_AT_ONCE) -> None:
        """Drop from the list what is no longer kept: of `most` sessions, any of them, so that each has its turn."""
        members: Any = await self._redis.zrandmember(SESSION_INDEX, most)
        async with self._redis.pipeline(transaction=False) as states:
            for member in members:
                states.exists(Keys(_sid(member)).state)
            there = await states.execute()
        if gone := [member for member, exists in zip(members, there, strict=True) if not exists]:
            await self._redis.zrem(SESSION_INDEX, *gone)

    async def append_command(self, sid: str, command: Command) -> str:
        """Ask the owner for something; anybody may. Gives the entry's id. Raises NoSuchSession, SessionOver."""
        return await self._append(sid, command, change_of(command))

    async def append_commands(self, sid: str, commands: Sequence[Command]) -> list[str]:
        """Ask for several things, one after the other: all of them, or none. Ids and errors as `append_command`."""
        if len(commands) == 1:  # a transaction asks first whether the script is there
            return [await self.append_command(sid, commands[0])]
        async with self._redis.pipeline() as transaction:
            for command in commands:
                await self._ask_script(sid, command, change_of(command), client=transaction)
            answers: Any = await transaction.execute()
        return [_id_in(answer, sid, command) for command, answer in zip(commands, answers, strict=True)]

    async def append_fact(
        self,
        sid: str,
        fence: int,
        fact: Fact,
        key: str | None = None,
        *,
        owner: str | None = None,
        after: str | None = None,
    ) -> str:
        """State what became of the session, as its owner. Gives the entry's id.

        `owner` who lost its claim with Redis's newest writes is told so even where somebody got the same fence since.
        An owner that lost the answer asks again with the same `key`, before it states anything else: the entry is there
        once. With `after`, the key of its entry before, it hears whether that is still the newest.
        Raises NoSuchSession, SessionOver, Fenced (another owner has claimed it), WritesLost, IllegalTransition.
        """
        return await self._append(sid, fact, change_of(fact), owner=owner, fence=fence, key=key, after=after)

    async def append_chunk(
        self,
        sid: str,
        fence: int,
        chunk: Chunk,
        key: str | None = None,
        *,
        owner: str | None = None,
        after: str | None = None,
    ) -> str:
        """Record a finished chunk, as its owner; `key`, `owner`, `after` and errors as in `append_fact`."""
        return await self._append(sid, chunk, change_of(chunk), owner=owner, fence=fence, key=key, after=after)

    async def session(self, sid: str) -> Session:
        """What the session is now. Raises NoSuchSession."""
        state: Any = await self._redis.hgetall(Keys(sid).state)
        if not state:
            raise NoSuchSession(sid)
        rank: Any = None
        if state["status"] == SessionState.queued:
            rank = await self._redis.zrank(waiting_key(json.loads(state["created"])["pace"]), sid)
        return _session(state, rank)

    async def chunks(self, sid: str, after: str = "", limit: int = 100) -> list[Chunk]:
        """The next chunks after a cursor ('': from the first that is kept), oldest first, at most `limit`.

        Raises NoSuchSession, BadCursor, and CursorGone as `read` does.
        """
        position = parse_cursor(after)
        keys = Keys(sid)
        if not await self._redis.exists(keys.state):
            raise NoSuchSession(sid)
        first: Any = await self._redis.xrange(keys.chunks, count=1)
        if first and (0, 0) < position < parse_cursor(first[0][0]):
            raise CursorGone(after, first[0][0])
        rows: Any = await self._redis.xrange(keys.chunks, min=f"({after or START}", count=limit)
        return [Chunk.model_validate(_fields(row), extra="ignore") for row in rows]

    async def newest_chunk(self, sid: str) -> Chunk | None:
        """The chunk that was written last."""
        rows: Any = await self._redis.xrevrange(Keys(sid).chunks, count=1)
        return Chunk.model_validate(_fields(rows[0]), extra="ignore") if rows else None

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

    async def ring(self, replica: str, sid: str) -> None:
        """Tell a replica that there is a new command for one of its sessions."""
        await inbox.ring(self._redis, replica, sid)

    def inbox(self, replica: str) -> AsyncIterator[frozenset[str]]:
        """Sessions of a replica with a new command, for ever; an empty set says: look at all of them."""
        return inbox.listen(self._blocking, replica)

    async def _kept(self, members: Sequence[str]) -> list[tuple[str, Session]]:
        """What there is of these members of the index."""
        async with self._redis.pipeline(transaction=False) as reads:
            for member in members:
                reads.hgetall(Keys(_sid(member)).state)
                reads.zrank(waiting_key("live"), _sid(member))
                reads.zrank(waiting_key("offline"), _sid(member))
            said: Any = await reads.execute()
        states = zip(members, said[::3], said[1::3], said[2::3], strict=True)
        return [
            (member, _session(state, offline if live is None else live))
            for member, state, live, offline in states
            if state
        ]

    async def _append(
        self,
        sid: str,
        entry: AnyEntry | Chunk,
        change: Change,
        *,
        owner: str | None = None,
        fence: int | None = None,
        key: str | None = None,
        after: str | None = None,
        create: bool = False,
    ) -> str:
        answer = await self._ask_script(
            sid, entry, change, owner=owner, fence=fence, key=key, after=after, create=create
        )
        return _id_in(answer, sid, entry, fence)

    async def _ask_script(
        self,
        sid: str,
        entry: AnyEntry | Chunk,
        change: Change,
        *,
        owner: str | None = None,
        fence: int | None = None,
        key: str | None = None,
        after: str | None = None,
        create: bool = False,
        client: Redis | None = None,
    ) -> Any:
        keys = Keys(sid)
        is_chunk = isinstance(entry, Chunk)
        ask: dict[str, Any] = {
            "data": _data(entry),
            "create": create,
            "owner": owner,
            "fence": fence,
            "from": dict.fromkeys(change.allowed_from, True),
            "to": change.to,
            "put": change.put,
            "add": change.add,
            "cursor": not is_chunk,
            "maxlen": CHUNKS_KEPT if is_chunk else None,
            "expire_ms": CLAIM_SECONDS * 1000 if create else self._keep_ms if change.release else None,
            "key": key,
            "after": after,
        }
        stream = keys.chunks if is_chunk else keys.timeline
        return await self._append_script(
            keys=[keys.state, stream, keys.fence, keys.lease, keys.state, keys.timeline, keys.chunks, keys.fence],
            args=[json.dumps({name: value for name, value in ask.items() if value is not None})],
            client=client,
        )


def _id_in(answer: list[str], sid: str, entry: AnyEntry | Chunk, fence: int | None = None) -> str:
    """Of the entry that the script was to append."""
    match answer:
        case ["ok", entry_id]:
            return entry_id
        case ["exists"]:
            raise SessionExists(sid)
        case ["missing"]:
            raise NoSuchSession(sid)
        case ["fenced"]:
            raise Fenced(sid, fence or 0)
        case ["lost"]:
            raise WritesLost(sid)
        case [_, status] if SessionState(status).over:
            raise SessionOver(sid, status)
        case _:
            raise IllegalTransition(f"{type(entry).__name__} in state {answer[1]} of session {sid}")


def _index_member(created_at: int, sid: str) -> str:
    return f"{created_at:013d}-{sid}"


def _sid(member: str) -> str:
    return member.partition("-")[2]


def _session(state: dict[str, str], rank: int | None) -> Session:
    """From what the script keeps, and the place among those that wait: 0 is the next."""
    facts: dict[str, Any] = json.loads(state["created"])
    facts |= {name: value for name, value in state.items() if value != "" and name not in _NOT_OF_THE_FOLD}
    if rank is not None and facts["status"] == SessionState.queued:
        facts["queue_position"] = rank + 1
    facts["media_seconds"] = int(state["frames"]) / facts["fps"]
    return Session.model_validate(facts, extra="ignore")


def _data(entry: AnyEntry | Chunk) -> str:
    """All that an entry says, also what is kept from readers of the API."""
    hidden = {name: getattr(entry, name) for name, field in type(entry).model_fields.items() if field.exclude}
    return to_json(entry.model_dump(exclude=_STAMP) | hidden).decode()


def _fields(row: tuple[str, dict[str, str]]) -> dict[str, Any]:
    entry_id, fields = row
    return json.loads(fields["data"]) | {"id": entry_id, "at": parse_cursor(entry_id)[0]}


def _entry(row: tuple[str, dict[str, str]]) -> AnyEntry:
    # Where two versions share a store, the older one passes over what it does not know.
    return ENTRY.validate_python(_fields(row), extra="ignore")
