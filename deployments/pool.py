"""The generators as the ingress sees them: somebody takes a new session, its owner is asked for its fragments."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

from ray.exceptions import ActorDiedError, RayActorError
from ray.serve.exceptions import DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle, DeploymentResponse

from deployments.admission import Demand
from deployments.calls import PartDown, ask
from deployments.fragments import Fragment
from deployments.placement import NoReplicaLeft, OwnerDied, Placement, Refusal, TakeOver
from deployments.session import Session

TAKE_SECONDS = 30.0
START_SECONDS = 10
"""What a generator's start may take, as it is told: a guess, for the model may be large."""


class PoolFull(Exception):
    """No generator can take another session and keep those it has at their frame rate."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(retry_after_s)
        self.retry_after_s = retry_after_s


class GeneratorPool:
    """Calls to the generator deployment, placed by `PinRouter`."""

    def __init__(self, handle: DeploymentHandle) -> None:
        self._handle = handle

    async def take(self, sid: str, take_over: TakeOver | None = None, not_to: tuple[str, ...] = ()) -> Session:
        """Have a session that nobody holds begun, or resumed, by the replica with the most room; or with `take_over`
        have one that somebody holds, or held, go on there. Replicas in `not_to` are not asked.

        Raises PoolFull, also where none runs for the moment, NoSuchSession, SessionOver, LeaseHeld, TimeoutError, and
        PartDown when the replica died over it: then the session may have begun all the same, and is adopted.
        """
        try:
            taken: Session = await self._first(sid, not_to, lambda replica: replica.take.remote(sid, take_over))
        except NoReplicaLeft as error:
            if take_over is not None:
                raise PartDown("generator") from error
            raise PoolFull(START_SECONDS) from None
        return taken

    async def has_room(self, sid: str, demand: Demand, not_to: tuple[str, ...]) -> bool:
        """Whether some replica that is not in `not_to` would take over a session that asks so much."""
        try:
            await self._first(sid, not_to, lambda replica: replica.offer.remote(demand))
        except (NoReplicaLeft, PoolFull, PartDown, TimeoutError):
            return False
        return True

    async def _first(self, sid: str, not_to: tuple[str, ...], call: Callable[[Any], DeploymentResponse]) -> Any:
        """The answer of the first replica, of those with the most room, that does not refuse.

        Raises as `take`, and NoReplicaLeft where none is asked.
        """
        refusals: list[Refusal] = []
        while True:
            refused = tuple(refusal.replica for refusal in refusals)
            response = call(self._to(Placement(sid, excluded=not_to + refused)))
            try:
                async with asyncio.timeout(TAKE_SECONDS):
                    answer = await response
            except NoReplicaLeft:
                if not refusals:
                    raise
                raise PoolFull(min(refusal.retry_after_s for refusal in refusals)) from None
            except (RayActorError, DeploymentUnavailableError) as error:
                raise PartDown("generator") from error
            except BaseException:
                response.cancel()  # nobody waits for the session any more: it shall not take a slot
                raise
            if not isinstance(answer, Refusal):
                return answer
            refusals.append(answer)

    async def watch(self, sid: str, owner: str) -> AsyncGenerator[tuple[Fragment, ...], None]:
        """All fragments that the owner keeps, then those that come, for as long as the owner lets one call last.

        Raises OwnerDied, and ReplicaGone when there is no way to the owner from here, which proves nothing.
        """
        fragments = self._to(Placement(sid, pin=owner)).options(stream=True).watch.remote(sid)
        try:
            async for some in fragments:
                yield some
        except ActorDiedError as error:
            raise OwnerDied(owner) from error
        finally:
            # Dropping the iterator does not stop the owner's side, and it counts who watches.
            fragments.cancel()

    async def ready(self) -> None:
        """Returns when some generator answers. Raises PartDown."""
        await ask("generator", lambda: self._to(Placement("ready", waits=True)).ready.remote())

    def _to(self, placement: Placement) -> Any:
        return self._handle.options(session_id=str(placement))
