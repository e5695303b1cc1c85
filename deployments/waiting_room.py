"""Sessions that wait for a free generator: first come, first served of each pace, however many ingresses there are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, get_args

from redis.asyncio import Redis
from redis.exceptions import LockError, RedisError

from deployments.calls import PartDown
from deployments.entries import Pace
from deployments.logs import about
from deployments.pool import PoolFull
from deployments.session import SessionState
from deployments.store import WAITING_SESSIONS, Keys, LeaseHeld, NoSuchSession, SessionOver, waiting_key

PAUSE_SECONDS = 0.5
LIMIT_SECONDS = 600.0
LOCK_SECONDS = 6.0  # so long nobody is served after the death of the one who served
_LOCK = f"{WAITING_SESSIONS}:lock"
_PACES: tuple[Pace, ...] = get_args(Pace)

# Redis' own time, for ingresses on several machines; never before the last in the queue, wherever the clock jumps.
_ENTER = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
if last[2] then now = math.max(now, last[2] + 1) end
redis.call('ZADD', KEYS[1], 'NX', string.format('%.0f', now), ARGV[1])
return redis.call('ZRANK', KEYS[1], ARGV[1]) + 1
"""

Take = Callable[[str], Awaitable[object]]
"""Has a session begun by a generator: `GeneratorPool.take`."""
GiveUp = Callable[[str, str], Awaitable[object]]
"""Fails a session, with a reason for people."""

log = logging.getLogger(__name__)


class WaitingRoom:
    """The sessions with the state `queued`, a queue for each pace: where there is room for one there may be none for
    the other, and neither holds the other up. `redis` comes from `store.connect`; each call raises
    RedisError.

    Who creates a session asks `anyone_waiting` first, and if so has it `enter` without trying a generator: nobody
    overtakes. Every ingress keeps `run` going: one of them serves at a time. `leave` when a session that waits ends.
    """

    def __init__(self, redis: Redis, *, limit_seconds: float = LIMIT_SECONDS) -> None:
        self._redis = redis
        self._limit_seconds = limit_seconds
        self._enter = redis.register_script(_ENTER)

    async def enter(self, sid: str, pace: Pace) -> int:
        """Wait at the end of the queue; gives the position. Who waits already keeps its place."""
        return int(await self._enter(keys=[waiting_key(pace)], args=[sid]))

    async def leave(self, sid: str, pace: Pace) -> None:
        await self._redis.zrem(waiting_key(pace), sid)

    async def anyone_waiting(self, pace: Pace) -> bool:
        return bool(await self._redis.zcard(waiting_key(pace)))

    async def count(self) -> int:
        """How many wait, of every pace."""
        return sum([int(await self._redis.zcard(waiting_key(pace))) for pace in _PACES])

    async def run(self, take: Take, give_up: GiveUp, *, pause_seconds: float = PAUSE_SECONDS) -> None:
        """Serve the queues until cancelled. Empty ones cost one read each `pause_seconds`."""
        task = asyncio.current_task()
        # redis-py waits with wait_for, and on Python 3.11 that one loses a cancellation that comes with the answer.
        while task is None or not task.cancelling():
            try:
                await self.serve_once(take, give_up)
            except RedisError as error:
                log.warning("the queues are not served: %s", error)
            except Exception:
                log.exception("the queues are not served")  # and goes on: nobody else starts those that wait
            await asyncio.sleep(pause_seconds)

    async def serve_once(self, take: Take, give_up: GiveUp) -> list[str]:
        """Has those at the head of each queue begun until one finds no room; gives who has begun.

        Nothing is done while another ingress serves. Who has waited longer than the limit, or cannot be begun for a
        reason that will not pass, is given up.
        """
        begun: list[str] = []
        if not await self._redis.exists(*map(waiting_key, _PACES)):
            return begun
        async with self._alone() as alone:
            if alone:
                for pace in _PACES:
                    begun += await self._serve(pace, take, give_up)
        return begun

    async def _serve(self, pace: Pace, take: Take, give_up: GiveUp) -> list[str]:
        begun: list[str] = []
        while (head := await self._head(pace)) is not None:
            sid, waited = head
            with about(sid):
                if waited > self._limit_seconds:
                    minutes = self._limit_seconds / 60
                    await give_up(sid, f"No generator had room for {minutes:.0f} minutes. Try again later.")
                elif (done := await self._begin(sid, take, give_up)) is None:
                    break
                elif done:
                    begun.append(sid)
            await self.leave(sid, pace)
        return begun

    async def _begin(self, sid: str, take: Take, give_up: GiveUp) -> bool | None:
        """Whether the session has begun; False: it never will; None: try again later."""
        try:
            await take(sid)
        except PoolFull:
            return None
        except (PartDown, TimeoutError, RedisError) as error:
            log.warning("not begun yet: %s", error or "no answer in time")
            return None
        except (NoSuchSession, SessionOver):
            return False
        except LeaseHeld:
            # By an earlier call that was not waited for: it has begun, or it will, or it is given back.
            status: Any = await self._redis.hget(Keys(sid).state, "status")
            return False if status is None or SessionState(status) is not SessionState.queued else None
        except Exception:
            log.exception("a session that waited was not begun")
            await give_up(sid, "The session could not be started; the log says why. Start a new one.")
            return False
        return True

    async def _head(self, pace: Pace) -> tuple[str, float] | None:
        """Who is next, and the seconds that it has waited."""
        first: Any = await self._redis.zrange(waiting_key(pace), 0, 0, withscores=True)
        if not first:
            return None
        seconds, micros = await self._redis.time()
        [(sid, entered)] = first
        return sid, seconds + (micros - entered) / 1e6

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[bool]:
        """Whether no other serves the queues, nor will while this lasts."""
        lock = self._redis.lock(_LOCK, timeout=LOCK_SECONDS, blocking=False, thread_local=False)
        if not await lock.acquire():
            yield False
            return
        keeping = asyncio.create_task(self._keep(lock))
        try:
            yield True
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            with suppress(LockError):  # lost: whoever has it now keeps it
                await lock.release()

    async def _keep(self, lock: Any) -> None:
        while True:
            await asyncio.sleep(LOCK_SECONDS / 3)
            with suppress(RedisError):  # the next one may reach it; a lost lock costs a LeaseHeld at worst
                await lock.reacquire()
