"""What looks after sessions that no generator holds: another one takes what lost its owner; what waits can be ended."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from functools import partial
from typing import Any, Protocol

from redis.exceptions import RedisError

from deployments.calls import PartDown
from deployments.ending import Ending
from deployments.entries import SessionEnded, SessionFailed, SessionPaused
from deployments.leases import Leases
from deployments.logs import about
from deployments.placement import TakeOver
from deployments.pool import PoolFull
from deployments.stopping import stop
from deployments.store import LeaseHeld, NoSuchSession, SessionOver
from deployments.timeline import Timeline

PATIENCE_SECONDS = 2.0
"""So long a session must be without a lease: owners renew theirs each second, and find a Redis that was away again."""

SHUN_SECONDS = 10.0
"""So long a session without a lease is not offered to the replica that had it, which may be hanging."""

ROOM_SECONDS = 120.0
"""So long a generator with room is looked for."""

log = logging.getLogger(__name__)
Work = Callable[[str], Coroutine[Any, Any, None]]


class Take(Protocol):
    """`GeneratorPool.take`."""

    def __call__(
        self, sid: str, take_over: TakeOver | None = None, not_to: tuple[str, ...] = ()
    ) -> Awaitable[object]: ...


class Sweeper:
    """Any number may run at once: a claim has one winner. `name` claims what is put by; `clock` gives seconds."""

    def __init__(
        self, timeline: Timeline, leases: Leases, name: str, take: Take, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._timeline = timeline
        self._leases = leases
        self._ending = Ending(timeline, leases, name)
        self._take = take
        self._clock = clock
        self._orphan_since: dict[str, float] = {}
        self._bereft: dict[str, str] = {}  # sessions whose owner is known to be dead, with that owner
        self._dead: set[str] = set()
        self._running: dict[str, asyncio.Task[bool]] = {}

    async def sweep(self) -> list[asyncio.Task[bool]]:
        """One round, to be called about once a second: tries once to have each lost session adopted, and gives up where
        nobody had room for ROOM_SECONDS. Gives what it began. Raises redis.RedisError.

        While Redis is away nobody can renew: a round that raises forgets what earlier ones saw.
        """
        before, self._orphan_since = self._orphan_since, {}
        orphans = await self._leases.orphans()
        now = self._clock()
        self._orphan_since = {sid: before.get(sid, now) for sid in orphans}
        waited = {sid: now - first for sid, first in self._orphan_since.items()}
        lost = {sid for sid, seconds in waited.items() if seconds >= PATIENCE_SECONDS} | self._bereft.keys()
        return [
            self._start(sid, self._remedy(sid, waited.get(sid, 0.0))) for sid in sorted(lost - self._running.keys())
        ]

    async def lost(self, sid: str, owner: str, fence: int) -> None:
        """The owner of a session has died, for sure: have the session adopted at once, and all others of that owner.

        `fence` is the highest that was seen of this one. Returns when that was tried for it; `sweep` goes on trying.
        Does not raise.
        """
        while (running := self._running.get(sid)) is not None:
            await asyncio.wait({running})
        self._bereft[sid] = owner
        first = self._start(sid, partial(self._adopt, dead=owner, fence=fence))
        await self._adopt_others(owner)
        await asyncio.wait({first})

    async def wanted(self, sid: str) -> bool:
        """Have a paused session go on. False: it does not, or somebody else sees to it. Does not raise."""
        return await self._try(sid, self._resume) is True

    async def conclude(self, sid: str, fact: SessionEnded | SessionFailed) -> bool:
        """End a session that no generator holds: one that waits or is paused. False: one holds it, or it is over."""
        return await self._ending.conclude(sid, fact)

    async def close(self) -> None:
        """Leave what was begun to others."""
        await stop(list(self._running.values()))

    def _remedy(self, sid: str, waited: float) -> Work:
        """What to do for a session that has been without a lease for so long."""
        if waited >= ROOM_SECONDS:
            return self._put_by
        return partial(self._adopt, dead=self._bereft.get(sid, ""), shun=waited < SHUN_SECONDS)

    async def _adopt_others(self, owner: str) -> None:
        if owner in self._dead:
            return
        self._dead.add(owner)
        try:
            others = await self._leases.held_by(owner)
        except RedisError as error:
            log.warning("not known yet what %s held: %s", owner, error)
            self._dead.discard(owner)
            return
        for sid in others - self._running.keys():
            self._bereft[sid] = owner
            self._start(sid, partial(self._adopt, dead=owner))

    def _start(self, sid: str, work: Work) -> asyncio.Task[bool]:
        # A context of its own: it is nobody's request.
        task = self._running[sid] = asyncio.create_task(self._run(sid, work), context=Context())
        return task

    async def _run(self, sid: str, work: Work) -> bool:
        try:
            if settled := await self._try(sid, work) is not None:
                self._bereft.pop(sid, None)
            return settled
        finally:
            del self._running[sid]

    async def _try(self, sid: str, work: Work) -> bool | None:
        """Whether it was done; False: it need not be, for somebody holds the session or nobody has to; None: try again.

        Does not raise.
        """
        with about(sid):
            try:
                await work(sid)
            except (LeaseHeld, SessionOver, NoSuchSession) as error:
                log.info("left as it is: %s", error)
                return False
            except (PoolFull, PartDown, TimeoutError, RedisError) as error:
                log.warning("nobody has it yet: %r", error)
                return None
            except Exception:
                log.exception("nobody has it yet")
                return None
            return True

    async def _resume(self, sid: str) -> None:
        await self._take(sid)
        log.info("resumed, for it is watched")

    async def _adopt(self, sid: str, dead: str, fence: int = 0, shun: bool = True) -> None:
        """Have it taken: from its owner if that one is known to be `dead`, else because its lease ran out. `shun`: by
        another."""
        session = await self._timeline.session(sid)
        if session.status.owned and (not dead or session.owner == dead):
            await self._take(sid, TakeOver(dead, "lost", fence), (session.owner,) if session.owner and shun else ())
            log.warning("adopted: its owner %s is gone", session.owner)

    async def _put_by(self, sid: str) -> None:
        """Pause it behind its last chunk."""
        session = await self._timeline.session(sid)
        paused = SessionPaused(
            chunk=session.chunks, frame=session.frames, media_seconds=session.media_seconds, reason="no-room"
        )
        await self._ending.conclude(sid, paused, only_owned=True)
