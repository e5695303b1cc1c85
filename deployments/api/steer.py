"""What a session's creator may ask of it, for the routes and the WebSocket alike."""

from __future__ import annotations

import logging

from redis.exceptions import RedisError

from deployments.api.models import AddPrompt, PromptAccepted, RewindSession
from deployments.api.past import chunk_to_go_on_from, frame_at
from deployments.api.prompt_times import earliest_frame, frame_of
from deployments.api.refusals import NoSuchPrompt, NotLive, NotRewindable, Pausing, PromptDone, TooManyPrompts
from deployments.api.services import Services
from deployments.api.wanted import prompts_of
from deployments.ending import history
from deployments.entries import (
    EndRequested,
    PauseRequested,
    PromptCancelRequested,
    RewindRequested,
    SessionEnded,
)
from deployments.logs import about
from deployments.receipts import PromptStatus, Receipt, receipts
from deployments.session import Session, SessionState
from deployments.store import SessionOver
from deployments.timeline import parse_cursor

MAX_WAITING_PROMPTS = 100
log = logging.getLogger(__name__)


async def authorized(services: Services, sid: str, token: str | None) -> Session:
    """The session, for who may steer it. Raises NoSuchSession, TokenMissing, TokenWrong, in this order."""
    session = await services.timeline.session(sid)
    await services.steering.check(sid, token)
    return session


async def add_prompt(services: Services, session: Session, ask: AddPrompt) -> PromptAccepted:
    """The first of the prompts that are made of it, which names the others.

    Raises SessionOver, InThePast, AfterTheEnd, TooManyPrompts.
    """
    sid = session.id
    with about(sid):
        _not_over(session)
        [prompts] = await prompts_of(services, [ask], session.fps)
        # Read before the prompt is written: it cannot take effect earlier, and what is written must be answered.
        session = await services.timeline.session(sid)
        if session.waiting_prompts + len(prompts) > MAX_WAITING_PROMPTS:
            raise TooManyPrompts(sid, MAX_WAITING_PROMPTS)
        earliest = earliest_frame(session, frame_of(ask, session.fps))
        ids = await services.timeline.append_commands(sid, prompts)
        await _ring(services, session)
    first, *others = prompts
    [receipt] = receipts([first.model_copy(update={"id": ids[0], "at": parse_cursor(ids[0])[0]})])
    then = tuple(prompt.prompt_id for prompt in others)
    return PromptAccepted(**receipt.model_dump(), earliest_frame=earliest, then=then)


async def find_prompts(services: Services, sid: str) -> list[Receipt]:
    """Raises NoSuchSession."""
    return receipts(await history(services.timeline, sid))


async def find_prompt(services: Services, sid: str, prompt_id: str) -> Receipt:
    """Raises NoSuchSession, NoSuchPrompt."""
    for receipt in await find_prompts(services, sid):
        if receipt.prompt_id == prompt_id:
            return receipt
    raise NoSuchPrompt(sid, prompt_id)


async def cancel_prompt(services: Services, session: Session, prompt_id: str) -> Receipt:
    """Ask for a prompt not to be applied; gives its receipt. Raises NoSuchPrompt, PromptDone."""
    with about(session.id):
        receipt = await find_prompt(services, session.id, prompt_id)
        if receipt.status is PromptStatus.cancelled:
            return receipt
        if not receipt.status.pending:
            raise PromptDone(receipt)
        await services.timeline.append_command(session.id, PromptCancelRequested(prompt_id=prompt_id))
        await _ring(services, session)
    return receipt


async def pause(services: Services, session: Session) -> Session:
    """Have the video stand still from its next chunk on; gives the session as it is. Raises SessionOver, NotLive."""
    with about(session.id):
        _not_over(session)
        if session.status is SessionState.paused:
            return session
        if session.status is not SessionState.live:
            raise NotLive(session.id, session.status)
        await services.timeline.append_command(session.id, PauseRequested())
        await _ring(services, session)
    return session


async def resume(services: Services, session: Session) -> Session:
    """Have a paused video go on; one that was not paused goes on anyway.

    Raises SessionOver, Pausing, PoolFull, LeaseHeld, PartDown, StoreUnavailable, TimeoutError.
    """
    with about(session.id):
        _not_over(session)
        if session.status is SessionState.paused:
            return await services.generators.take(session.id)
        if session.status is SessionState.live and session.pausing:
            raise Pausing(session.id)
    return session


async def rewind(services: Services, session: Session, ask: RewindSession) -> Session:
    """Have a live video go on as it was earlier, from its next chunk on; gives the session as it is.

    Raises SessionOver, NotLive, NotRewindable, InTheFuture, Forgotten, SnapshotsAway.
    """
    with about(session.id):
        _not_over(session)
        if session.pace == "offline":
            raise NotRewindable(session.id)
        if session.status is not SessionState.live:
            raise NotLive(session.id, session.status)
        frame = frame_at(ask.to, session.fps)
        await chunk_to_go_on_from(services.history, session, frame)
        await services.timeline.append_command(session.id, RewindRequested(to_frame=frame))
        await _ring(services, session)
    return session


async def end(services: Services, session: Session) -> None:
    """Have the video end; one that nobody makes ends at once."""
    if session.status.over:
        return
    with about(session.id):
        try:
            await services.timeline.append_command(session.id, EndRequested())
        except SessionOver:
            return
        await services.waiting.leave(session.id, session.pace)
        # Read once it is written: who pauses after that sees it, and who has paused before that does not any more.
        session = await services.timeline.session(session.id)
        if not session.status.owned:
            if await services.conclude(session.id, SessionEnded(reason="requested")):
                return
            session = await services.timeline.session(session.id)
        # Whoever has just taken it reads all that was asked; this is only for its haste.
        await _ring(services, session)


def _not_over(session: Session) -> None:
    if session.status.over:
        raise SessionOver(session.id, session.status)


async def _ring(services: Services, session: Session) -> None:
    if session.owner is None:
        return
    try:
        await services.timeline.ring(session.owner, session.id)
    except RedisError as error:
        log.warning("not rung: %s", error)  # it is written, and owners look by themselves every few seconds
