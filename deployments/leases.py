"""Who owns a session: a short lease, and a fence that grows with every change of owner."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis

from deployments.session import SessionState
from deployments.store import (
    LIVE_SESSIONS,
    Fenced,
    Keys,
    LeaseHeld,
    NoSuchSession,
    SessionOver,
)
from deployments.timeline import KEEP_SECONDS

LEASE_SECONDS = 3.0
RENEW_SECONDS = 1.0
_OVER = json.dumps({state: True for state in SessionState if state.over})
_OWNED = json.dumps({state: True for state in SessionState if state.owned})

# Counter and fold each remember the last fence. A session that was created and never claimed expires: a claim keeps it.
_CLAIM = """
local state, fence, lease, timeline = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local owner, ttl_ms, dead = ARGV[1], ARGV[2], ARGV[3]
local status = redis.call('HGET', state, 'status')
if not status then return {'missing'} end
if cjson.decode(ARGV[4])[status] then return {'over', status} end
local holder = redis.call('HGET', lease, 'owner')
-- Who asks because of one owner's death may know nothing of the next one, whose lease a restart of Redis let run out.
if not holder and dead ~= '' then holder = redis.call('HGET', state, 'owner') end
if holder and holder ~= owner and holder ~= dead then return {'held', holder} end
local last = tonumber(redis.call('GET', fence) or '0')
local next_fence = math.max(last, tonumber(redis.call('HGET', state, 'fence') or '0'), tonumber(ARGV[5])) + 1
redis.call('SET', fence, next_fence)
redis.call('HSET', state, 'fence', next_fence, 'owner', owner)
redis.call('HSET', lease, 'owner', owner, 'fence', next_fence)
redis.call('PEXPIRE', lease, ttl_ms)
for _, key in ipairs({state, timeline, fence, KEYS[5]}) do redis.call('PERSIST', key) end
return {'ok', next_fence}
"""

# A lease that ran out is good again as long as nobody else claimed: the fence decides, not the clock. Meanwhile
# `orphans` may have let the session expire. A Redis that has only seen lower fences than this one has lost its newest
# writes: the owner claims anew, and whoever has claimed by a lower fence meanwhile is fenced off, for viewers do not
# listen to them either.
_RENEW = """
local state, fence, lease, timeline = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local owner, ttl_ms, mine = ARGV[1], ARGV[2], tonumber(ARGV[3])
local status = redis.call('HGET', state, 'status')
if not status then return {'missing'} end
local last = math.max(tonumber(redis.call('GET', fence) or '0'), tonumber(redis.call('HGET', state, 'fence') or '0'))
if last > mine or last == mine and redis.call('HGET', state, 'owner') ~= owner then return {'fenced'} end
if cjson.decode(ARGV[4])[status] then return {'over', status} end
if last < mine then
  mine = mine + 1
  redis.call('SET', fence, mine)
  redis.call('HSET', state, 'fence', mine, 'owner', owner)
end
redis.call('HSET', lease, 'owner', owner, 'fence', mine)
redis.call('PEXPIRE', lease, ttl_ms)
for _, key in ipairs({state, timeline, fence, KEYS[5]}) do redis.call('PERSIST', key) end
return {'ok', mine, redis.call('HGET', state, 'written_id') or ''}
"""

# Back in the name of the one it was taken from: of whoever takes it because of that one, the next one may.
_RELEASE = """
local fence, lease, state = KEYS[1], KEYS[2], KEYS[3]
if tonumber(redis.call('GET', fence) or '0') ~= tonumber(ARGV[1]) then return end
if ARGV[3] ~= '' then redis.call('HSET', state, 'owner', ARGV[3]) end
redis.call('DEL', lease)
for i = 1, #KEYS do redis.call('PEXPIRE', KEYS[i], ARGV[2]) end
"""

# Whoever claimed the session and neither began it nor gave it back is gone: a claim's PERSIST must not outlive it.
_LET_EXPIRE = """
local state, lease = KEYS[1], KEYS[2]
local status = redis.call('HGET', state, 'status')
if status and (cjson.decode(ARGV[1])[status] or redis.call('EXISTS', lease) == 1) then return 'held' end
for _, key in ipairs({state, KEYS[3], KEYS[4], KEYS[5]}) do
  if redis.call('PTTL', key) == -1 then redis.call('PEXPIRE', key, ARGV[2]) end
end
return 'free'
"""


class Leases:
    """Claims sessions for owners (replica ids) and keeps them. `redis` comes from `store.connect`."""

    def __init__(self, redis: Redis, *, lease_seconds: float = LEASE_SECONDS) -> None:
        self._redis = redis
        self._ttl_ms = int(lease_seconds * 1000)
        self._claim = redis.register_script(_CLAIM)
        self._renew = redis.register_script(_RENEW)
        self._give_back = redis.register_script(_RELEASE)
        self._let_expire = redis.register_script(_LET_EXPIRE)

    async def claim(self, sid: str, owner: str, *, dead_owner: str = "", seen: int = 0) -> int:
        """Become the owner; gives the fence, which is above `seen`: one that the caller has seen of the session.

        `dead_owner`: take it from that one though its lease still runs, but from no other.

        Raises NoSuchSession, SessionOver, LeaseHeld (somebody else's lease runs, or with `dead_owner` did last).
        """
        keys = Keys(sid)
        # First, so that no claimed session is missing in there. Whatever else gets in, `orphans` forgets.
        await self._redis.sadd(LIVE_SESSIONS, sid)
        match await self._claim(
            keys=[keys.state, keys.fence, keys.lease, keys.timeline, keys.chunks],
            args=[owner, self._ttl_ms, dead_owner, _OVER, seen],
        ):
            case ["ok", fence]:
                await self._redis.sadd(LIVE_SESSIONS, sid)  # `orphans` may have looked in between
                return fence
            case ["held", holder]:
                raise LeaseHeld(sid, holder)
            case ["over", status]:
                raise SessionOver(sid, status)
        raise NoSuchSession(sid)

    async def renew(self, sid: str, owner: str, fence: int) -> tuple[int, str]:
        """Stay the owner: call each RENEW_SECONDS. Gives the fence, a higher one if Redis had lost its newest writes,
        and the id of the newest entry that an owner has written.

        Raises NoSuchSession, SessionOver, Fenced.
        """
        keys = Keys(sid)
        match await self._renew(
            keys=[keys.state, keys.fence, keys.lease, keys.timeline, keys.chunks],
            args=[owner, self._ttl_ms, fence, _OVER],
        ):
            case ["ok", held, written]:
                await self._redis.sadd(LIVE_SESSIONS, sid)  # so that none that is held stays missing in there
                return held, written
            case ["fenced"]:
                raise Fenced(sid, fence)
            case ["over", status]:
                raise SessionOver(sid, status)
        raise NoSuchSession(sid)

    async def release(self, sid: str, fence: int, keep_seconds: float, dead_owner: str = "") -> None:
        """Give back a session that was claimed and not begun: it stays as it was, for so long, for somebody else.

        `dead_owner`: the one that `claim` was told.
        """
        keys = Keys(sid)
        await self._give_back(
            keys=[keys.fence, keys.lease, keys.state, keys.timeline, keys.chunks],
            args=[fence, int(keep_seconds * 1000), dead_owner],
        )

    async def orphans(self) -> frozenset[str]:
        """Sessions that somebody should hold and nobody does. Forgets those that nobody should; only this does."""
        sids: Any = list(await self._redis.smembers(LIVE_SESSIONS))
        async with self._redis.pipeline(transaction=False) as reads:
            for sid in sids:
                reads.hget(Keys(sid).state, "status")
                reads.exists(Keys(sid).lease)
            said: Any = await reads.execute()
        lost, free = set[str](), list[str]()
        for sid, status, lease in zip(sids, said[::2], said[1::2], strict=True):
            if status is None or not (SessionState(status).owned or lease):
                free.append(sid)
            elif not lease:
                lost.add(sid)
        await self._forget(free)
        return frozenset(lost)

    async def held_by(self, owner: str) -> frozenset[str]:
        """Sessions that this owner should hold."""
        sids: Any = list(await self._redis.smembers(LIVE_SESSIONS))
        async with self._redis.pipeline(transaction=False) as reads:
            for sid in sids:
                reads.hmget(Keys(sid).state, "status", "owner")
            said: Any = await reads.execute()
        return frozenset(
            sid
            for sid, (status, holder) in zip(sids, said, strict=True)
            if status is not None and holder == owner and SessionState(status).owned
        )

    async def _forget(self, sids: Sequence[str]) -> None:
        """Miss these no longer, and have them expire; but none that somebody has claimed meanwhile."""
        if not sids:
            return
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.srem(LIVE_SESSIONS, *sids)
            for sid in sids:
                keys = Keys(sid)
                await self._let_expire(
                    keys=[keys.state, keys.lease, keys.timeline, keys.chunks, keys.fence],
                    args=[_OWNED, int(KEEP_SECONDS * 1000)],
                    client=pipeline,
                )
            _, *said = await pipeline.execute()
        if held := [sid for sid, answer in zip(sids, said, strict=True) if answer == "held"]:
            await self._redis.sadd(LIVE_SESSIONS, *held)
