"""The generator replicas as an operator sees them: each says every second how it is, and hears whether to drain.

Both lie in Redis. So a wish reaches a replica that nothing else does, and one that starts later on a drained node.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field
from redis.asyncio import Redis

from deployments.entries import Data

BEAT_SECONDS = 1.0
GONE_SECONDS = 15.0
"""One that has said nothing for so long is gone. While Serve's controller does not answer, they say less often."""
_BEATS, _SAID, _DRAINS = "{replicas}:beats", "{replicas}:said", "{replicas}:drains"

# By Redis' own time, for replicas on several machines. A wish for a replica ends with it, one for a node stays.
_BEAT = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[4])) do
  redis.call('ZREM', KEYS[1], gone)
  redis.call('HDEL', KEYS[2], gone)
  redis.call('HDEL', KEYS[3], 'replica:' .. gone)
end
return redis.call('HEXISTS', KEYS[3], 'replica:' .. ARGV[1]) + redis.call('HEXISTS', KEYS[3], 'node:' .. ARGV[2])
"""
_ALIVE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local alive = redis.call('ZRANGEBYSCORE', KEYS[1], now - ARGV[1], '+inf')
if #alive == 0 then return {} end
return redis.call('HMGET', KEYS[2], unpack(alive))
"""


class Replica(Data):
    """One generator replica, as it said within the last seconds."""

    id: str
    node: str = Field(description="The id of the Ray node that it runs on.")
    host: str = Field(description="That node's address.")
    sessions: int = Field(description="Sessions that it holds.")
    more: int = Field(description="How many further sessions it would take now.")
    accepting: bool = Field(description="Whether it takes sessions at all.")
    draining: bool = Field(description="Whether it hands its sessions over to others.")
    stopping: bool = Field(description="Whether it is being stopped for good.")
    started_at: int = Field(description="Unix time in milliseconds.")


class NoSuchReplica(Exception):
    """No generator replica of this id runs, or none on this node. Its text is for people."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"There is no generator replica, and no node with one, named {self.name!r}: list them first."


class Replicas:
    """`redis` comes from `store.connect`; each call raises RedisError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._beat = redis.register_script(_BEAT)
        self._alive = redis.register_script(_ALIVE)

    async def beat(self, replica: Replica) -> bool:
        """Say how a replica is, each BEAT_SECONDS; gives whether it, or its node, shall be drained."""
        keys, gone_ms = [_BEATS, _SAID, _DRAINS], int(GONE_SECONDS * 1000)
        return bool(await self._beat(keys=keys, args=[replica.id, replica.node, replica.model_dump_json(), gone_ms]))

    async def leave(self, replica: str) -> None:
        """A replica that stops in good order is not waited for."""
        async with self._redis.pipeline() as pipe:
            pipe.zrem(_BEATS, replica)
            pipe.hdel(_SAID, replica)
            pipe.hdel(_DRAINS, f"replica:{replica}")
            await pipe.execute()

    async def alive(self) -> list[Replica]:
        """Those that run, oldest first."""
        said: list[Any] = await self._alive(keys=[_BEATS, _SAID], args=[int(GONE_SECONDS * 1000)])
        found = [Replica.model_validate_json(text) for text in said if text]
        return sorted(found, key=lambda replica: (replica.started_at, replica.id))

    async def drained_nodes(self) -> set[str]:
        wishes: list[Any] = await self._redis.hkeys(_DRAINS)
        return {wish.removeprefix("node:") for wish in wishes if wish.startswith("node:")}

    async def drain_replica(self, replica: str) -> None:
        """Have it take no session and hand over those it has, until `undrain_replica`. Raises NoSuchReplica."""
        if all(each.id != replica for each in await self.alive()):
            raise NoSuchReplica(replica)
        await self._redis.hset(_DRAINS, f"replica:{replica}", "1")

    async def undrain_replica(self, replica: str) -> None:
        wished = await self._redis.hdel(_DRAINS, f"replica:{replica}")
        if not wished and all(each.id != replica for each in await self.alive()):
            raise NoSuchReplica(replica)

    async def drain_node(self, node: str) -> None:
        """The same for all replicas of a Ray node, also for those that start there later. Raises NoSuchReplica."""
        if all(each.node != node for each in await self.alive()):
            raise NoSuchReplica(node)
        await self._redis.hset(_DRAINS, f"node:{node}", "1")

    async def undrain_node(self, node: str) -> None:
        wished = await self._redis.hdel(_DRAINS, f"node:{node}")
        if not wished and all(each.node != node for each in await self.alive()):
            raise NoSuchReplica(node)
