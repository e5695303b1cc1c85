"""Generators come and go with the sessions, and no video notices: 1 to 3 and back to 1 under load.

`python benchmarks/scaling.py --json --plot docs/scaling.png`: six minutes on two cores.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx

from deployments.client import AsyncClient, AsyncSessionHandle
from deployments.client_errors import ServiceError
from deployments.operator_token import kept_token
from deployments.session import chunk_frames
from report import emit, report, reserve_stdout, say
from running_service import ServiceProcess

INCLUDES = {"decode": False, "encode": True, "http": True}
SLOTS = 2
RANGE = (1, 3)
WAVES = ((15.0, 1), (75.0, 5), (15.0, 3), (20.0, 1))
"""So many seconds with so many sessions; in the end it is waited for that the pool is small again."""

SMALL_AGAIN_SECONDS = 240
PROMPT_SECONDS = 6.0
PROMPTS = ("a red ball rolls across a field", "a blue cube spins on a table", "a green ball bounces on the sand")


@dataclass
class Watched:
    """A session with its viewer. `wanted`: seconds from asking for it to its first fragment."""

    session: AsyncSessionHandle
    asked: float
    chunks: list[int] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    over: bool = False

    async def watch(self) -> None:
        with contextlib.suppress(ServiceError):
            async for fragment in self.session.fragments(most_behind=8):
                self.chunks.append(fragment.chunk)
                self.arrivals.append(time.perf_counter())
        self.over = True

    async def steer(self) -> None:
        number = 0
        while True:
            await asyncio.sleep(PROMPT_SECONDS)
            number += 1
            with contextlib.suppress(ServiceError):  # it has just begun, or is being moved: the next one will do
                await self.session.prompt(PROMPTS[number % len(PROMPTS)])

    @property
    def missing(self) -> int:
        return sum(later - earlier - 1 for earlier, later in pairwise(self.chunks))

    def gaps(self, fps: int) -> list[float]:
        """Seconds that a player which began with the first fragment stood still before each of the others."""
        gaps, ends = [], math.inf
        for chunk, at in zip(self.chunks, self.arrivals, strict=True):
            gaps.append(max(0.0, at - ends))
            ends = (at if ends == math.inf else max(at, ends)) + chunk_frames(chunk) / fps
        return gaps[1:]


@dataclass
class Load:
    client: AsyncClient
    fps: int
    watched: list[Watched] = field(default_factory=list)
    tasks: dict[str, list[asyncio.Task[None]]] = field(default_factory=dict)
    ended: list[Watched] = field(default_factory=list)

    @property
    def live(self) -> list[Watched]:
        return [each for each in self.watched if each not in self.ended]

    async def to(self, sessions: int) -> None:
        """Begin and end sessions, one after the other, until there are so many; the oldest go first."""
        while len(self.live) < sessions:
            asked = time.perf_counter()
            each = Watched(await self.client.create(PROMPTS[0], fps=self.fps, queue=True), asked)
            self.watched.append(each)
            self.tasks[each.session.id] = [asyncio.create_task(each.watch()), asyncio.create_task(each.steer())]
        while len(self.live) > sessions:
            each = self.live[0]
            self.ended.append(each)
            watching, steering = self.tasks[each.session.id]
            steering.cancel()
            await each.session.end()
            await asyncio.wait([watching], timeout=30)

    async def results(self) -> dict[str, Any]:
        states = [await each.session.state() for each in self.watched]
        ended = [each in self.ended for each in self.watched]
        lost = [
            view.id
            for view, over in zip(states, ended, strict=True)
            if view.status.value not in (("ended",) if over else ("live",))
        ]
        gaps = [gap for each in self.watched for gap in each.gaps(self.fps)]
        begun = [each.arrivals[0] - each.asked for each in self.watched if each.arrivals]
        return {
            "sessions": len(states),
            "lost": len(lost),
            "moves": sum(view.moves for view in states),
            "fragments": sum(len(each.chunks) for each in self.watched),
            "missing_chunks": sum(each.missing for each in self.watched),
            "gap_seconds": {"p95": round(quantiles(gaps, n=20)[-1], 3), "max": round(max(gaps), 3)},
            "first_fragment_seconds": [round(seconds, 1) for seconds in begun],
        }


async def measure(url: str, token: str, fps: int) -> dict[str, Any]:
    async with AsyncClient(url) as client, httpx.AsyncClient(base_url=url, trust_env=False) as http:
        began = time.perf_counter()
        load = Load(client, fps)
        over_time: list[tuple[float, int, int]] = []

        async def look() -> int:
            """How many replicas there are."""
            answer = await http.get("/v1/replicas", headers={"Authorization": f"Bearer {token}"}, timeout=20)
            replicas = len(answer.json()["data"]) if answer.is_success else over_time[-1][1]
            over_time.append((round(time.perf_counter() - began, 1), replicas, len(load.live)))
            return replicas

        async def keep_looking() -> None:
            while True:
                await look()
                await asyncio.sleep(1)

        looking = asyncio.create_task(keep_looking())
        for seconds, sessions in WAVES:
            say(f"{sessions} sessions")
            await load.to(sessions)
            await asyncio.sleep(seconds)
        for _ in range(SMALL_AGAIN_SECONDS):
            await asyncio.sleep(1)
            if over_time[-1][1] == RANGE[0]:
                break
        await asyncio.sleep(10)
        looking.cancel()
        results = await load.results()
        await load.to(0)
        most = max(replicas for _, replicas, _ in over_time)
        replicas = {"first": over_time[0][1], "most": most, "last": over_time[-1][1]}
        as_it_should = tuple(replicas.values()) == (RANGE[0], RANGE[1], RANGE[0])
        return results | {
            "replicas": replicas,
            "passed": as_it_should and not results["lost"] and not results["missing_chunks"],
            "seconds_until_most": next(at for at, replicas, _ in over_time if replicas == most),
            "over_time": over_time,
        }


def plot(results: Mapping[str, Any], path: Path) -> None:
    """Sessions and generators over time."""
    from matplotlib.figure import Figure

    at, replicas, sessions = zip(*results["over_time"], strict=True)
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.step(at, sessions, where="post", color="#2f6fb0", linewidth=2, label="sessions")
    axes.step(at, replicas, where="post", color="#c0392b", linewidth=2, label="generators")
    axes.set(
        xlabel="seconds",
        ylim=(0, max(sessions) + 1),
        title=f"{results['sessions']} sessions, {SLOTS} to a generator: "
        f"{results['lost']} lost, {results['moves']} moved, {results['missing_chunks']} fragments missing",
    )
    axes.legend()
    axes.grid(alpha=0.25)
    figure.savefig(path, dpi=110)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--model", default="tiny", help="a preset or a folder with a model")
    parser.add_argument("--port", type=int, default=8793)
    parser.add_argument("--fps", type=int, default=4, help="of the sessions: few, for the generators share the cores")
    parser.add_argument("--plot", type=Path, help="draw sessions and generators to this file (needs matplotlib)")
    arguments = parser.parse_args()

    out = reserve_stdout()
    least, most = RANGE
    scale = {"MIN_GENERATORS": least, "GENERATORS": least, "MAX_GENERATORS": most, "SLOTS": SLOTS}
    os.environ.update({f"LONGLIVE_{name}": str(value) for name, value in scale.items()})
    say("starting the service")
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        service = ServiceProcess(arguments.port, arguments.model, Path(folder))
        try:
            service.wait_until_ready()
            token = kept_token(Path(folder) / "data").get_secret_value()
            results = asyncio.run(measure(service.url, token, arguments.fps))
        finally:
            service.stop()
    settings = {"slots": SLOTS, "range": RANGE, "fps": arguments.fps, "waves": WAVES}
    emit(report("scaling", INCLUDES, settings | results), arguments.json, out)
    if arguments.plot is not None:
        plot(results, arguments.plot)
    return 0 if results["passed"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
