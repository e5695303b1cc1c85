"""Calls to other parts of the service that any of their replicas can answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ray.exceptions import RayActorError
from ray.serve.exceptions import DeploymentUnavailableError

CALL_SECONDS = 10.0
T = TypeVar("T")


class PartDown(Exception):
    """A part of the service that a request needs does not answer. Its text is for people."""

    def __init__(self, part: str) -> None:
        super().__init__(part)
        self.part = part

    def __str__(self) -> str:
        return f"The {self.part} does not answer; a new one is started when it has died. Try again in a moment."


async def ask(part: str, call: Callable[[], Awaitable[T]], seconds: float = CALL_SECONDS) -> T:
    """The answer of a stateless call. If the replica that had it dies or is silent, another is asked: once.

    Raises PartDown.
    """
    for last in (False, True):
        try:
            async with asyncio.timeout(seconds):
                return await call()
        except (RayActorError, DeploymentUnavailableError, TimeoutError) as error:
            if last:
                raise PartDown(part) from error
    raise AssertionError("unreachable")
