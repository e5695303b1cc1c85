"""What ends sessions that no generator holds: those whose owner is gone, and those that wait and are given up."""

from __future__ import annotations

import time
from collections.abc import Callable

from deployments.ending import Ending
from deployments.entries import SessionEnded, SessionFailed
from deployments.leases import LEASE_SECONDS, Leases
from deployments.timeline import Timeline

PATIENCE_SECONDS = LEASE_SECONDS + 2.0
"""So long a session must be without an owner: owners find a Redis that was away again within a renewal or two."""


class Sweeper:
    """Any number may run at once: a claim has one winner. `clock` gives seconds."""

    def __init__(
        self, timeline: Timeline, leases: Leases, name: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._leases = leases
        self._ending = Ending(timeline, leases, name)
        self._clock = clock
        self._orphan_since: dict[str, float] = {}

    async def sweep(self) -> list[str]:
        """One round, to be called about once a second; gives the sessions that it failed. Raises redis.RedisError.

        While Redis is away nobody can renew: a round that raises forgets what earlier ones saw.
        """
        before, self._orphan_since = self._orphan_since, {}
        orphans = await self._leases.orphans()
        now = self._clock()
        since = {sid: before.get(sid, now) for sid in orphans}
        lost = sorted(sid for sid, first in since.items() if now - first >= PATIENCE_SECONDS)
        failed = [sid for sid in lost if await self.fail(sid)]
        self._orphan_since = since
        return failed

    async def fail(self, sid: str, *, dead_owner: str = "") -> bool:
        """Fail a session whose owner is gone, at once where `dead_owner` is known to be dead.

        False: somebody holds it, or nobody should: a paused one misses no owner.
        """
        gone = SessionFailed(reason="The replica that made this video is gone. Start a new session.")
        return await self._ending.conclude(sid, gone, dead_owner=dead_owner, only_owned=True)

    async def conclude(self, sid: str, fact: SessionEnded | SessionFailed) -> bool:
        """End a session that no generator holds: one that waits or is paused. False: one holds it, or it is over."""
        return await self._ending.conclude(sid, fact)
