"""Fan-out in the ingress: one upstream per watched session, however many viewers."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from contextvars import Context
from dataclasses import dataclass, field
from typing import Protocol

from redis.exceptions import RedisError

from deployments.entries import AnyEntry
from deployments.fragments import Fragment, FragmentRing
from deployments.logs import about
from deployments.placement import OwnerDied, ReplicaGone
from deployments.session import Session, SessionState
from deployments.stopping import stop
from deployments.store import NoSuchSession

LOOK_SECONDS = 1.0  # so long a store that hangs may hold a picture up, once for each time it is asked
log = logging.getLogger(__name__)

Fragments = AsyncGenerator[tuple[Fragment, ...], None]
Upstream = Callable[[str, str], Fragments]
"""(sid, owner) -> all fragments that the owner keeps, then those that come, for as long as it lets one call last.

Raises OwnerDied, ReplicaGone.
"""


class History(Protocol):
    """What the hub needs of `Timeline`."""

    async def session(self, sid: str) -> Session: ...
    def tail(self, sid: str, after: str = "") -> AsyncIterator[AnyEntry]: ...


@dataclass
class _Channel:
    session: Session
    ring: FragmentRing = field(default_factory=FragmentRing)
    viewers: int = 0
    pump: asyncio.Task[None] | None = None
    closing: asyncio.TimerHandle | None = None
    looked: float = -math.inf
    """When the store was last asked, by the monotonic clock."""


class Hub:
    """`lost(sid, owner, fence)` is told that the owner has died, and of the highest fence that was seen: it has another
    one take the session. `wanted(sid)` is told of a session that paused because nobody watched, and is watched; False:
    it was not resumed. Neither raises.

    A ring is fed by whoever owns the session, from one owner to the next; while nobody does, it waits. It is closed
    when the session is over. A channel outlives its last viewer by `keep_s`: one that pulls is away between two
    requests. Whether a silent owner still is the owner is asked every `idle_s`; one that has just given the session up
    is heard for `last_words_s` more. A broken way to an owner is tried again.
    """

    def __init__(
        self,
        upstream: Upstream,
        lost: Callable[[str, str, int], Awaitable[None]],
        wanted: Callable[[str], Awaitable[bool]],
        history: History,
        keep_s: float = 5.0,
        idle_s: float = 1.0,
        last_words_s: float = 0.25,
        again_s: float = 2.0,
        retry_s: float = 0.1,
        most_retry_s: float = 0.5,
    ) -> None:
        self._upstream = upstream
        self._lost = lost
        self._wanted = wanted
        self._history = history
        self._keep_s = keep_s
        self._idle_s = idle_s
        self._last_words_s = last_words_s
        self._again_s = again_s
        self._retry_s = retry_s
        self._most_retry_s = most_retry_s
        self._channels: dict[str, _Channel] = {}

    def session(self, sid: str) -> Session | None:
        """A session that somebody watches here or has just watched, as it was when this was last asked of the store."""
        channel = self._channels.get(sid)
        return channel.session if channel else None

    def ring(self, sid: str) -> FragmentRing | None:
        """The ring of a session that somebody watches here or has just watched."""
        channel = self._channels.get(sid)
        return channel.ring if channel else None

    @asynccontextmanager
    async def watch(self, session: Session) -> AsyncIterator[FragmentRing]:
        """The session's ring, fed while inside."""
        channel = self._channels.get(session.id)
        if channel is None:
            channel = self._channels[session.id] = _Channel(session)
            # A context of its own: Serve cancels the calls made in that of a viewer when this one leaves.
            channel.pump = asyncio.create_task(self._pump(channel), context=Context())
        if channel.closing:
            channel.closing.cancel()
            channel.closing = None
        channel.viewers += 1
        try:
            yield channel.ring
        finally:
            channel.viewers -= 1
            if not channel.viewers:
                channel.closing = asyncio.get_running_loop().call_later(self._keep_s, self._drop, channel)

    async def close(self) -> None:
        """Stop every upstream."""
        channels = list(self._channels.values())
        for channel in channels:
            self._drop(channel)
        await stop(channel.pump for channel in channels if channel.pump)

    def _drop(self, channel: _Channel) -> None:
        if channel.closing:
            channel.closing.cancel()
        if channel.pump:
            channel.pump.cancel()
        channel.ring.close()
        self._forget(channel)

    def _forget(self, channel: _Channel) -> None:
        """Who comes from now on gets another."""
        if self._channels.get(channel.session.id) is channel:
            del self._channels[channel.session.id]

    async def _pump(self, channel: _Channel) -> None:
        """Feed the ring until the session is over."""
        wait = self._retry_s
        with about(channel.session.id):
            try:
                while not channel.session.status.over:
                    before = channel.session
                    owner = _owner(before)
                    fed = await (self._feed(channel, owner) if owner else self._rest(channel))
                    if not await self._look(channel):
                        return
                    if fed or channel.session.fence != before.fence:
                        wait = self._retry_s
                    elif _owner(channel.session) == owner:  # it is not over, and there is nobody else to turn to
                        await asyncio.sleep(wait)
                        wait = min(2 * wait, self._most_retry_s)
            except Exception:
                log.exception("nothing feeds it any more; its viewers have to come again")
            finally:
                channel.ring.close()
                if not channel.session.status.over:
                    self._forget(channel)

    async def _look(self, channel: _Channel) -> bool:
        """Ask the store what the session is now; the last answer holds while it is away. False: it is forgotten."""
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                channel.session = await self._history.session(channel.session.id)
        except (RedisError, TimeoutError) as error:
            log.warning("watched as before: %s", error or "no answer of the store in time")
        except NoSuchSession:
            return False
        channel.looked = time.monotonic()  # behind the answer: a store that hangs holds up no second picture at once
        return True

    async def _rest(self, channel: _Channel) -> bool:
        """Nobody has the session: wait until something was said of it. False: the store is away."""
        if not _waits_for_viewers(channel.session):
            return await self._news(channel.session)
        if channel.viewers and await self._wanted(channel.session.id):
            return True
        with suppress(TimeoutError):
            async with asyncio.timeout(self._again_s):
                return await self._news(channel.session)
        return True

    async def _news(self, session: Session) -> bool:
        """Wait until something was said of the session. False: the store is away."""
        try:
            await anext(self._history.tail(session.id, session.last_event_id), None)
        except RedisError as error:
            log.warning("no news: %s", error)
            return False
        except NoSuchSession:
            pass
        return True

    async def _feed(self, channel: _Channel, owner: str) -> bool:
        """Pass on what comes in one call of the owner. False: nothing did."""
        passed = False
        log.info("upstream opened to %s", owner)
        try:
            async with aclosing(self._upstream(channel.session.id, owner)) as upstream:
                while fragments := await self._next(channel, owner, upstream):
                    for fragment in fragments:
                        passed |= _written(channel.session, fragment) and channel.ring.publish(fragment)
        except OwnerDied:
            log.warning("its owner %s has died", owner)
            newest = channel.ring.newest
            await self._lost(channel.session.id, owner, max(channel.session.fence, newest.fence if newest else 0))
        except ReplicaGone:
            log.warning("no way to its owner %s", owner)
        except Exception:
            log.exception("the upstream broke")
        return passed

    async def _next(self, channel: _Channel, owner: str, upstream: Fragments) -> tuple[Fragment, ...]:
        """What comes next; nothing when the call is over, or the owner is not the owner any more."""
        step = asyncio.ensure_future(_one(upstream))
        # An owner that is cut off from the store goes on, and does not know that somebody else owns the session.
        waited = time.monotonic() - channel.looked >= self._idle_s
        try:
            while not (await asyncio.wait({step}, timeout=self._patience(channel, owner)))[0]:
                if _owner(channel.session) != owner or not await self._look(channel):
                    return ()
                waited = True
            if waited:  # for long enough that somebody else may own the session by now
                await self._look(channel)
            return step.result()
        finally:
            if not step.done():
                step.cancel()
                await asyncio.gather(step, return_exceptions=True)

    def _patience(self, channel: _Channel, owner: str) -> float:
        return self._idle_s if _owner(channel.session) == owner else self._last_words_s


async def _one(upstream: Fragments) -> tuple[Fragment, ...]:
    try:
        return await anext(upstream)
    except StopAsyncIteration:
        return ()


def _owner(session: Session) -> str | None:
    """Who has the session's fragments now. It is not said of a paused session, whose last owner is only history."""
    return session.owner if session.status.owned else None


def _waits_for_viewers(session: Session) -> bool:
    return session.status is SessionState.paused and session.reason == "unwatched"


def _written(session: Session, fragment: Fragment) -> bool:
    """Whether a fragment is of the video: of an owner before the present one, only what that one wrote down is.

    What a replica makes that was stopped, and goes on without knowing that it lost the session, is not.
    """
    return fragment.fence >= session.fence or fragment.chunk < session.chunks
