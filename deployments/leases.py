"""Who owns a session: a short lease, and a fence that grows with every change of owner."""

from __future__ import annotations

import json
import logging
from typing import Any

from redis.asyncio import Redis

from deployments.session import SessionFailed, SessionState
from deployments.store import (
    LIVE_SESSIONS,
    Fenced,
    Keys,
    LeaseHeld,
    NoSuchSession,
    SessionOver,
)
from deployments.timeline import Timeline

LEASE_SECONDS = 3.0
RENEW_SECONDS = 1.0
_log = logging.getLogger(__name__)
_OVER = json.dumps({state: True for state in SessionState if state.over})

# Counter, fold and caller each remember the last fence: a Redis that lost its newest writes gives none out twice.
_CLAIM = """
local state, fence, lease = KEYS[1], KEYS[2], KEYS[3]
local owner, ttl_ms, seen, dead = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local status = redis.call('HGET', state, 'status')
if not status then return {'missing'} end
if cjson.decode(ARGV[5])[status] then return {'over', status} end
local holder = redis.call('HGET', lease, 'owner')
if holder and holder ~= owner and holder ~= dead then return {'held', holder} end
local last = tonumber(redis.call('GET', fence) or '0')
local next_fence = math.max(last, tonumber(redis.call('HGET', state, 'fence') or '0'), seen) + 1
redis.call('SET', fence, next_fence)
redis.call('HSET', state, 'fence', next_fence, 'owner', owner)
redis.call('HSET', lease, 'owner', owner, 'fence', next_fence)
redis.call('PEXPIRE', lease, ttl_ms)
return {'ok', next_fence}
"""

# A lease that ran out is good again as long as nobody else claimed: the fence decides, not the clock.
_RENEW = """
local state, fence, lease = KEYS[1], KEYS[2], KEYS[3]
local owner, ttl_ms, mine = ARGV[1], ARGV[2], tonumber(ARGV[3])
local status = redis.call('HGET', state, 'status')
if not status then return {'missing'} end
if tonumber(redis.call('GET', fence) or '0') ~= mine then return {'fenced'} end
if cjson.decode(ARGV[4])[status] then return {'over', status} end
redis.call('HSET', lease, 'owner', owner, 'fence', mine)
redis.call('PEXPIRE', lease, ttl_ms)
return {'ok'}
"""


class Leases:
    """Claims sessions for owners (replica ids) and keeps them. `redis` comes from `store.connect`."""

    def __init__(self, redis: Redis, *, lease_seconds: float = LEASE_SECONDS) -> None:
        self._redis = redis
        self._ttl_ms = int(lease_seconds * 1000)
        self._claim = redis.register_script(_CLAIM)
        self._renew = redis.register_script(_RENEW)

    async def claim(self, sid: str, owner: str, *, seen_fence: int = 0, dead_owner: str = "") -> int:
        """Become the owner; gives the fence. `dead_owner`: take it from that one though its lease still runs.

        Raises NoSuchSession, SessionOver, LeaseHeld (somebody else's lease runs).
        """
        keys = Keys(sid)
        match await self._claim(
            keys=[keys.state, keys.fence, keys.lease], args=[owner, self._ttl_ms, seen_fence, dead_owner, _OVER]
        ):
            case ["ok", fence]:
                return fence
            case ["held", holder]:
                raise LeaseHeld(sid, holder)
            case ["over", status]:
                raise SessionOver(sid, status)
        raise NoSuchSession(sid)

    async def renew(self, sid: str, owner: str, fence: int) -> None:
        """Stay the owner: call each RENEW_SECONDS. Raises NoSuchSession, SessionOver, Fenced."""
        keys = Keys(sid)
        match await self._renew(keys=[keys.state, keys.fence, keys.lease], args=[owner, self._ttl_ms, fence, _OVER]):
            case ["ok"]:
                return
            case ["fenced"]:
                raise Fenced(sid, fence)
            case ["over", status]:
                raise SessionOver(sid, status)
        raise NoSuchSession(sid)

    async def orphans(self) -> frozenset[str]:
        """Sessions that are not over and that nobody holds now. Forgets those that are over."""
        sids: Any = await self._redis.smembers(LIVE_SESSIONS)
        lost: set[str] = set()
        for sid in sids:
            keys = Keys(sid)
            status: Any = await self._redis.hget(keys.state, "status")
            if status is None or SessionState(status).over:
                await self._redis.srem(LIVE_SESSIONS, sid)
            elif not await self._redis.exists(keys.lease):
                lost.add(sid)
        return frozenset(lost)


class Sweeper:
    """Fails the sessions whose owner is gone. Any number may run at once: a claim has one winner."""

    def __init__(self, timeline: Timeline, leases: Leases, name: str) -> None:
        self._timeline = timeline
        self._leases = leases
        self._name = name
        self._suspects: frozenset[str] = frozenset()

    async def sweep(self) -> list[str]:
        """One round, to be called about once a second; gives the sessions that it failed.

        A session must be without an owner in two rounds running: an owner that comes back after Redis was away, or one
        that has created a session and not yet claimed it, has that time to do so.
        """
        suspects = await self._leases.orphans()
        failed = [sid for sid in sorted(suspects & self._suspects) if await self.fail(sid)]
        self._suspects = suspects
        return failed

    async def fail(self, sid: str, *, dead_owner: str = "") -> bool:
        """End a session whose owner is gone, at once where `dead_owner` is known to be dead. False: not ours to end."""
        try:
            fence = await self._leases.claim(sid, self._name, dead_owner=dead_owner)
            reason = "The replica that made this video is gone. Start a new session."
            await self._timeline.append_fact(sid, fence, SessionFailed(reason=reason))
        except (LeaseHeld, SessionOver, NoSuchSession, Fenced):
            return False
        _log.warning("session %s failed: its owner is gone", sid)
        return True
