"""Fan-out in the ingress: one upstream per watched session, however many viewers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from contextvars import Context
from dataclasses import dataclass, field

from deployments.fragments import Fragment, FragmentRing
from deployments.logs import about
from deployments.placement import OwnerDied, ReplicaGone

log = logging.getLogger(__name__)

Upstream = Callable[[str, str], AsyncGenerator[Fragment, None]]
"""(sid, owner) -> the owner's fragments from its newest on, for as long as the owner lets one call last.

Raises OwnerDied, ReplicaGone.
"""


@dataclass
class _Channel:
    ring: FragmentRing = field(default_factory=FragmentRing)
    viewers: int = 0
    pump: asyncio.Task[None] | None = None
    closing: asyncio.TimerHandle | None = None


class Hub:
    """`lost(sid, owner)` is told that the owner has died. `over(sid)` is asked when there is nothing more to pass on,
    and whenever that was so for `idle_s`. Neither raises.

    A channel outlives its last viewer by `keep_s`: a viewer that pulls is away between two requests.
    """

    def __init__(
        self,
        upstream: Upstream,
        lost: Callable[[str, str], Awaitable[None]],
        over: Callable[[str], Awaitable[bool]],
        keep_s: float = 5.0,
        idle_s: float = 5.0,
    ) -> None:
        self._upstream = upstream
        self._lost = lost
        self._over = over
        self._keep_s = keep_s
        self._idle_s = idle_s
        self._channels: dict[str, _Channel] = {}

    def ring(self, sid: str) -> FragmentRing | None:
        """The ring of a session that somebody watches here or has just watched."""
        channel = self._channels.get(sid)
        return channel.ring if channel else None

    @asynccontextmanager
    async def watch(self, sid: str, owner: str) -> AsyncIterator[FragmentRing]:
        """The session's ring, fed while inside."""
        channel = self._channels.get(sid)
        if channel is None:
            channel = self._channels[sid] = _Channel()
            # A context of its own: Serve cancels the calls made in that of a viewer when this one leaves.
            channel.pump = asyncio.create_task(self._pump(sid, owner, channel), context=Context())
        if channel.closing:
            channel.closing.cancel()
            channel.closing = None
        channel.viewers += 1
        try:
            yield channel.ring
        finally:
            channel.viewers -= 1
            if not channel.viewers:
                loop = asyncio.get_running_loop()
                channel.closing = loop.call_later(self._keep_s, self._drop, sid, channel)

    async def close(self) -> None:
        """Stop every upstream."""
        channels = list(self._channels.items())
        for sid, channel in channels:
            self._drop(sid, channel)
        await asyncio.gather(*(c.pump for _, c in channels if c.pump), return_exceptions=True)

    def _drop(self, sid: str, channel: _Channel) -> None:
        if channel.closing:
            channel.closing.cancel()
        if channel.pump:
            channel.pump.cancel()
        channel.ring.close()
        if self._channels.get(sid) is channel:
            del self._channels[sid]

    async def _pump(self, sid: str, owner: str, channel: _Channel) -> None:
        over = False
        with about(sid):
            try:
                over = await self._feed(sid, owner, channel.ring)
            except OwnerDied:
                log.warning("its owner %s has died", owner)
                await self._lost(sid, owner)
                over = await self._over(sid)
            except ReplicaGone:
                log.warning("no way to its owner %s", owner)
            except Exception:
                log.exception("the upstream broke; its viewers have to come again")
            finally:
                channel.ring.close()
                if not over and self._channels.get(sid) is channel:
                    del self._channels[sid]  # who comes again gets a new upstream

    async def _feed(self, sid: str, owner: str, ring: FragmentRing) -> bool:
        """Pass on what comes, in one call after the other. True: the session is over. False: the owner has nothing."""
        while True:
            passed = 0
            async with aclosing(self._upstream(sid, owner)) as fragments:
                while await self._advance(sid, fragments, ring):
                    passed += 1
            if await self._over(sid):
                return True
            if not passed:
                return False

    async def _advance(self, sid: str, fragments: AsyncIterator[Fragment], ring: FragmentRing) -> bool:
        """Pass on one fragment. False: there will be no more."""
        step = asyncio.ensure_future(anext(fragments))
        try:
            while not (await asyncio.wait({step}, timeout=self._idle_s))[0]:
                if await self._over(sid):
                    return False
            ring.publish(step.result())
            return True
        except StopAsyncIteration:
            return False
        finally:
            if not step.done():
                step.cancel()
                await asyncio.gather(step, return_exceptions=True)
