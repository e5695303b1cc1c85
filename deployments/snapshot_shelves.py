"""Where the snapshots of live sessions lie: a Redis that need not keep anything, or a place that fsspec can reach."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol, cast

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from deployments.media_store import MediaError, MediaStore, NoSuchMedia
from deployments.store import SessionError

KEEP_SECONDS = 24 * 3600
"""A session that is not written to for so long is forgotten, whoever forgot to."""
REDIS_SECONDS = 0.25
FILES_SECONDS = 2.0  # an object store answers in tenths of a second
READ_SECONDS = 5.0  # who reads has nothing better to do
_SIZES = """
local names = redis.call('HKEYS', KEYS[1])
local sizes = {}
for i, name in ipairs(names) do sizes[i] = redis.call('HSTRLEN', KEYS[1], name) end
return {names, sizes}
"""
_COPY = """
local pairs = {}
for i = 2, #ARGV, 2 do
    local value = redis.call('HGET', KEYS[1], ARGV[i])
    if not value then return 0 end
    pairs[i - 1], pairs[i] = ARGV[i + 1], value
end
for i = 1, #pairs, 2 do redis.call('HSET', KEYS[2], pairs[i], pairs[i + 1]) end
redis.call('EXPIRE', KEYS[2], ARGV[1])
return 1
"""


class SnapshotsAway(SessionError):
    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said

    def __str__(self) -> str:
        return f"The history of snapshots is away ({self.said}). Check LONGLIVE_SNAPSHOTS and what it names."


class Shelf(Protocol):
    """Named objects of sessions. Every call takes bounded time and raises SnapshotsAway."""

    seconds: float
    """What a change may take."""

    async def sizes(self, sid: str) -> dict[str, int]:
        """Every object of the session, with its bytes."""
        ...

    async def read(self, sid: str, names: Sequence[str]) -> list[bytes | None]:
        """None where there is no such object."""
        ...

    async def change(self, sid: str, add: Mapping[str, bytes], drop: Collection[str]) -> int | None:
        """Add in this order, then drop. Gives how many objects there are now, where that costs nothing to know."""
        ...

    async def copy(self, sid: str, to_sid: str, names: Mapping[str, str]) -> bool:
        """Objects of a session, by their names, to another one under other names. False if one is not there."""
        ...

    async def forget(self, sid: str) -> None: ...
    async def prune(self) -> None:
        """Forget what was not written to for KEEP_SECONDS."""
        ...

    async def close(self) -> None: ...


class RedisShelf:
    """A hash for each session, changed in one round trip, which the Redis forgets by itself."""

    def __init__(self, url: str, seconds: float = REDIS_SECONDS) -> None:
        self.seconds = seconds
        self._writing, self._reading = _client(url, seconds), _client(url, READ_SECONDS)

    async def sizes(self, sid: str) -> dict[str, int]:
        with _redis_away():
            names, sizes = await self._writing.eval(_SIZES, 1, _key(sid))
        return {name.decode(): size for name, size in zip(names, sizes, strict=True)}

    async def read(self, sid: str, names: Sequence[str]) -> list[bytes | None]:
        if not names:
            return []
        with _redis_away():
            return cast("list[bytes | None]", await self._reading.hmget(_key(sid), names))

    async def change(self, sid: str, add: Mapping[str, bytes], drop: Collection[str]) -> int | None:
        key = _key(sid)
        with _redis_away():
            async with self._writing.pipeline(transaction=True) as pipe:
                if add:
                    pipe.hset(key, items=[part for item in add.items() for part in item])
                if drop:
                    pipe.hdel(key, *drop)
                pipe.expire(key, KEEP_SECONDS)
                pipe.hlen(key)
                return int((await pipe.execute())[-1])

    async def copy(self, sid: str, to_sid: str, names: Mapping[str, str]) -> bool:
        flat = [name for pair in names.items() for name in pair]
        with _redis_away():
            return bool(await self._reading.eval(_COPY, 2, _key(sid), _key(to_sid), KEEP_SECONDS, *flat))

    async def forget(self, sid: str) -> None:
        with _redis_away():
            await self._reading.unlink(_key(sid))

    async def prune(self) -> None:
        """The Redis does it."""

    async def close(self) -> None:
        await self._writing.aclose()
        await self._reading.aclose()


class FileShelf:
    """Objects `{session}/{name}` below the folder `history` of an fsspec URL."""

    def __init__(self, url: str, seconds: float = FILES_SECONDS) -> None:
        self.seconds = seconds
        self._store = MediaStore(f"{url.rstrip('/')}/history", READ_SECONDS)

    async def sizes(self, sid: str) -> dict[str, int]:
        with _files_away():
            return await self._store.sizes(sid)

    async def read(self, sid: str, names: Sequence[str]) -> list[bytes | None]:
        with _files_away():
            return await asyncio.gather(*(self._read(f"{sid}/{name}") for name in names))

    async def change(self, sid: str, add: Mapping[str, bytes], drop: Collection[str]) -> int | None:
        first, last = list(add.items())[:-1], list(add.items())[-1:]
        with _files_away():
            for group in (first, last):
                await asyncio.gather(*(self._store.write(f"{sid}/{name}", data) for name, data in group))
            await asyncio.gather(*(self._store.delete(f"{sid}/{name}") for name in drop))
        return None

    async def copy(self, sid: str, to_sid: str, names: Mapping[str, str]) -> bool:
        with _files_away():
            try:
                for name, target in names.items():
                    await self._store.copy(f"{sid}/{name}", f"{to_sid}/{target}")
            except NoSuchMedia:
                await self._store.delete_tree(to_sid)
                return False
        return True

    async def forget(self, sid: str) -> None:
        with _files_away():
            await self._store.delete_tree(sid)

    async def prune(self) -> None:
        with _files_away():
            for sid in await self._store.sessions():
                if await self._store.idle_seconds(sid) > KEEP_SECONDS:
                    await self._store.delete_tree(sid)

    async def close(self) -> None:
        self._store.close()

    async def _read(self, path: str) -> bytes | None:
        try:
            return await self._store.read(path)
        except NoSuchMedia:
            return None


def is_redis(url: str) -> bool:
    return url.startswith(("redis://", "rediss://", "unix://"))


def open_shelf(url: str) -> Shelf:
    return RedisShelf(url) if is_redis(url) else FileShelf(url)


def _client(url: str, seconds: float) -> redis.asyncio.Redis:
    return redis.asyncio.Redis.from_url(
        url,
        protocol=2,
        # All that is done here can be done twice, and a connection may be one to a server that has been restarted.
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
    )


def _key(sid: str) -> str:
    return f"{{{sid}}}:snapshots"


@contextmanager
def _redis_away() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        raise SnapshotsAway(" ".join(str(error).split()) or type(error).__name__) from error


@contextmanager
def _files_away() -> Iterator[None]:
    try:
        yield
    except MediaError as error:
        raise SnapshotsAway(str(getattr(error, "said", error))) from error
