"""Sessions go to a generator that takes them; what nobody waits for is cancelled; only a death is a death."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayActorError
from ray.serve.exceptions import DeploymentID, DeploymentUnavailableError

from deployments.admission import Demand
from deployments.calls import PartDown
from deployments.placement import NoReplicaLeft, OwnerDied, Placement, Refusal, TakeOver
from deployments.pool import START_SECONDS, GeneratorPool, PoolFull
from deployments.session import Session, SessionState

SESSION = Session(
    id="s", status=SessionState.starting, prompt="a ball", seed=0, model="m", width=64, height=64, fps=16,
    created_at=0, last_event_id="1-0",
)  # fmt: skip


class Response:
    """An answer, an error, or (None) nothing at all."""

    def __init__(self, answer: object) -> None:
        self._answer = answer
        self.cancelled = False
        self.awaited = asyncio.Event()

    def __await__(self) -> Generator[Any, None, object]:
        return self._wait().__await__()

    async def _wait(self) -> object:
        self.awaited.set()
        if self._answer is None:
            await asyncio.Event().wait()
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    async def __aiter__(self) -> AsyncIterator[object]:
        yield await self._wait()

    def cancel(self) -> None:
        self.cancelled = True


class Handle:
    """A deployment handle, as far as the pool uses one."""

    def __init__(self, *answers: object) -> None:
        self.responses = [Response(answer) for answer in answers]
        self.placements: list[Placement] = []
        self.given: list[tuple[object, ...]] = []

    def options(self, session_id: str = "", stream: bool = False) -> Handle:
        if session_id:
            self.placements.append(Placement.parse(session_id))
        return self

    def __getattr__(self, method: str) -> Handle:
        return self

    def remote(self, *arguments: object) -> Response:
        self.given.append(arguments)
        return self.responses[len(self.placements) - 1]


async def taken(handle: Handle) -> Session:
    return await GeneratorPool(handle).take("s")


async def test_a_session_goes_on_to_the_next_replica_when_one_refuses() -> None:
    handle = Handle(Refusal("a", 9), SESSION)
    assert await taken(handle) == SESSION
    assert [placement.excluded for placement in handle.placements] == [(), ("a",)]


async def test_a_full_pool_says_when_the_first_slot_may_be_free() -> None:
    with pytest.raises(PoolFull) as full:
        await taken(Handle(Refusal("a", 9), Refusal("b", 4), NoReplicaLeft("s")))
    assert full.value.retry_after_s == 4


@pytest.mark.parametrize(
    "error",
    [RayActorError(), DeploymentUnavailableError(DeploymentID("Generator", "longlive"))],
    ids=["died", "never started"],
)
async def test_a_pool_without_a_generator_is_down_and_not_full(error: Exception) -> None:
    with pytest.raises(PartDown, match="generator"):
        await taken(Handle(error))


async def test_while_a_generator_is_replaced_a_new_session_can_wait_for_it() -> None:
    with pytest.raises(PoolFull) as full:
        await taken(Handle(NoReplicaLeft("s")))
    assert full.value.retry_after_s == START_SECONDS
    with pytest.raises(PartDown, match="generator"):
        await GeneratorPool(Handle(NoReplicaLeft("s"))).take("s", TakeOver("r", "lost"))


@pytest.mark.parametrize(
    ("answers", "room"),
    [
        (["no refusal"], True),
        ([Refusal("a", 9), "no refusal"], True),
        ([Refusal("a", 9), NoReplicaLeft("s")], False),
        ([NoReplicaLeft("s")], False),
        ([RayActorError()], False),
    ],
)
async def test_others_have_room_when_one_of_them_does(answers: list[Any], room: bool) -> None:
    handle = Handle(*answers)
    assert await GeneratorPool(handle).has_room("s", Demand(16), not_to=("me",)) is room
    assert all("me" in placement.excluded for placement in handle.placements)


async def test_a_session_that_nobody_waits_for_any_more_is_cancelled() -> None:
    handle = Handle(None)
    taking = asyncio.create_task(taken(handle))
    await handle.responses[0].awaited.wait()
    taking.cancel()
    await asyncio.wait([taking])
    assert handle.responses[0].cancelled


async def test_a_death_of_the_owner_is_told_and_its_call_is_cancelled() -> None:
    handle = Handle(ActorDiedError())
    with pytest.raises(OwnerDied):
        await anext(GeneratorPool(handle).watch("s", "r"))
    assert handle.placements == [Placement("s", pin="r")]
    assert handle.responses[0].cancelled


async def test_an_owner_that_cannot_be_reached_is_not_declared_dead() -> None:
    with pytest.raises(ActorUnavailableError):
        await anext(GeneratorPool(Handle(ActorUnavailableError("away", None))).watch("s", "r"))


async def test_a_session_that_is_taken_over_goes_to_another_than_its_owner() -> None:
    handle = Handle(Refusal("a", 9), SESSION)
    over = TakeOver("r", "lost", 3)
    assert await GeneratorPool(handle).take("s", over, not_to=("r",)) == SESSION
    assert [placement.excluded for placement in handle.placements] == [("r",), ("r", "a")]
    assert handle.given == [("s", over), ("s", over)]
