"""The generators as the ingress sees them: somebody takes a new session, its owner is asked for its fragments."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from ray.exceptions import ActorDiedError
from ray.serve.handle import DeploymentHandle

from deployments.fragments import Fragment
from deployments.placement import NoReplicaLeft, Placement, ReplicaGone
from deployments.session import Session

OPEN_SECONDS = 30.0


class PoolFull(Exception):
    """No generator can take another session and keep those it has at their frame rate."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(retry_after_s)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class Refusal:
    """A replica's answer when its slots are taken: when one may be free again."""

    replica: str
    retry_after_s: int


class GeneratorPool:
    """Calls to the generator deployment, placed by `PinRouter`."""

    def __init__(self, handle: DeploymentHandle) -> None:
        self._handle = handle

    async def open(self, sid: str, prompt: str, seed: int | None, paced: bool = True) -> Session:
        """Start a session on the replica with the fewest. Raises PoolFull, TimeoutError, RayActorError."""
        refusals: list[Refusal] = []
        while True:
            handle = self._to(Placement(sid, excluded=tuple(refusal.replica for refusal in refusals)))
            try:
                async with asyncio.timeout(OPEN_SECONDS):
                    answer: Session | Refusal = await handle.open.remote(sid, prompt, seed, paced)
            except NoReplicaLeft:
                # With nothing refused there was no replica at all: one is being started.
                raise PoolFull(min((refusal.retry_after_s for refusal in refusals), default=2)) from None
            if isinstance(answer, Session):
                return answer
            refusals.append(answer)

    async def watch(self, sid: str, owner: str) -> AsyncGenerator[Fragment, None]:
        """The owner's fragments from its newest on, until the session ends. Raises ReplicaGone when it is dead."""
        fragments = self._to(Placement(sid, pin=owner)).options(stream=True).watch.remote(sid)
        try:
            async for fragment in fragments:
                yield fragment
        except ActorDiedError as error:
            raise ReplicaGone(owner) from error
        finally:
            # Dropping the iterator does not stop the owner's side, and it counts who watches.
            fragments.cancel()

    async def ready(self) -> None:
        """Returns when some generator answers. Raises TimeoutError, RayActorError."""
        async with asyncio.timeout(5.0):
            await self._to(Placement("ready")).ready.remote()

    def _to(self, placement: Placement) -> Any:
        return self._handle.options(session_id=str(placement))
