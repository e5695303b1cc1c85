"""What clients ask of the sessions of one replica: read from their timelines, done or refused."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping

from redis.exceptions import RedisError
from torch import Tensor

from deployments.context import Context
from deployments.ending import history
from deployments.entries import (
    AnyEntry,
    EndRequested,
    PauseRefused,
    PauseRequested,
    PromptCancelRequested,
    PromptExpanded,
    PromptRequested,
    RewindRefused,
    RewindRequested,
    SessionBroke,
    SessionEnded,
    SessionFailed,
    SessionPaused,
    SessionRewound,
)
from deployments.logs import about
from deployments.owned import Owned
from deployments.prompt_plan import PlanFact
from deployments.receipts import PromptStatus, receipts
from deployments.session import chunk_at, chunk_first_frame
from deployments.steps import context_before, steps_of
from deployments.store import NoSuchSession
from deployments.timeline import Timeline
from prompt_agent.expansion import Refused

CHUNKS_AHEAD = 4
"""Prompts are read so long before their chunk: early enough for a slow encoder, few enough to be held in memory."""

AGAIN_SECONDS = 0.5
log = logging.getLogger(__name__)


class CommandReader:
    """Puts prompts into the plans of sessions, and has sessions paused and ended. No session waits for another one's.

    `owned` are the sessions of the replica `name`, by id. `word` gives what the video shall show where a prompt takes
    hold in a context, None for its text as it is, or raises Refused. `end` and `changed` return at once: the first ends
    a session, the second is told of one that has something new to do.
    """

    def __init__(
        self,
        name: str,
        timeline: Timeline,
        word: Callable[[PromptRequested, Context], Awaitable[PromptExpanded | None]],
        encode_text: Callable[[str], Awaitable[Tensor]],
        owned: Mapping[str, Owned],
        end: Callable[[Owned, SessionEnded | SessionFailed], None],
        changed: Callable[[], None],
    ) -> None:
        self._name = name
        self._timeline = timeline
        self._word = word
        self._encode_text = encode_text
        self._owned = owned
        self._end = end
        self._changed = changed

    async def run(self) -> None:
        """Read until cancelled, whatever the store answers."""
        async for sids in self._timeline.inbox(self._name):
            # An empty set means: look at all, for a ring can get lost.
            for sid in sids or list(self._owned):
                if sid in self._owned:
                    await self.read(self._owned[sid])

    async def read(self, owned: Owned) -> None:
        """Do what was asked since the last time. Never raises."""
        with about(owned.sid):
            try:
                async with owned.reading:
                    for entry in await history(self._timeline, owned.sid, owned.cursor):
                        owned.cursor = entry.id
                        self._do(owned, entry)
            except (RedisError, NoSuchSession) as error:
                log.warning("commands not read: %s", error)
            except Exception:
                log.exception("the timeline cannot be read")
                reason = "What was asked of this session cannot be read; the log says why. Start a new one."
                self._end(owned, SessionFailed(reason=reason))

    def catch_up(self, owned: Owned, entries: list[AnyEntry]) -> None:
        """Do what is still to be done of what was asked before this owner had the session: its whole timeline so far.

        Who has a paused session resumed does not want it to pause again, whatever was asked before. One that is made
        again from its first chunk follows all prompts that it followed.
        """
        known = {receipt.prompt_id: receipt for receipt in receipts(entries)}
        owned.plan.go_on_from(context_before(steps_of(entries), owned.next_chunk))
        for entry in entries:
            owned.cursor = entry.id
            match entry:
                case PromptRequested():
                    receipt = known[entry.prompt_id]
                    if receipt.status.pending:
                        self._accept(owned, entry, receipt.chunk)
                    elif receipt.status is PromptStatus.applied and receipt.chunk is not None:
                        uncounted = receipt.chunk >= owned.first_chunk
                        if owned.again or uncounted:
                            said = {"text": receipt.prompt or entry.text, "mode": receipt.mode, "expand": False}
                            at = entry.model_copy(update=said | {"at_frame": receipt.frame})
                            self._state(owned, owned.plan.add(at, owned.next_chunk, receipt.chunk, settled=True))
                        if uncounted:
                            owned.told_applied = entry.prompt_id
                case PauseRequested():
                    owned.pausing = None if owned.resumed else "requested"
                case SessionBroke(chunk=chunk):
                    owned.broke_before = chunk
                case PauseRefused() | SessionPaused():
                    owned.pausing = None
                case RewindRefused() | SessionRewound():
                    if owned.rewinds:  # a store that lost its newest writes may not know the request
                        owned.rewinds.popleft()
                case _:
                    self._do(owned, entry)
        for entry in entries:
            if isinstance(entry, PromptExpanded):
                owned.plan.expand(entry)
        self.read_ahead(owned)

    def read_ahead(self, owned: Owned) -> None:
        """Have the prompts of the next few chunks worded and encoded."""
        plan = owned.plan
        for asked in plan.unread(owned.next_chunk + CHUNKS_AHEAD):
            prompt_id = asked.prompt_id
            if prompt_id not in owned.encoding and (plan.wording(prompt_id) or plan.context(prompt_id)):
                owned.encoding[prompt_id] = asyncio.create_task(self._encode(owned, asked))

    def _do(self, owned: Owned, entry: AnyEntry) -> None:
        match entry:
            case PromptRequested():
                self._accept(owned, entry)
            case PromptCancelRequested(prompt_id=prompt_id):
                self._state(owned, owned.plan.cancel(prompt_id))
                self.read_ahead(owned)  # what was built on it is built anew
            case PauseRequested():
                owned.pausing = "requested"
                self._changed()
            case RewindRequested():
                owned.rewinds.append(entry)
                self._changed()
            case EndRequested():
                self._end(owned, SessionEnded(reason="requested"))

    def _accept(self, owned: Owned, asked: PromptRequested, said: int | None = None) -> None:
        """Have it wait. `said`: the chunk that another owner stated."""
        first = owned.first_chunk
        if owned.next_chunk < first and (asked.at_frame is None or chunk_at(asked.at_frame) < first):
            asked = asked.model_copy(update={"at_frame": chunk_first_frame(first)})  # not for what is only made again
        self._state(owned, owned.plan.add(asked, owned.next_chunk, said))
        self.read_ahead(owned)

    async def _encode(self, owned: Owned, asked: PromptRequested) -> None:
        plan, prompt_id = owned.plan, asked.prompt_id
        reason = "The prompt could not be written out. Send it again, or a whole prompt with `expand: false`."
        try:
            wording = await self._wording(owned, asked)
            reason = "The text encoder did not answer. Send the prompt again."
            embeddings = None if wording is None else await self._encode_text(wording.text)
        except Refused as refusal:
            self._state(owned, plan.refuse(prompt_id, str(refusal)))
        except Exception:
            log.exception("prompt %s was not read", asked.prompt_id)
            refused = owned.plan.refuse(asked.prompt_id, reason)
            self._state(owned, refused)
            if not refused:  # it was said to have applied, and its chunk waits for it
                await asyncio.sleep(AGAIN_SECONDS)
        else:
            if embeddings is not None and plan.wording(prompt_id) == wording:
                self._state(owned, plan.read(prompt_id, embeddings))
        finally:
            del owned.encoding[prompt_id]
        if not owned.over:
            self.read_ahead(owned)
        self._changed()

    async def _wording(self, owned: Owned, asked: PromptRequested) -> PromptRequested | None:
        """The prompt as the video shall show it; None where it does not wait any more, or for what is not there.

        Raises Refused.
        """
        plan, prompt_id = owned.plan, asked.prompt_id
        if plan.worded(prompt_id):
            return plan.wording(prompt_id)
        context = plan.context(prompt_id)
        if context is None and asked.expand:
            return None
        expanded = await self._word(asked, context or Context(asked.text))
        if asked.expand and plan.context(prompt_id) != context:
            return None  # a prompt before it was cancelled meanwhile, or the video went back
        if expanded is not None:
            built_on = "" if context is None else context.key
            self._state(owned, plan.expand(expanded.model_copy(update={"built_on": built_on})))
            self.read_ahead(owned)  # what was to be built on it can be
        return plan.wording(prompt_id)

    def _state(self, owned: Owned, facts: Iterable[PlanFact]) -> None:
        for fact in facts:
            if not owned.over:  # who has left a session states nothing more about it
                owned.recorder.state(fact)
