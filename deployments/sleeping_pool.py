"""A pool of generators that may be empty: who wants one is told to come back, and has one started."""

from __future__ import annotations

import asyncio
import logging

from ray.serve.handle import DeploymentHandle

from deployments.placement import Placement, TakeOver
from deployments.pool import START_SECONDS, GeneratorPool, PoolFull
from deployments.replicas import Replicas
from deployments.session import Session

WAKE_SECONDS = 60.0

log = logging.getLogger(__name__)


class SleepingPool(GeneratorPool):
    """Where no generator runs, a call that waits for one is what has Serve start it; nobody else waits with it."""

    def __init__(self, handle: DeploymentHandle, replicas: Replicas) -> None:
        super().__init__(handle)
        self._replicas = replicas
        self._waking: asyncio.Task[None] | None = None

    async def take(self, sid: str, take_over: TakeOver | None = None, not_to: tuple[str, ...] = ()) -> Session:
        """As a `GeneratorPool`; PoolFull, too, where no generator runs, and then one is started. Raises RedisError."""
        if await self._asleep():
            self._wake()
            raise PoolFull(START_SECONDS)
        return await super().take(sid, take_over, not_to)

    async def ready(self) -> None:
        """Returns when some generator answers, or at once where none needs to run. Raises PartDown, RedisError."""
        if not await self._asleep():
            await super().ready()

    async def _asleep(self) -> bool:
        return all(replica.stopping for replica in await self._replicas.alive())

    def _wake(self) -> None:
        if self._waking is None or self._waking.done():
            self._waking = asyncio.create_task(self._call(), name="wake")

    async def _call(self) -> None:
        response = self._to(Placement("wake", waits=True)).ready.remote()
        try:
            async with asyncio.timeout(WAKE_SECONDS):
                await response
        except Exception as error:
            response.cancel()
            log.warning("no generator has started yet: %r", error)  # who still wants one asks again
