"""A new session: what it shall be, written down, and taken by a generator or sent to wait."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import chain

from redis.exceptions import RedisError

from deployments.api import steer
from deployments.api.models import CreatedSession, CreateSession, SessionView
from deployments.api.prompt_times import after_the_end, frame_of, in_order
from deployments.api.refusals import Unsuitable
from deployments.api.services import Services
from deployments.api.wanted import allowed, prompts_of
from deployments.api.warn import warnings_of
from deployments.calls import PartDown
from deployments.entries import Pace, PromptRequested, SessionCreated
from deployments.logs import about
from deployments.model_view import ModelView
from deployments.pool import PoolFull
from deployments.session import Session, SessionState
from deployments.snapshot_shelves import SnapshotsAway
from deployments.store import NoSuchSession, SessionOver

SEEDS = 2**31
WAITING_RETRY_SECONDS = 10

log = logging.getLogger(__name__)


async def create_session(services: Services, ask: CreateSession) -> CreatedSession:
    """Raises Unsuitable, PromptUnwanted, PoolFull, PartDown, TimeoutError, redis.RedisError."""
    view = await services.model()
    fps = _suitable_fps(ask, view)
    prompt = await allowed(services, ask.prompt)
    told = await warnings_of(services, [prompt])
    created = SessionCreated(
        prompt=prompt,
        seed=secrets.randbelow(SEEDS) if ask.seed is None else ask.seed,
        model=view.name,
        width=ask.size.width if ask.size else view.width,
        height=ask.size.height if ask.size else view.height,
        fps=fps,
        pace=ask.pace,
        max_seconds=ask.max_seconds,
        record=ask.pace == "offline" if ask.record is None else ask.record,
        labels=ask.labels,
        metadata=ask.metadata,
        warnings=told[prompt],
    )
    script = await prompts_of(services, in_order(ask.script, fps), fps)
    return await start(services, created, list(chain(*script)), queue=ask.queue)


async def start(
    services: Services,
    created: SessionCreated,
    script: Sequence[PromptRequested],
    *,
    queue: bool,
    prepare: Callable[[str], Awaitable[None]] | None = None,
) -> CreatedSession:
    """Begin it, or have it wait. `prepare` is awaited, with its id, before there is anything else of it.

    Raises PoolFull, PartDown, TimeoutError, redis.RedisError, and what `prepare` does.
    """
    try:
        session = await _start(services, created, script, queue, prepare)
    except PartDown:  # died over it: there may be another generator, and the dead one's session is not ours
        session = await _start(services, created, script, queue, prepare)
    except SessionOver as error:  # the model broke over it on every generator that tried
        raise PartDown("generator") from error
    token = await services.steering.token(session.id)
    return CreatedSession(**SessionView.of(session).model_dump(), control_token=token, warnings=created.warnings)


def _suitable_fps(ask: CreateSession, view: ModelView) -> int:
    """Frames a second of the session. Raises Unsuitable, with everything that is not offered."""
    faults = []
    fps = view.fps if ask.fps is None else ask.fps
    if not view.slowest_fps <= fps <= view.fps:
        faults.append(("body.fps", f"the model offers {view.slowest_fps} to {view.fps} frames a second"))
    sizes = view.sizes or ((view.width, view.height),)
    if ask.size is not None and (ask.size.width, ask.size.height) not in sizes:
        offered = ", ".join(f"{width}x{height}" for width, height in sizes)
        faults.append(("body.size", f"the model offers {offered}"))
    for number, prompt in enumerate(ask.script):
        if after_the_end(frame_of(prompt, fps) or 0, fps, ask.max_seconds):
            faults.append((f"body.script.{number}.at", f"the video ends at {ask.max_seconds:g} s, before that"))
    if faults:
        raise Unsuitable(tuple(faults))
    return fps


async def _start(
    services: Services,
    created: SessionCreated,
    script: Sequence[PromptRequested],
    queue: bool,
    prepare: Callable[[str], Awaitable[None]] | None,
) -> Session:
    sid = secrets.token_hex(10)
    with about(sid):
        others_wait = await services.waiting.anyone_waiting(created.pace)
        if others_wait and not queue:
            raise PoolFull(WAITING_RETRY_SECONDS)
        try:
            if prepare is not None:
                await prepare(sid)
            await services.timeline.create(sid, created, script)
            if not others_wait:
                with suppress(*([PoolFull] if queue else [])):
                    return await services.generators.take(sid)
            # Kept first: once it waits, somebody may take it, and what is taken is kept as long as it is held.
            await services.timeline.keep(sid)
            await services.waiting.enter(sid, created.pace)
            return await services.timeline.session(sid)
        except BaseException:
            if await _forget(services, sid, created.pace) and prepare is not None:
                with suppress(SnapshotsAway):  # it is forgotten after a day
                    await services.history.forget(sid)
            raise


async def _forget(services: Services, sid: str, pace: Pace) -> bool:
    """Nobody was told of it: it never was, or if a generator has begun it all the same (False), it ends."""
    try:
        await services.waiting.leave(sid, pace)
        session = await services.timeline.session(sid)
        if session.status is not SessionState.queued:
            await steer.end(services, session)
            return False
        await services.timeline.forget(sid)
    except NoSuchSession:
        pass
    except RedisError as error:
        log.warning("not forgotten yet: %s", error)  # it expires by itself
        return False
    return True
