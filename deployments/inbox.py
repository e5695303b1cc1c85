"""A replica's doorbell: who has appended a command rings, the owner then reads the session's timeline."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from deployments.store import inbox_key

BLOCK_MS = 5000
KEEP_SECONDS = 3600
AWAY_SECONDS = 0.5
log = logging.getLogger(__name__)


async def ring(redis: Redis, replica: str, sid: str) -> None:
    """Tell a replica that there is a new command for one of its sessions."""
    key = inbox_key(replica)
    async with redis.pipeline(transaction=True) as both:
        both.xadd(key, {"sid": sid}, maxlen=1000, approximate=True)
        both.expire(key, KEEP_SECONDS)
        await both.execute()


async def listen(blocking: Redis, replica: str) -> AsyncIterator[frozenset[str]]:
    """Sessions whose timeline has a new command, for ever: whatever Redis answers, it waits and asks again.

    An empty set, each BLOCK_MS however often it rings, says: look at all of yours. For a ring can get lost with Redis.
    """
    clock = asyncio.get_running_loop().time
    after, look = "0-0", clock() + BLOCK_MS / 1000
    while True:
        left_ms = max(1, math.ceil((look - clock()) * 1000))  # 0 would be for ever
        try:
            async with asyncio.timeout(2 * BLOCK_MS / 1000):
                replies: Any = await blocking.xread({inbox_key(replica): after}, count=1000, block=left_ms)
        except (RedisError, TimeoutError) as error:
            log.warning("the inbox of %s waits: %s %s", replica, type(error).__name__, error)
            await asyncio.sleep(AWAY_SECONDS)
            continue
        rows = [row for _, rows in replies for row in rows]
        if rows:
            after = rows[-1][0]
            yield frozenset(fields["sid"] for _, fields in rows)
        if clock() >= look:
            yield frozenset()
            look = clock() + BLOCK_MS / 1000
