"""`longlive sessions watch`: a viewer that pulls the video, and tells what it sees."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from abc import ABC, abstractmethod
from collections import deque
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.status import Status

from deployments.cli_session_views import entry_line, status_words
from deployments.client import AsyncClient, AsyncSessionHandle
from deployments.client_media import LiveFragment, Saved
from deployments.entries import AnyEntry
from deployments.session import Session

PATIENCE = 60.0  # a service that is started again
RATE_SECONDS = 5.0


class Display(ABC):
    """Where it is told."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    @abstractmethod
    def entry(self, entry: AnyEntry) -> None: ...

    @abstractmethod
    def session(self, session: Session) -> None: ...

    @abstractmethod
    def fragment(self, fragment: LiveFragment) -> None: ...

    @abstractmethod
    def saved(self, path: Path, saved: Saved) -> None: ...


class JsonLines(Display):
    """A document on each line; its `type` is that of an entry, `stats`, `fragment` or `saved`."""

    def entry(self, entry: AnyEntry) -> None:
        self._print(entry.model_dump(mode="json"))

    def session(self, session: Session) -> None:
        self._print({"type": "stats", "session": session.model_dump(mode="json")})

    def fragment(self, fragment: LiveFragment) -> None:
        numbers = {"chunk": fragment.chunk, "first_frame": fragment.first_frame, "frames": fragment.frames}
        self._print({"type": "fragment", **numbers, "skipped": fragment.skipped, "bytes": len(fragment.data)})

    def saved(self, path: Path, saved: Saved) -> None:
        self._print({"type": "saved", "path": str(path), "frames": saved.frames, "skipped": saved.skipped})

    def _print(self, document: dict[str, Any]) -> None:
        print(json.dumps(document), flush=True)


class Terminal(Display):
    """A line for each entry on stdout, and below them on stderr how the video runs now."""

    def __init__(self) -> None:
        self._status = Status("connecting", console=Console(stderr=True))
        self._session: Session | None = None
        self._arrived: deque[tuple[float, int]] = deque()
        self._skipped = 0

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def entry(self, entry: AnyEntry) -> None:
        if (line := entry_line(entry)) is not None:
            # To a terminal above the status, which the console does; to a file as it is.
            if sys.stdout.isatty():
                self._status.console.print(line, markup=False, highlight=False)
            else:
                print(line, flush=True)

    def session(self, session: Session) -> None:
        self._session = session
        self._update()

    def fragment(self, fragment: LiveFragment) -> None:
        now = time.monotonic()
        self._arrived.append((now, fragment.frames))
        while self._arrived[0][0] < now - RATE_SECONDS:
            self._arrived.popleft()
        self._skipped += fragment.skipped
        self._update()

    def saved(self, path: Path, saved: Saved) -> None:
        missed = f", {saved.skipped} chunks missed" if saved.skipped else ""
        print(f"{path}: {saved.frames} frames{missed}", flush=True)

    def _update(self) -> None:
        parts = []
        if self._session is not None:
            parts += [status_words(self._session), f"{self._session.media_seconds:.1f} s"]
            parts += [f"{self._session.stalls} stalls"] if self._session.stalls else []
        if (rate := self._rate()) is not None:
            parts.append(f"{rate:.1f} fps received")
        if self._skipped:
            parts.append(f"{self._skipped} chunks skipped")
        self._status.update("  ".join(parts))

    def _rate(self) -> float | None:
        """Frames a second between the first and the last fragment of the last seconds."""
        if len(self._arrived) < 2:
            return None
        (start, first), (end, _) = self._arrived[0], self._arrived[-1]
        return (sum(frames for _, frames in self._arrived) - first) / max(end - start, 1e-3)


async def follow(url: str, sid: str, show: Display, out: Path | None, seconds: float | None) -> None:
    """Until the video is over, or `seconds` of it are here. Raises ServiceError, OSError."""
    async with AsyncClient(url, patience=PATIENCE) as client:
        session = client.session(sid)
        telling = asyncio.create_task(_tell(session, show))
        try:
            await _pull(session, show, out, seconds)
            if seconds is None:
                await telling
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)


async def _tell(session: AsyncSessionHandle, show: Display) -> None:
    async for update in session.updates():
        if isinstance(update, Session):
            show.session(update)
        else:
            show.entry(update)


async def _pull(session: AsyncSessionHandle, show: Display, out: Path | None, seconds: float | None) -> None:
    if out is not None:
        show.saved(out, await session.save(out, seconds, show.fragment))
        return
    async for fragment in session.fragments(seconds=seconds):
        show.fragment(fragment)
