"""What clients ask of the sessions of one replica: read from their timelines, done or refused."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from redis.exceptions import RedisError
from torch import Tensor

from deployments.entries import EndRequested, PromptRefused, PromptRequested, SessionEnded, SessionFailed
from deployments.logs import about
from deployments.owned import Owned, Prompt
from deployments.store import NoSuchSession
from deployments.timeline import Timeline

log = logging.getLogger(__name__)


class CommandReader:
    """Puts prompts into sessions, in their order, and has sessions ended. No session waits for another one's.

    `owned` are the sessions of the replica `name`, by id. `end` and `changed` return at once: the first ends a session,
    the second is told of one that has a new prompt.
    """

    def __init__(
        self,
        name: str,
        timeline: Timeline,
        encode_text: Callable[[str], Awaitable[Tensor]],
        owned: Mapping[str, Owned],
        end: Callable[[Owned, SessionEnded | SessionFailed], None],
        changed: Callable[[], None],
    ) -> None:
        self._name = name
        self._timeline = timeline
        self._encode_text = encode_text
        self._owned = owned
        self._end = end
        self._changed = changed

    async def run(self) -> None:
        """Read until cancelled, whatever the store answers."""
        async for sids in self._timeline.inbox(self._name):
            # An empty set means: look at all, for a ring can get lost.
            for owned in [self._owned[sid] for sid in sids or self._owned if sid in self._owned]:
                with about(owned.sid):
                    try:
                        await self._read(owned)
                    except (RedisError, NoSuchSession) as error:
                        log.warning("commands not read: %s", error)
                    except Exception:
                        log.exception("the timeline cannot be read")
                        reason = "What was asked of this session cannot be read; the log says why. Start a new one."
                        self._end(owned, SessionFailed(reason=reason))

    async def _read(self, owned: Owned) -> None:
        for entry in await self._timeline.read(owned.sid, owned.cursor, limit=1000):
            owned.cursor = entry.id
            match entry:
                case PromptRequested():
                    owned.reading = asyncio.create_task(self._take_prompt(owned, entry, owned.reading))
                case EndRequested():
                    self._end(owned, SessionEnded(reason="requested"))
                    return

    async def _take_prompt(self, owned: Owned, asked: PromptRequested, before: asyncio.Task[None] | None) -> None:
        prompt: Prompt | None = None
        try:
            prompt = Prompt(asked, await self._encode_text(asked.text))
        except Exception:
            log.exception("prompt %s was not read", asked.prompt_id)
        if before is not None:
            await before
        if owned.over:
            return
        if prompt is None:
            reason = "The text encoder did not answer. Send the prompt again."
            owned.recorder.state(PromptRefused(prompt_id=asked.prompt_id, reason=reason))
            return
        replaced, owned.prompt = owned.prompt, prompt
        self._changed()
        if replaced is not None:
            reason = "A newer prompt came before the next chunk began."
            owned.recorder.state(PromptRefused(prompt_id=replaced.asked.prompt_id, reason=reason))
