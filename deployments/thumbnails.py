"""Small pictures along a session's time line: one every few chunks, and one where a prompt begins to show."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable

import numpy as np
from numpy.typing import NDArray

from deployments.media_store import MediaStore

EVERY_CHUNKS = 4
MOST_IN_FLIGHT = 4
_NAME = re.compile(r"(\d{9,})\.webp")
log = logging.getLogger(__name__)


def wanted(chunk: int, prompt_changed: bool) -> bool:
    """Whether a chunk gets a thumbnail."""
    return prompt_changed or chunk % EVERY_CHUNKS == 0


def path(sid: str, chunk: int) -> str:
    return f"{sid}/thumbnails/{chunk:09d}.webp"


async def stored(store: MediaStore, sid: str) -> list[int]:
    """The chunks of a session that have a thumbnail, in order."""
    names = (_NAME.fullmatch(name) for name in await store.names(f"{sid}/thumbnails"))
    return sorted(int(name[1]) for name in names if name)


class Thumbnails:
    """Makes and stores one session's thumbnails in the background, for its owner. For one event loop.

    `first` is the session's first chunk: every session has a picture of that.

    `encode` makes a WebP of one RGB frame [H, W, 3], elsewhere than on this loop. The owner calls `add` for each chunk
    that it hands out. Nobody waits for a thumbnail, and one that could not be made or stored is missing: said once.
    """

    def __init__(
        self, store: MediaStore, sid: str, encode: Callable[[NDArray[np.uint8]], Awaitable[bytes]], first: int = 0
    ) -> None:
        self._store = store
        self._sid = sid
        self._encode = encode
        self._first = first
        self._making: set[asyncio.Task[None]] = set()
        self._said = False

    def add(self, chunk: int, frames: NDArray[np.uint8], prompt_changed: bool) -> None:
        """Have a thumbnail of the chunk if it is to have one; `frames` are its own, RGB [T, H, W, 3]."""
        if not (wanted(chunk, prompt_changed) or chunk == self._first) or len(self._making) >= MOST_IN_FLIGHT:
            return
        # A chunk that follows a new prompt shows it at its end.
        frame = frames[-1 if prompt_changed else 0].copy()
        making = asyncio.create_task(self._make(chunk, frame))
        self._making.add(making)
        making.add_done_callback(self._making.discard)

    async def flush(self) -> None:
        """Returns when every thumbnail that was begun is stored or given up."""
        while self._making:
            await asyncio.wait(self._making)

    async def _make(self, chunk: int, frame: NDArray[np.uint8]) -> None:
        try:
            await self._store.write(path(self._sid, chunk), await self._encode(frame))
        except Exception as error:
            if not self._said:
                log.warning("no thumbnails: %s", error)
                self._said = True
