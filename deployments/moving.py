"""How a session is handed to another generator at a chunk boundary, with all that was made of it stored and stated."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection

from deployments.logs import about
from deployments.owned import Owned
from deployments.parts import Parts
from deployments.session import chunk_frames

MOVE_SECONDS = 10.0
SLACK_SHARE = 0.6
"""Of the time that a chunk plays: a session that has less until its next one is due had better make that one first."""

LOOK_SECONDS = 0.02
ASK_SECONDS = 2.0  # others wait for their turn behind a generator that does not answer
log = logging.getLogger(__name__)


class NotPutDown(Exception):
    """Nobody else could go on with the session from here."""


class Mover:
    """`drop` is called when a session has left. `changed` is told of one that stands for it, or goes on after all."""

    def __init__(self, parts: Parts, drop: Callable[[Owned], None], changed: Callable[[], None]) -> None:
        self._clock = parts.clock
        self._others_have_room = parts.others_have_room
        self._hand_over = parts.hand_over
        self._drop = drop
        self._changed = changed

    async def next_of(self, some: Collection[Owned]) -> Owned:
        """That of `some` which is best moved next: one with a chunk just out, so that its next one is due much later.

        Where nobody is in time, any one, once each would have had a chunk out.
        """
        least = {owned.sid: SLACK_SHARE * chunk_frames(1) / owned.video.fps for owned in some}
        until = self._clock() + max(least.values()) / SLACK_SHARE
        while True:
            now = self._clock()
            best = max(some, key=lambda owned: owned.slack(now))
            if best.slack(now) >= least[best.sid] or now >= until:
                return best
            await asyncio.sleep(LOOK_SECONDS)

    async def move(self, owned: Owned) -> bool:
        """Have another generator take it. False: nobody has, and it goes on here, for another attempt. Never raises."""
        with about(owned.sid):
            # Asked first, for its picture stands still while it is handed over.
            if not await self._has_heir(owned) or owned.over or owned.stands:
                return False
            owned.moving = True
            owned.still.clear()
            self._changed()
            try:
                async with asyncio.timeout(MOVE_SECONDS):
                    await owned.still.wait()
                    await self._put_down(owned)
                    await self._hand_over(owned.sid)
            except Exception as error:
                log.warning("not handed over yet: %r", error)
                owned.moving = False
                owned.still.clear()
                self._changed()
                return False
            log.info("session handed over before chunk %d", owned.next_chunk)
            self._drop(owned)
            return True

    async def _has_heir(self, owned: Owned) -> bool:
        try:
            async with asyncio.timeout(ASK_SECONDS):
                return await self._others_have_room(owned.sid, owned.demand)
        except Exception as error:
            log.warning("not known whether another generator has room: %r", error)
            return False

    async def _put_down(self, owned: Owned) -> None:
        if owned.recording is not None:
            await owned.recording.flush()
        await owned.recorder.written()
        if owned.over or not await owned.keeper.stored(owned.next_chunk):
            raise NotPutDown(owned.sid)
