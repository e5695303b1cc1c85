"""Calls to other parts of the service that any of their replicas can answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ray.exceptions import RayActorError
from ray.serve.exceptions import DeploymentUnavailableError

CALL_SECONDS = 10.0
PAUSE_SECONDS = 0.2
T = TypeVar("T")


class PartDown(Exception):
    """A part of the service that a request needs does not answer. Its text is for people."""

    def __init__(self, part: str) -> None:
        super().__init__(part)
        self.part = part

    def __str__(self) -> str:
        return f"The {self.part} does not answer; a new one is started when it has died. Try again in a moment."


async def ask(part: str, call: Callable[[], Awaitable[T]], seconds: float = CALL_SECONDS, patience: float = 0.0) -> T:
    """The answer of a stateless call, of which each try may take `seconds`.

    If the replica that had it dies or is silent, another is asked: at least once, and for `patience` seconds, which
    should cover the start of a new one where no work may be lost. Raises PartDown.
    """
    clock = asyncio.get_running_loop().time
    began, tries = clock(), 0
    while True:
        try:
            async with asyncio.timeout(seconds):
                return await call()
        except (RayActorError, DeploymentUnavailableError, TimeoutError) as error:
            tries += 1
            if tries > 1 and clock() - began >= patience:
                raise PartDown(part) from error
        await asyncio.sleep(PAUSE_SECONDS)  # a dead replica stays in the router for a moment
