"""How much may be on its way to a client that says what has arrived. For one event loop."""

from __future__ import annotations

import asyncio


class Credit:
    """At most `most` chunks are sent and not acknowledged."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._sent: list[int] = []
        self._changed = asyncio.Event()
        self._spent = asyncio.Event()

    def spend(self, chunk: int) -> None:
        self._sent.append(chunk)
        self._spent.set()

    def got(self, chunk: int) -> None:
        """This chunk and all before it have arrived."""
        self._sent = [sent for sent in self._sent if sent > chunk]
        if not self._sent:
            self._spent.clear()
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait(self) -> None:
        """Until one more may be sent."""
        while len(self._sent) >= self._most:
            await self._changed.wait()

    async def overdue(self, seconds: float) -> None:
        """Until something is on its way and nothing was acknowledged for so long."""
        while True:
            await self._spent.wait()
            try:
                async with asyncio.timeout(seconds):
                    await self._changed.wait()
            except TimeoutError:
                return
