"""Sessions that are made of another one: a fork goes on from what it was, a render makes it once more."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from deployments.api.create import start
from deployments.api.models import AddPrompt, CreatedSession, ForkSession, RenderSession
from deployments.api.past import chunk_to_go_on_from, frame_at
from deployments.api.prompt_times import new_prompt_id
from deployments.api.refusals import Forgotten, NothingMade, OtherModel
from deployments.api.services import Services
from deployments.api.wanted import prompts_of
from deployments.ending import history
from deployments.entries import Parent, PromptRequested, PromptStep, SessionCreated, Step
from deployments.logs import about
from deployments.media_store import NoSuchMedia
from deployments.session import Session, chunk_first_frame
from deployments.snapshot_history import NoSuchSnapshot
from deployments.snapshots import Snapshots, chunk_of
from deployments.steps import context_before, seed_of, steps_before, steps_of


async def fork(services: Services, sid: str, ask: ForkSession) -> CreatedSession:
    """Raises NoSuchSession, OtherModel, InTheFuture, Forgotten, SnapshotsAway, StoreUnavailable, and like `start`."""
    with about(sid):
        session = await _of_our_model(services, sid)
        frame = None if ask.at == "now" else frame_at(ask.at, session.fps)
        chunk = await chunk_to_go_on_from(services.history, session, frame, put_by=True)
        steps = steps_of(await history(services.timeline, sid))
        past = steps_before(steps, chunk)
        script = await _new_prompt(services, ask, session.fps)
        shows = context_before(steps, chunk)
        created = SessionCreated(
            prompt=shows.scene,
            changes=shows.changes,
            seed=seed_of(past) if ask.seed is None else ask.seed,
            record=ask.record,
            labels=ask.labels,
            metadata=ask.metadata,
            parent=Parent(session=sid, frame=chunk_first_frame(chunk), relation="fork"),
            warnings=script[0].warnings if script else (),
            past=past if chunk else (),
            **_same(session),
        )
        prepare = partial(_copy, services, session, chunk) if chunk else None
        return await start(services, created, script, queue=ask.queue, prepare=prepare)


async def render(services: Services, sid: str, ask: RenderSession) -> CreatedSession:
    """Raises NoSuchSession, OtherModel, NothingMade, and what `start` does."""
    with about(sid):
        session = await _of_our_model(services, sid)
        if not session.frames:
            raise NothingMade(sid)
        created, script = render_of(session, steps_of(await history(services.timeline, sid)), ask)
        return await start(services, created, script, queue=ask.queue)


def render_of(
    session: Session, steps: Sequence[Step], ask: RenderSession
) -> tuple[SessionCreated, list[PromptRequested]]:
    """A session that repeats one which has frames, and was made by these steps; and the prompts to begin it with."""
    seconds = min(session.media_seconds, ask.max_seconds or session.media_seconds)
    past = tuple(step for step in steps if chunk_first_frame(step.chunk) < seconds * session.fps)
    created = SessionCreated(
        prompt=past[0].text,
        seed=seed_of(past[:1]),
        pace="offline",
        max_seconds=seconds,
        record=True,
        labels=ask.labels,
        metadata=ask.metadata,
        parent=Parent(session=session.id, frame=session.frames, relation="render"),
        past=past,
        **_same(session),
    )
    return created, [_asked_again(step) for step in past if isinstance(step, PromptStep)]


async def _of_our_model(services: Services, sid: str) -> Session:
    session = await services.timeline.session(sid)
    if (has := (await services.model()).name) != session.model:
        raise OtherModel(session.model, has)
    return session


async def _copy(services: Services, session: Session, chunk: int, to_sid: str) -> None:
    """Have a new session go on from what this one was before `chunk`. Raises Forgotten: it was there a moment ago."""
    try:
        await services.history.copy(session.id, chunk, to_sid)
    except NoSuchSnapshot:
        if not session.snapshot or chunk_of(session.snapshot) != chunk:
            raise Forgotten(None) from None
        try:
            data = await Snapshots(services.media).load(session.snapshot)
        except NoSuchMedia:
            raise Forgotten(None) from None
        await services.history.put(to_sid, chunk, data)


def _same(session: Session) -> dict[str, Any]:
    return session.model_dump(include={"model", "width", "height", "fps"})


async def _new_prompt(services: Services, ask: ForkSession, fps: int) -> list[PromptRequested]:
    if ask.prompt is None:
        return []
    [prompts] = await prompts_of(services, [AddPrompt(**ask.prompt.model_dump())], fps)
    return prompts


def _asked_again(step: PromptStep) -> PromptRequested:
    return PromptRequested(
        prompt_id=new_prompt_id(),
        text=step.text,
        at_frame=chunk_first_frame(step.chunk),
        mode=step.mode,
        blend_seconds=step.blend_seconds,
    )
