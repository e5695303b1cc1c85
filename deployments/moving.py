"""How a session goes to another generator at a chunk boundary: handed over whole, or given up where it cannot go on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress

from redis.exceptions import RedisError

from deployments.logs import about
from deployments.owned import Owned
from deployments.parts import Parts
from deployments.session import chunk_frames
from deployments.timeline import KEEP_SECONDS

MOVE_SECONDS = 10.0
MOVE_AGAIN_SECONDS = 1.0
FLUSH_SECONDS = 2.0
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
        self._leases = parts.leases
        self._drop = drop
        self._changed = changed

    async def run(self, draining: asyncio.Event, owned: Mapping[str, Owned]) -> None:
        """Whenever the replica is draining, move the sessions that it has, by id, again and again until cancelled."""
        while True:
            await draining.wait()
            left = dict(owned)
            while left and draining.is_set():
                each = await self.next_of(left.values())
                del left[each.sid]
                began = self._clock()
                if await self.move(each):
                    await asyncio.sleep(self._clock() - began)  # so that who takes them catches up in between
            await asyncio.sleep(MOVE_AGAIN_SECONDS)

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
                    if owned.recording is not None:
                        await owned.recording.flush()
                    await owned.recorder.written()
                    if owned.over or not await owned.keeper.stored(owned.next_chunk):
                        raise NotPutDown(owned.sid)
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

    async def give_up(self, owned: Owned) -> None:
        """Have another generator take it now, or once its lease is free. It has nothing on the device. Never raises."""
        owned.moving = True  # who takes it is about to say so, and its viewers may stay until then
        if owned.recording is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_SECONDS):
                    await owned.recording.flush()
        await owned.recorder.written()
        try:
            async with asyncio.timeout(MOVE_SECONDS):
                await self._hand_over(owned.sid)
        except Exception as error:
            log.warning("nobody else has taken it yet: %r", error)
            with suppress(RedisError):  # it runs out by itself
                await self._leases.release(owned.sid, owned.fence, KEEP_SECONDS)
        self._drop(owned)

    async def _has_heir(self, owned: Owned) -> bool:
        try:
            async with asyncio.timeout(ASK_SECONDS):
                return await self._others_have_room(owned.sid, owned.demand)
        except Exception as error:
            log.warning("not known whether another generator has room: %r", error)
            return False
