"""How a video goes back: between two chunks, its owner has it go on as it was earlier."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from deployments.context import Context
from deployments.ending import history
from deployments.entries import RewindRefused, RewindRequested, SessionRewound
from deployments.logs import about
from deployments.owned import Owned
from deployments.parts import OnDevice, Parts, Stream
from deployments.restoring import begin
from deployments.session import chunk_first_frame, chunk_holding
from deployments.steps import context_before, seed_of, steps_of
from longlive.snapshot import Snapshot

REWIND_SECONDS = 10.0
log = logging.getLogger(__name__)


class Refused(Exception):
    """Its text is for people."""


@dataclass(frozen=True)
class Earlier:
    """The video as it was before `chunk`, and what it showed. `present` is what it is now."""

    chunk: int
    stream: Stream
    snapshot: Snapshot
    shows: Context
    present: Snapshot


class Rewinder:
    """`read_ahead` has the prompts of a session worded and encoded for what it shows now. `changed` is told of one that
    was to go back and goes on.
    """

    def __init__(
        self,
        parts: Parts,
        on_device: OnDevice,
        read_ahead: Callable[[Owned], None],
        changed: Callable[[], None],
    ) -> None:
        self._parts = parts
        self._on_device = on_device
        self._read_ahead = read_ahead
        self._changed = changed
        self._working: set[asyncio.Task[None]] = set()

    def rewind(self, owned: Owned) -> None:
        """Returns at once. The session has nothing on the device, or unpublished, and nothing is begun for it until it
        has been answered."""
        if owned.rewinding:
            return
        owned.rewinding = True
        task = asyncio.create_task(self._answer(owned, owned.rewinds[0]))
        self._working.add(task)
        task.add_done_callback(self._working.discard)

    async def _answer(self, owned: Owned, asked: RewindRequested) -> None:
        reason = ""
        with about(owned.sid):
            try:
                async with asyncio.timeout(REWIND_SECONDS):
                    earlier = await self._fetch(owned, asked)
                await self._go_back(owned, earlier)
            except Refused as refused:
                reason = str(refused)
            except Exception:
                log.exception("not rewound")
                reason = "What the video was could not be fetched in time. Send the request again."
            if reason and not owned.over:
                owned.recorder.state(RewindRefused(to_frame=asked.to_frame, reason=f"{reason} The video goes on."))
        owned.rewinds.popleft()
        owned.rewinding = False
        self._changed()

    async def _fetch(self, owned: Owned, asked: RewindRequested) -> Earlier:
        """Raises Refused, and what the stores and the text encoder do: the video is as it was."""
        wanted = chunk_holding(asked.to_frame)
        if wanted >= owned.next_chunk:
            raise Refused(f"The video has no frame {asked.to_frame}.")
        await owned.recorder.settle()  # or the newest prompt might not be known
        steps = steps_of(await history(self._parts.timeline, owned.sid))
        seed = seed_of(steps)
        if wanted == 0:
            chunk = 0
            stream = await begin(self._parts, self._on_device, steps[0].text, seed, again=True)
            snapshot = await self._on_device(stream.snapshot)
        else:
            found = await self._parts.history.newest(owned.sid, wanted)
            if found is None:
                raise Refused("What the video was so long ago is not kept any more.")
            chunk, snapshot = found.chunk, found.snapshot.fork(seed)
            stream = await self._on_device(partial(self._parts.restore_stream, snapshot))
        present = await self._on_device(owned.stream.snapshot)
        return Earlier(chunk, stream, snapshot, context_before(steps, chunk), present)

    async def _go_back(self, owned: Owned, earlier: Earlier) -> None:
        """Raises Refused: the video is as it was."""
        chunk = owned.next_chunk
        # Before anybody hears of it: whoever takes the session over goes on from here too, or does all this again.
        self._store(owned, earlier.snapshot)
        if not await owned.keeper.stored(chunk):
            self._store(owned, earlier.present)  # in case the other one is, later
            raise Refused("It could not go on elsewhere from there: what it was cannot be stored. Try again later.")
        if owned.over:
            return
        # What has happened is stated at once: nobody shall hear that it was refused.
        owned.go_on_with(earlier.stream)
        owned.plan.go_on_from(earlier.shows)
        self._read_ahead(owned)
        frame = chunk_first_frame(chunk)
        log.info("rewound before frame %d to before chunk %d", frame, earlier.chunk)
        owned.recorder.state(
            SessionRewound(
                chunk=chunk,
                frame=frame,
                media_seconds=frame / owned.video.fps,
                restored_chunk=earlier.chunk,
                prompt=earlier.shows.scene,
                changes=earlier.shows.changes,
            )
        )

    def _store(self, owned: Owned, snapshot: Snapshot) -> None:
        chunk = owned.next_chunk
        owned.keeper.add(chunk, lambda: owned.writer.add(chunk, snapshot))
