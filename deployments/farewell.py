"""How an ingress goes: who is connected is told, has a few seconds to turn to another one, and is then let go."""

from __future__ import annotations

import asyncio

GO_AWAY_SECONDS = 3.0


class Farewell:
    """Said once, heard by all who wait for it. For one event loop."""

    def __init__(self) -> None:
        self._said = asyncio.Event()
        self._seconds = 0.0
        self._for_good = False

    @property
    def for_good(self) -> bool:
        """Whether it was said, and there is no other ingress: the whole service stops."""
        return self._for_good

    def say(self, seconds: float = GO_AWAY_SECONDS, *, for_good: bool = False) -> None:
        """Connections are closed in so many seconds. The first word counts; the service's is the last one."""
        self._for_good |= for_good
        if not self._said.is_set():
            self._seconds = seconds
            self._said.set()

    async def heard(self) -> float:
        """Wait until it is said; gives the seconds."""
        await self._said.wait()
        return self._seconds
