"""A double of the handle to the prompt agent's deployment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from ray.exceptions import RayActorError


class HandleDouble:
    """A handle whose replica writes some words, and then hangs, dies, or is done."""

    def __init__(self, then: str) -> None:
        self._then = then
        self._written: AsyncIterator[str] | None = None
        self.cancelled = False
        self.write = self.changes = self.suggest = self

    def options(self, **_: Any) -> HandleDouble:
        return self

    def remote(self, scene: str, *_: Any, **__: Any) -> HandleDouble:
        self._scene = scene
        return self

    def __await__(self) -> Any:
        return self._answer().__await__()

    def __aiter__(self) -> HandleDouble:
        return self

    async def __anext__(self) -> str:
        if self._written is None:
            self._written = self._write()
        return await anext(self._written)

    def cancel(self) -> None:
        self.cancelled = True

    async def _write(self) -> AsyncIterator[str]:
        yield self._scene
        yield await self._answer()

    async def _answer(self) -> str:
        match self._then:
            case "hangs":
                await asyncio.Event().wait()
            case "dies":
                raise RayActorError()
        return "done"
