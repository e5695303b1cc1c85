"""How a replica comes to own a session: it claims it, has its video begun or gone on with, or gives it back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from redis.exceptions import RedisError

from deployments.admission import Demand
from deployments.breaking import broke_over
from deployments.claimed import Cause, Claim, LeftOver, left_over, stream_of
from deployments.commands import CommandReader
from deployments.device_health import DeviceHealth, ModelBroke
from deployments.ending import Ending, history
from deployments.entries import AnyEntry, SessionBroke, SessionFailed
from deployments.owned import Owned
from deployments.parts import OnDevice, Parts
from deployments.placement import TakeOver
from deployments.restoring import Restored
from deployments.session import Session, SessionState
from deployments.store import Fenced, LeaseHeld, NoSuchSession, SessionOver
from deployments.timeline import KEEP_SECONDS
from deployments.turns import Turns

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass
class Taking:
    """A session on its way to a replica: it has a slot, and once it has a `fence`, a lease that is to be renewed.

    `wanted`: whoever asks, it waits for somebody to take it. `abandoned`: who asked for it to be taken has left.
    `owned`: it has come. `decided`: it has, or never will.
    """

    demand: Demand
    wanted: bool
    abandoned: bool = False
    fence: int | None = None
    owned: Owned | None = None
    decided: asyncio.Event = field(default_factory=asyncio.Event)


class Taker:
    """`name` is the replica's. `own` is given each session whose video is there; where it `refuses` by then, none is.

    `undo` gets one that nobody was told of, and nobody else waits for: it shall hold no slot. `changed` is told of each
    that is owned.
    """

    def __init__(
        self,
        name: str,
        parts: Parts,
        ending: Ending,
        health: DeviceHealth,
        commands: CommandReader,
        on_device: OnDevice,
        refuses: Callable[[], bool],
        own: Callable[[Session, Claim, Restored, LeftOver, Cause], Owned],
        undo: Callable[[Owned], None],
        changed: Callable[[], None],
    ) -> None:
        self._name = name
        self._parts = parts
        self._ending = ending
        self._health = health
        self._commands = commands
        self._on_device = on_device
        self._refuses = refuses
        self._own = own
        self._undo = undo
        self._changed = changed
        self._coming = Turns()
        self._taking: dict[str, Taking] = {}

    def __contains__(self, sid: str) -> bool:
        return sid in self._taking

    @property
    def demands(self) -> list[Demand]:
        """Of the sessions that are on their way."""
        return [taking.demand for taking in self._taking.values()]

    async def decided(self, sid: str) -> None:
        """Returns once a session is not on its way any more."""
        if (taking := self._taking.get(sid)) is not None:
            await taking.decided.wait()

    async def take(self, sid: str, demand: Demand, take_over: TakeOver | None, *, wanted: bool) -> Session | None:
        """The session, once it is owned. None: it cannot go on here, or nobody wants it any more; it stays as it was.

        It is on its way from the first moment on. `wanted`: even where who asks leaves. Raises LeaseHeld, SessionOver,
        and what the stores and the text encoder do: then, too, it stays as it was.
        """
        taking = self._taking[sid] = Taking(demand, wanted)
        work = asyncio.create_task(self._begin(sid, taking, take_over))
        try:
            # Who asked may leave at any moment. What was begun is finished, and then undone, in good order.
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            taking.abandoned = True
            work.add_done_callback(lambda _: self._abandon(taking))
            raise

    def renewals(self) -> list[Coroutine[Any, Any, RedisError | None]]:
        """To be awaited: each renews the lease of one that is on its way, and gives what kept it from that."""
        return [self._renew(sid, taking) for sid, taking in self._taking.items()]

    async def _begin(self, sid: str, taking: Taking, take_over: TakeOver | None) -> Session | None:
        try:
            owned = await self._take(sid, taking, take_over)
        finally:
            del self._taking[sid]
            taking.decided.set()
        if owned is None:
            return None
        await owned.recorder.settle()
        await self._commands.read(owned)  # what was asked while it was on its way here
        return await self._parts.timeline.session(sid)

    async def _take(self, sid: str, taking: Taking, take_over: TakeOver | None) -> Owned | None:
        parts, over = self._parts, take_over or TakeOver("", "lost")
        taking.fence = fence = await parts.leases.claim(sid, self._name, dead_owner=over.owner, seen=over.fence)
        claim = Claim(self._name, fence)
        try:
            session = await parts.timeline.session(sid)
            if take_over and not session.status.owned:  # it has paused a moment ago: it misses no owner
                await self._give_back(sid, taking, over)
                raise LeaseHeld(sid, take_over.owner)
            entries = await history(parts.timeline, sid)
            left = await left_over(parts, session, fence)
            restored = await stream_of(parts, session, entries, claim, partial(self._in_turn, left.due(session.fps)))
        except (LeaseHeld, SessionOver):
            raise
        except ModelBroke:
            log.exception("the model broke")
            self._health.broke(sid)
            try:
                await self._state_broke(session, entries, claim)
            finally:
                await self._give_back(sid, taking, over)
            return None
        except BaseException:
            await self._give_back(sid, taking, over)
            raise
        if self._refuses() or (taking.abandoned and not taking.wanted):
            await self._give_back(sid, taking, over)
            return None
        owned = taking.owned = self._own(session, claim, restored, left, over.cause)
        taking.decided.set()
        self._commands.catch_up(owned, entries)
        self._changed()  # last: its first chunk follows what was asked before
        log.info("session taken: %s", session.prompt)
        return owned

    async def _state_broke(self, session: Session, entries: Sequence[AnyEntry], claim: Claim) -> None:
        """The model broke before the session was owned. Raises SessionOver where it has done so before."""
        before = [entry.chunk for entry in entries if isinstance(entry, SessionBroke)]
        broke = broke_over(session.chunks, session.fps, before[-1] if before else None)
        await self._parts.timeline.append_fact(session.id, claim.fence, broke, owner=claim.owner)
        if isinstance(broke, SessionFailed):
            raise SessionOver(session.id, SessionState.failed)

    async def _give_back(self, sid: str, taking: Taking, over: TakeOver) -> None:
        fence, taking.fence = taking.fence, None  # from now on nobody renews it
        if fence is not None:
            await self._parts.leases.release(sid, fence, KEEP_SECONDS, dead_owner=over.owner)
        await self._ending.if_asked(sid)

    def _abandon(self, taking: Taking) -> None:
        if taking.owned is not None and not taking.wanted:
            self._undo(taking.owned)

    async def _renew(self, sid: str, taking: Taking) -> RedisError | None:
        if taking.fence is not None:
            try:
                await self._parts.leases.renew(sid, self._name, taking.fence)
            except (Fenced, SessionOver, NoSuchSession):
                pass  # it hears of it when it states that it has the session
            except RedisError as error:
                return error
        return None

    async def _in_turn(self, due: float, work: Callable[[], T]) -> T:
        """For sessions that come, many at once where another replica has died: those first that have run dry, and
        whoever is here goes on in between."""
        async with self._coming.turn(due):
            return await self._on_device(work)
