"""Keys that make a request count once, however often it is sent: what was answered to the first is kept for a day."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import BaseModel, ConfigDict
from redis.asyncio import Redis
from redis.exceptions import RedisError

from deployments.stopping import stop
from deployments.store import SessionError

KEEP_SECONDS = 24 * 3600
LOCK_SECONDS = 60
"""So long a key stays with a request whose process died over it."""

# The value stays its holder's as long as nobody else set it: a request may outlive its lock, if the store was away.
_SETTLE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""


_EXTEND = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
log = logging.getLogger(__name__)


class KeyReused(SessionError):
    """The key came with another request before."""

    def __str__(self) -> str:
        return "This Idempotency-Key came with another request before: send a new key with each new request."


class KeyInUse(SessionError):
    """The first request with the key is not answered yet."""

    def __str__(self) -> str:
        return "A request with this Idempotency-Key is being carried out: send it again in a moment for its answer."


class KeptAnswer(BaseModel):
    """What a request was answered with. `location` may be empty."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    media_type: str
    location: str = ""
    body: str


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    fingerprint: str
    holder: str
    answer: KeptAnswer | None = None


class Claim:
    """A key that is held by one request, which must `keep` its answer or `release` it."""

    def __init__(self, keys: IdempotencyKeys, name: str, record: _Record) -> None:
        self._keys = keys
        self._name = name
        self._record = record

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """While inside, the key stays with the request, however long it takes."""
        holding = asyncio.create_task(self._keys.hold(self._name, self._record.model_dump_json()))
        try:
            yield
        finally:
            await stop([holding])

    async def keep(self, answer: KeptAnswer) -> None:
        done = self._record.model_copy(update={"answer": answer})
        await self._keys.settle(self._name, self._record.model_dump_json(), done.model_dump_json())

    async def release(self) -> None:
        await self._keys.settle(self._name, self._record.model_dump_json(), "")


class IdempotencyKeys:
    """Every call raises redis.RedisError when the store cannot be reached."""

    def __init__(self, redis: Redis, *, keep_seconds: float = KEEP_SECONDS, lock_seconds: float = LOCK_SECONDS) -> None:
        self._redis = redis
        self._keep_ms = int(keep_seconds * 1000)
        self._lock_ms = int(lock_seconds * 1000)
        self._settle = redis.register_script(_SETTLE)
        self._extend = redis.register_script(_EXTEND)

    async def claim(self, key: str, fingerprint: str) -> Claim | KeptAnswer:
        """Hold the key for a request, or have what was answered to it. `fingerprint` tells requests apart.

        Raises KeyReused, KeyInUse.
        """
        name = f"idempotency:{key}"
        record = _Record(fingerprint=fingerprint, holder=secrets.token_hex(8))
        while not await self._redis.set(name, record.model_dump_json(), nx=True, px=self._lock_ms):
            value = await self._redis.get(name)
            if value is None:  # released in between
                continue
            held = _Record.model_validate_json(value)
            if held.fingerprint != fingerprint:
                raise KeyReused
            if held.answer is None:
                raise KeyInUse
            return held.answer
        return Claim(self, name, record)

    async def hold(self, name: str, held: str) -> None:
        """Renew the lock until cancelled."""
        while True:
            await asyncio.sleep(self._lock_ms / 3000)
            try:
                await self._extend(keys=[name], args=[held, self._lock_ms])
            except RedisError as error:
                log.warning("a key's lock is not renewed: %s", error)

    async def settle(self, name: str, held: str, value: str) -> None:
        await self._settle(keys=[name], args=[held, value, self._keep_ms])
