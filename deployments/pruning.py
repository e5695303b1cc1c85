"""Recordings, thumbnails, snapshots and exports live as long as their session is remembered."""

from __future__ import annotations

import logging

from deployments.exports import Exports
from deployments.logs import about
from deployments.media_store import MediaStore
from deployments.store import NoSuchSession
from deployments.timeline import KEEP_SECONDS, Timeline

PRUNE_SECONDS = 60.0
log = logging.getLogger(__name__)


async def prune(
    store: MediaStore, exports: Exports, timeline: Timeline, keep_seconds: float = KEEP_SECONDS
) -> list[str]:
    """Delete what belongs to sessions that the timeline has forgotten; gives those. Any number may do so at once.

    What was written within `keep_seconds` stays all the same: the timeline may have lost more than it has forgotten.
    Tidies the list of sessions, too. To be called every PRUNE_SECONDS or so. Raises MediaError and redis.RedisError:
    nothing is deleted on a guess.
    """
    await timeline.tidy()
    gone = []
    for sid in await store.sessions():
        try:
            await timeline.session(sid)
        except NoSuchSession:
            if await store.idle_seconds(sid) < keep_seconds:
                continue
            with about(sid):
                await exports.forget(sid)
                await store.delete_tree(sid)
                log.info("deleted what was kept of it")
            gone.append(sid)
    return gone
