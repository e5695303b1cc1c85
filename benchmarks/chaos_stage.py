"""A running service with live sessions on it, each watched, on which faults are let loose."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from chaos_viewers import Puller, Reader
from deployments.client import AsyncClient, AsyncSessionHandle
from deployments.client_errors import ServiceError
from deployments.session import CHUNK_FRAMES
from steered_service import LOOK_SECONDS, STEADY_SECONDS, SteeredService

PROMPT = "a red ball moves left in the desert at night in the rain"
FOLLOW_UPS = ("a blue cube hops on the sea by day", "it starts to snow", "a green donut moves right in the city")
GENERATORS = 2
LOST_SECONDS = 30.0
LIVE_READERS = 2
"""Of so many sessions one is read as `live.mp4` too."""

FRAGMENTS_AFTER = 2
"""A session goes on when so many fragments came after the fault."""


@dataclass(eq=False)
class Show:
    """A live session and those who watch it."""

    session: AsyncSessionHandle
    viewers: Sequence[Puller | Reader]
    watching: Sequence[asyncio.Task[None]]
    prompts: list[str] = field(default_factory=list)
    refused: int = 0
    lost: str | None = None

    def over(self) -> str | None:
        return next((viewer.over for viewer in self.viewers if viewer.over), None)

    def goes_on(self, since: float) -> bool:
        """Whether every viewer has got enough after a time, and not what was on its way by then."""
        return all(sum(arrival.at > since for arrival in v.arrivals) >= FRAGMENTS_AFTER for v in self.viewers)

    async def state(self) -> str:
        """What the service says of it."""
        try:
            view = await self.session.state()
        except ServiceError as error:
            return str(error)
        return f"{view.status} {view.reason or ''}".strip()

    async def steer(self, text: str) -> None:
        try:
            self.prompts.append((await self.session.prompt(text)).prompt_id)
        except ServiceError:
            self.refused += 1

    async def close(self) -> None:
        for task in self.watching:
            task.cancel()
        await asyncio.gather(*self.watching, return_exceptions=True)
        with contextlib.suppress(ServiceError):  # it is over
            await self.session.end()


@dataclass
class Stage:
    """`expected`: how many processes each part has at rest."""

    service: SteeredService
    client: AsyncClient
    store_url: str
    snapshots_url: str
    fps: int
    expected: Mapping[str, int]
    shows: list[Show] = field(default_factory=list)
    gone: list[Show] = field(default_factory=list)

    @property
    def fragment_seconds(self) -> float:
        return CHUNK_FRAMES / self.fps

    async def fill(self, count: int) -> None:
        """Sessions and viewers until there are so many; returns when all have a picture."""
        while len(self.shows) < count:
            session = await self.client.create(PROMPT, seed=len(self.shows), fps=self.fps)
            viewers: list[Puller | Reader] = [Puller(session, self.fps)]
            if len(self.shows) % LIVE_READERS == 0:
                viewers.append(Reader(f"{self.service.url}/v1/sessions/{session.id}/live.mp4", self.fps))
            tasks = [asyncio.create_task(viewer.watch()) for viewer in viewers]
            self.shows.append(Show(session, viewers, tasks))
        began = time.perf_counter()
        await until(lambda: all(show.goes_on(began) for show in self.shows), LOST_SECONDS, "not every session began")

    async def drop(self, shows: Collection[Show]) -> None:
        """Nobody watches these any more; what was seen of them is kept."""
        for show in shows:
            self.shows.remove(show)
            self.gone.append(show)
            await show.close()

    async def owners(self) -> dict[str, str]:
        """The generator of each session."""
        views = await asyncio.gather(*(show.session.state() for show in self.shows))
        return {view.id: view.owner for view in views if view.owner}

    async def busiest(self) -> tuple[int, frozenset[str]]:
        """The process of the generator with the most sessions, and those."""
        owners = await self.owners()
        owner, _ = Counter(owners.values()).most_common(1)[0]
        pid = await asyncio.to_thread(self.service.pid_of, owner)
        if pid is None:
            raise RuntimeError(f"no process of generator {owner}")
        return pid, frozenset(sid for sid, each in owners.items() if each == owner)

    def everybody(self) -> frozenset[str]:
        return frozenset(show.session.id for show in self.shows)

    async def kill(self, part: str, which: int = 0) -> None:
        """End a process of this part as a crash would."""
        pids = sorted(await asyncio.to_thread(self.service.pids, part))
        os.kill(pids[which % len(pids)], signal.SIGKILL)

    async def rest(self, generators: int = GENERATORS) -> None:
        """Returns when every process that there should be is there, and every replica takes calls."""
        expected = {**self.expected, "generators": generators}
        async with asyncio.timeout(STEADY_SECONDS):
            while not await self._at_rest(expected):  # noqa: ASYNC110 - other processes set no event here
                await asyncio.sleep(LOOK_SECONDS)

    async def _at_rest(self, expected: Mapping[str, int]) -> bool:
        counts = await asyncio.to_thread(lambda: {part: len(self.service.pids(part)) for part in expected})
        if counts != expected:
            return False
        try:
            replicas = await asyncio.to_thread(self.service.replicas)
            await self.client.model()
        except (RuntimeError, ServiceError):
            return False
        return all(set(states) == {"RUNNING"} for states in replicas.values()) and (
            sum(replicas["Generator"].values()) == expected["generators"]
        )

    async def going_on(self, since: float) -> frozenset[str]:
        """Waits until every session does. Gives those that do not: over, or with nothing new for LOST_SECONDS."""
        with contextlib.suppress(TimeoutError):
            await until(lambda: all(show.goes_on(since) or show.over() for show in self.shows), LOST_SECONDS, "lost")
        for show in self.shows:
            if not show.goes_on(since):
                show.lost = show.over() or f"nothing new for {LOST_SECONDS:g} s: {await show.state()}"
        return frozenset(show.session.id for show in self.shows if show.lost)


async def until(holds: Callable[[], bool], seconds: float, but: str) -> None:
    """Raises TimeoutError."""
    try:
        async with asyncio.timeout(seconds):
            while not holds():  # noqa: ASYNC110 - what holds is up to many viewers
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise TimeoutError(but) from None
