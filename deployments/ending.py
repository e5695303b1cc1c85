"""How a session ends or pauses that nobody holds: who claims it says so, and nobody else changes it from then on."""

from __future__ import annotations

import asyncio
import logging

from redis.exceptions import RedisError

from deployments.entries import AnyEntry, EndRequested, SessionEnded, SessionFailed, SessionPaused
from deployments.leases import Leases
from deployments.logs import about
from deployments.store import Fenced, LeaseHeld, NoSuchSession, SessionOver
from deployments.timeline import KEEP_SECONDS, Timeline

PAGE = 1000
AGAIN_SECONDS = 0.5
log = logging.getLogger(__name__)


async def history(timeline: Timeline, sid: str, after: str = "") -> list[AnyEntry]:
    """All entries of a session after a cursor. Raises as `Timeline.read` does."""
    entries = page = await timeline.read(sid, after, limit=PAGE)
    while len(page) == PAGE:
        page = await timeline.read(sid, page[-1].id, limit=PAGE)
        entries = entries + page
    return entries


class Ending:
    """`name` is who claims: a replica's id."""

    def __init__(self, timeline: Timeline, leases: Leases, name: str) -> None:
        self._timeline = timeline
        self._leases = leases
        self._name = name

    async def conclude(
        self, sid: str, fact: SessionEnded | SessionFailed | SessionPaused, *, only_owned: bool = False
    ) -> bool:
        """False: somebody holds it, or it is over. Raises redis.RedisError.

        `only_owned`: one that nobody need hold is left as it is.
        """
        with about(sid):
            try:
                fence = await self._leases.claim(sid, self._name)
                if only_owned and not (await self._timeline.session(sid)).status.owned:
                    await self._leases.release(sid, fence, KEEP_SECONDS)
                    return False
                await self._timeline.append_fact(sid, fence, fact, owner=self._name)
            except (LeaseHeld, SessionOver, NoSuchSession, Fenced):
                return False
            log.warning("%s, without a generator: %s", fact.type, fact.reason)
            return True

    async def if_asked(self, sid: str, after: str = "") -> None:
        """To be called by who has just given a session back, alive: end it if that was asked for, after a cursor.

        Who asks looks afterwards whether somebody holds the session, and if so leaves it to them. So they look last.
        Tries again while Redis is away.
        """
        while True:
            try:
                if any(isinstance(entry, EndRequested) for entry in await history(self._timeline, sid, after)):
                    await self.conclude(sid, SessionEnded(reason="requested"))
                return
            except NoSuchSession:
                return
            except RedisError as error:
                log.warning("not known yet whether it shall end: %s", error)
                await asyncio.sleep(AGAIN_SECONDS)
