"""How a video goes back: between two chunks, its owner has it go on as it was earlier."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from deployments.ending import history
from deployments.entries import RewindRefused, RewindRequested, SessionRewound
from deployments.logs import about
from deployments.owned import Owned
from deployments.parts import OnDevice, Parts
from deployments.restoring import begin
from deployments.session import chunk_first_frame, chunk_holding
from deployments.steps import prompt_before, seed_of, steps_of

REWIND_SECONDS = 10.0
log = logging.getLogger(__name__)


class Refused(Exception):
    """Its text is for people."""


class Rewinder:
    """`changed` is told of a session that was to go back and goes on."""

    def __init__(self, parts: Parts, on_device: OnDevice, changed: Callable[[], None]) -> None:
        self._parts = parts
        self._on_device = on_device
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
                    await self._rewind(owned, asked)
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

    async def _rewind(self, owned: Owned, asked: RewindRequested) -> None:
        """Raises Refused, and what the stores and the text encoder do: then the video is as it was."""
        chunk, wanted = owned.next_chunk, chunk_holding(asked.to_frame)
        if wanted >= chunk:
            raise Refused(f"The video has no frame {asked.to_frame}.")
        await owned.recorder.settle()  # or the newest prompt might not be known
        steps = steps_of(await history(self._parts.timeline, owned.sid))
        seed = seed_of(steps)
        if wanted == 0:
            restored_chunk = 0
            stream = await begin(self._parts, self._on_device, steps[0].text, seed, again=True)
            snapshot = await self._on_device(stream.snapshot)
        else:
            found = await self._parts.history.newest(owned.sid, wanted)
            if found is None:
                raise Refused("What the video was so long ago is not kept any more.")
            restored_chunk, snapshot = found.chunk, found.snapshot.fork(seed)
            stream = await self._on_device(partial(self._parts.restore_stream, snapshot))
        if owned.over:
            return
        owned.go_on_with(stream)
        # Before anybody hears of it: whoever takes the session over goes on from here too, or does all this again.
        owned.keeper.add(chunk, lambda: owned.writer.add(chunk, snapshot))
        await owned.keeper.stored(chunk)
        frame, prompt = chunk_first_frame(chunk), prompt_before(steps, restored_chunk)
        log.info("rewound before frame %d to before chunk %d", frame, restored_chunk)
        owned.recorder.state(
            SessionRewound(
                chunk=chunk,
                frame=frame,
                media_seconds=frame / owned.video.fps,
                restored_chunk=restored_chunk,
                prompt=prompt,
            )
        )
