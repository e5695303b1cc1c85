"""Where paused sessions go on from: one object in the media store for each."""

from __future__ import annotations

import logging
import re
import sys

from deployments.media_store import MediaError, MediaStore

_NAME = re.compile(r"(\d+)-(\d+)")
log = logging.getLogger(__name__)


class Snapshots:
    """Raises what the media store does."""

    def __init__(self, store: MediaStore) -> None:
        self._store = store

    async def save(self, sid: str, fence: int, chunk: int, data: bytes) -> str:
        """Keep what a session goes on from with `chunk`; gives the name to `load` it by."""
        path = f"{sid}/snapshots/{fence}-{chunk}"
        await self._store.write(path, data)
        return path

    async def load(self, path: str) -> bytes:
        return await self._store.read(path)

    async def forget(self, path: str) -> None:
        """Delete one that nobody will ask for. A store that does not is no reason to stop."""
        try:
            await self._store.delete(path)
        except MediaError as error:
            log.warning("a snapshot stays: %s", error)

    async def forget_others(self, path: str) -> None:
        """Delete the session's earlier ones; whoever is late deletes none that a later owner has saved.

        A store that does not is no reason to stop.
        """
        folder, _, kept = path.rpartition("/")
        try:
            for name in await self._store.names(folder):
                if _place(name) < _place(kept):
                    await self._store.delete(f"{folder}/{name}")
        except MediaError as error:
            log.warning("earlier snapshots stay: %s", error)


def chunk_of(path: str) -> int:
    """With which chunk a session goes on from a snapshot of this name."""
    return _place(path.rpartition("/")[2])[1]


def _place(name: str) -> tuple[int, int]:
    """Fence and chunk; of what is no snapshot, behind all."""
    match = _NAME.fullmatch(name)
    return (int(match[1]), int(match[2])) if match else (sys.maxsize, 0)
