"""How a replica holds on to its sessions: it renews their leases, and notices when the store has lost what it wrote."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from redis.exceptions import RedisError

from deployments.ending import history
from deployments.logs import about
from deployments.owned import Owned
from deployments.parts import Parts
from deployments.recorder import Recorder
from deployments.store import Fenced, NoSuchSession, SessionOver
from deployments.timeline import parse_cursor

log = logging.getLogger(__name__)


class Holder:
    """`owned` are the sessions of the replica `name`, by id. `drop` is called with one that is not its any more."""

    def __init__(self, name: str, parts: Parts, owned: Mapping[str, Owned], drop: Callable[[Owned], None]) -> None:
        self._name = name
        self._parts = parts
        self._owned = owned
        self._drop = drop

    async def renew(self, owned: Owned) -> RedisError | None:
        """Renew the lease of a session; what kept it from that, which may pass."""
        with about(owned.sid):
            try:
                await self.hold(owned.sid, owned.recorder)
            except RedisError as error:
                return error
            return None

    async def hold(self, sid: str, asks: Recorder) -> int | None:
        """Renew the lease: gives our fence, a new one if the store has lost its newest writes. None: it is not ours.

        Raises redis.RedisError.
        """
        if (owned := self._owned.get(sid)) is None or owned.recorder is not asks:
            return None
        parts = self._parts
        async with owned.holding:
            try:
                newest, newest_id = owned.recorder.newest
                fence, written_id = await parts.leases.renew(sid, self._name, owned.fence)
                if fence != owned.fence:
                    owned.fence, owned.writer = fence, parts.history.writer(sid, fence)
                if fence != owned.recorder.fence or parse_cursor(written_id) < parse_cursor(newest_id):
                    log.warning("the store has lost its newest writes")
                    written = {entry.id for entry in await history(parts.timeline, sid)}
                    chunks = (await parts.timeline.session(sid)).chunks
                    owned.recorder.restate(fence, newest, written, chunks)
            except (Fenced, SessionOver, NoSuchSession) as error:
                log.warning("not ours any more: %s", error)
                if not owned.moving:  # else who takes it is about to say so, and its viewers may stay until then
                    self._drop(owned)
                return None
            return owned.fence
