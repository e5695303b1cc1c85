"""The owner of sessions: makes their chunks in time on one device, and gives them back when they pause or end."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from deployments import admission
from deployments.admission import Capacity, Demand
from deployments.breaking import broke_over
from deployments.claimed import Cause, Claim, LeftOver
from deployments.commands import CommandReader
from deployments.device_health import DeviceHealth, ModelBroke
from deployments.ending import Ending
from deployments.entries import SessionEnded, SessionFailed
from deployments.fragments import Fragment
from deployments.holding import Holder
from deployments.leases import RENEW_SECONDS
from deployments.leaving import Leaver
from deployments.logs import about
from deployments.moving import Mover
from deployments.owned import Owned
from deployments.owning import own
from deployments.parts import Limits, Parts, Times
from deployments.placement import Refusal, TakeOver
from deployments.publishing import Publisher
from deployments.recorder import Recorder
from deployments.restoring import Restored
from deployments.rewinding import Rewinder
from deployments.scheduler import Estimate, Start, Wait, decide
from deployments.session import Session, chunk_frames
from deployments.store import LeaseHeld, SessionOver
from deployments.taking import Taker
from longlive.errors import InputError, SnapshotError

CLOSE_SECONDS = 3.5
FIRST_DELIVERY_SECONDS = 0.05
T = TypeVar("T")
log = logging.getLogger(__name__)


class Generator:
    """One replica: one device, one thread that drives it; the event loop never waits for it.

    `name` is the replica's id. `fps` is the model's frame rate; `chunk_seconds` the measured time of a chunk.
    """

    def __init__(self, name: str, fps: int, parts: Parts, limits: Limits, chunk_seconds: float) -> None:
        self._name = name
        self._fps = fps
        self._parts = parts
        self._limits = limits
        # A switch computes the window anew, without the steps of sampling: a chunk's time is a safe first guess.
        self._times = Times(
            chunk=Estimate(chunk_seconds),
            usual=Estimate(chunk_seconds, weight=0.02),
            switch=Estimate(chunk_seconds),
            delivery=Estimate(FIRST_DELIVERY_SECONDS),
        )
        self._owned: dict[str, Owned] = {}
        self._closed = False
        self._drain = asyncio.Event()
        self._wake = asyncio.Event()
        self._device = ThreadPoolExecutor(1, "device")
        self._health = DeviceHealth()
        wake = self._wake.set
        ending = Ending(parts.timeline, parts.leases, name)
        self._mover = Mover(parts, self._drop, wake)
        self._leaver = Leaver(parts, ending, self._mover, self._on_device, self._drop, wake)
        self._end = self._leaver.end
        self._holder = Holder(name, parts, self._owned, self._drop)
        self._publisher = Publisher(parts, self._times, self._end, wake)
        self._commands = CommandReader(
            name, parts.timeline, parts.word, parts.encode_text, self._owned, self._end, wake
        )
        self._rewinder = Rewinder(parts, self._on_device, self._commands.read_ahead, wake)
        self._taker = Taker(
            name,
            parts,
            ending,
            self._health,
            self._commands,
            self._on_device,
            self._refuses,
            self._own,
            self._undo,
            wake,
        )

    @property
    def sessions(self) -> int:
        """Slots taken."""
        return len(self._demands())

    @property
    def free(self) -> float:
        """The room for one more session, as `admission.free` says it: below 0 there is none."""
        return -1.0 if self._refuses() else admission.free(self._capacity(), self._demands())

    @property
    def more(self) -> int:
        """How many further sessions it would take now."""
        return 0 if self._refuses() else admission.more(self._capacity(), self._demands())

    @property
    def draining(self) -> bool:
        """Whether it takes no more, and hands over what it has."""
        return self._drain.is_set()

    def drain(self) -> None:
        """Take no more, and have others take what there is: until `sessions` is 0, or `undrain`. Repeatable."""
        self._drain.set()

    def undrain(self) -> None:
        self._drain.clear()

    def _refuses(self) -> bool:
        return self._closed or self.draining or self._health.broken

    def check_health(self) -> None:
        """Raises ModelBroke where no session can go on here: others have them, and it is to be replaced."""
        self._health.check()

    async def run(self) -> None:
        """Serve the sessions until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                moving = self._mover.run(self._drain, self._owned)
                for loop in (self._render_all(), self._commands.run(), self._keep_all(), moving):
                    tasks.create_task(loop)
        finally:
            self._device.shutdown(wait=False, cancel_futures=True)

    async def take(self, sid: str, take_over: TakeOver | None = None) -> Session | Refusal:
        """Become the owner of a session that waits or is paused, and begin it or go on; or say when to ask again.

        `take_over`: of one whose owner is gone or gives it up, and of no other.
        Raises NoSuchSession, SessionOver, LeaseHeld (it is in good hands), and what the stores and the text encoder do:
        then it stays as it was.
        """
        with about(sid):
            if (owned := self._owned.get(sid)) is not None and owned.over:
                await owned.left.wait()
            session = await self._parts.timeline.session(sid)
            if session.status.over:
                raise SessionOver(sid, session.status)
            if sid in self._owned or sid in self._taker or session.status.owned != (take_over is not None):
                raise LeaseHeld(sid, session.owner or self._name)
            self._health.offered(sid)
            demand = Demand(session.fps, live=session.pace == "live")
            capacity = self._capacity(for_others=take_over is not None)
            if self._refuses() or not admission.admits(capacity, self._demands(), demand):
                return self._refusal()
            wanted = take_over is not None or session.queue_position is not None
            return await self._taker.take(sid, demand, take_over, wanted=wanted) or self._refusal()

    def offer(self, demand: Demand) -> Refusal | None:
        """Whether a session of another generator would be taken over now."""
        if self._refuses() or not admission.admits(self._capacity(for_others=True), self._demands(), demand):
            return self._refusal()
        return None

    async def watch(self, sid: str) -> AsyncGenerator[tuple[Fragment, ...], None]:
        """All kept fragments at once, then those that come, until the owner drops it or `watch_seconds` have passed.

        The session's clock runs while somebody is in here.
        """
        await self._taker.decided(sid)
        owned = self._owned.get(sid)
        if owned is None:
            return
        owned.playout.enter(self._parts.clock())
        self._wake.set()
        try:
            until = asyncio.get_running_loop().time() + self._limits.watch_seconds
            chunk = -1
            while True:
                try:
                    # Serve sends a replica that it stops no new calls: the one that is open shall last.
                    async with asyncio.timeout_at(None if self.draining else until):
                        if not await owned.ring.reach(chunk + 1):
                            return
                except TimeoutError:
                    if self.draining:
                        continue
                    return
                fresh = owned.ring.after(chunk)
                chunk = fresh[-1].chunk
                yield fresh
        finally:
            owned.playout.leave(self._parts.clock())
            self._wake.set()

    async def close(self) -> None:
        """Pause every session and take no more, because the service stops. One that nobody saw anything of ends."""
        self._closed = True
        for owned in self._all():
            if owned.starting:
                self._end(owned, SessionEnded(reason="stopped"))
            else:
                owned.pausing = owned.pausing or "stopped"
        self._wake.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                for owned in self._all():
                    await owned.left.wait()
        for owned in self._all():  # not put by in time: the next service that has its timeline goes on with it
            self._drop(owned)

    def _all(self) -> list[Owned]:
        return list(self._owned.values())

    def _demands(self) -> list[Demand]:
        return [owned.demand for owned in self._all()] + self._taker.demands

    def _capacity(self, *, for_others: bool = False) -> Capacity:
        """What is kept free for what varies is there for a session of another generator, that nobody else may have."""
        limits = self._limits
        capacity = Capacity(
            self._times.usual.seconds,
            fps=self._fps,
            frames=chunk_frames(1),
            slots=limits.slots,
            memory_slots=limits.memory_slots,
            offline_slots=limits.offline_slots,
        )
        return replace(capacity, load=1.0) if for_others else capacity

    def _refusal(self) -> Refusal:
        now = self._parts.clock()
        left = (owned.seconds_left(now, self._limits) for owned in self._owned.values())
        return Refusal(self._name, admission.retry_after_seconds(left))

    def _own(self, session: Session, claim: Claim, restored: Restored, left: LeftOver, cause: Cause) -> Owned:
        owned = own(self._parts, session, claim, restored, left, cause, self._holder.hold, self._unkept)
        self._owned[session.id] = owned
        return owned

    def _undo(self, owned: Owned) -> None:
        """Have it as it was before it was taken, or over where it was nothing before."""
        if owned.resumed:
            owned.pausing = "requested"
            self._wake.set()
        else:
            self._end(owned, SessionEnded(reason="abandoned"))

    async def _render_all(self) -> None:
        while True:
            self._wake.clear()
            self._stand_still()
            now = self._parts.clock()
            jobs = [job for owned in self._owned.values() if (job := owned.job(now, self._times))]
            match decide(jobs, now, spare=self._times.switch.seconds):
                case Start(sid):
                    with about(sid):
                        await self._render(self._owned[sid])
                case Wait(until):
                    with suppress(TimeoutError):
                        # Not wait_for: on Python 3.11 that one loses a cancellation that comes with the wake.
                        async with asyncio.timeout(None if until == math.inf else until - now):
                            await self._wake.wait()

    def _stand_still(self) -> None:
        """What there is to do for sessions whose next chunk is not wanted, once all before it are out."""
        for owned in self._all():
            if owned.over or owned.unpublished:
                continue
            if owned.rewinds and not (owned.leaving or owned.broken or owned.still.is_set()):
                self._rewinder.rewind(owned)
                continue
            if owned.moving:
                owned.still.set()
                continue
            if not owned.stands:
                continue
            if owned.broken:
                self._leaver.give_up(owned)
            elif owned.at_end:
                self._end(owned, SessionFailed(reason=owned.at_end))
            elif owned.finished:
                self._end(owned, SessionEnded(reason="finished"))
            else:
                self._leaver.pause(owned)

    async def _render(self, owned: Owned) -> None:
        chunk = owned.next_chunk
        prompt, facts = owned.plan.begin(chunk)
        for fact in facts:
            owned.recorder.state(fact)
        owned.next_chunk += 1
        self._commands.read_ahead(owned)
        try:
            made = await self._on_device(lambda: owned.make_chunk(prompt, self._parts.clock))
        except InputError as error:  # the video is at the end of what its model can do, and the device is well
            owned.at_end = f"The video cannot go on: {error}."
            self._wake.set()
            return
        except (ModelBroke, SnapshotError) as error:
            log.exception("the model broke")
            if isinstance(error, ModelBroke):
                self._health.broke(owned.sid)
            self._give_up(owned, chunk)
            return
        self._health.worked()
        owned.served = self._parts.clock()
        for estimate in (self._times.chunk, self._times.usual):
            estimate.observe(made.seconds - made.switch_seconds)
        if prompt is not None:
            self._times.switch.observe(made.switch_seconds)
        if not owned.over:
            self._publisher.publish(owned, made)

    def _give_up(self, owned: Owned, chunk: int) -> None:
        broke = broke_over(chunk, owned.video.fps, owned.broke_before)
        if isinstance(broke, SessionFailed):
            self._end(owned, broke)
        elif not owned.over:
            owned.recorder.state(broke)
            owned.broken = True
            self._wake.set()

    async def _keep_all(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            self._pause_unwatched()
            owned = [self._holder.renew(owned) for owned in self._all() if not owned.paused]
            errors = await asyncio.gather(*self._taker.renewals(), *owned)
            if failed := [error for error in errors if error]:
                log.warning("%d leases not renewed: %s", len(failed), failed[0])

    def _pause_unwatched(self) -> None:
        now = self._parts.clock()
        for owned in self._all():
            if owned.seconds_left(now, self._limits) <= 0:
                owned.pausing = owned.pausing or "unwatched"
                self._wake.set()

    def _unkept(self, sid: str, asks: Recorder, reason: str) -> None:
        """A render is made to be kept. Where it cannot be, it is not made."""
        if (owned := self._owned.get(sid)) is not None and owned.recorder is asks:
            owned.unkept = reason
            self._end(owned, SessionFailed(reason=reason))

    def _drop(self, owned: Owned) -> None:
        owned.over = True
        if self._owned.get(owned.sid) is owned:
            del self._owned[owned.sid]
        owned.ring.close()
        owned.left.set()
        self._wake.set()

    async def _on_device(self, work: Callable[[], T]) -> T:
        """Raises SnapshotError, InputError, and for all else ModelBroke."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._device, work)
        except (SnapshotError, InputError):
            raise
        except Exception as error:
            raise ModelBroke from error
