"""Sessions come, are steered, pause, go back, fork and go: does the service grow? `python benchmarks/soak.py --json`.

An hour, or `--minutes`. Every quarter of a minute it is noted what each part of the service holds: memory (shared pages
divided among those who share them), open files, keys and bytes in Redis, objects and actors of Ray. A figure is flat if
the slope after the warm-up, or of the second half of it, is not surely (95 %) above 2 % of its mean in an hour: what
grows only to a bound, as a pool of connections does, is flat. What Redis keeps of a session for a day after its end is
kept for two minutes here, so that a day's sessions do not hide what nobody deletes. The exit status is 1 if something
grows, or a session failed.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from redis.asyncio import Redis

from deployments.client import AsyncClient, AsyncSessionHandle
from deployments.client_errors import ApiError, ServiceError
from report import emit, report, reserve_stdout, say
from running_service import PARTS, Cost
from soak_figures import aged, flat
from steered_service import SteeredService

PROMPT = "a red ball moves left in the desert at night in the rain"
FOLLOW_UPS = ("a blue cube hops on the sea by day", "it starts to snow", "a green donut moves right in the city")
INCLUDES = {"dit": True, "text_encoder": True, "decode": True, "encode": True, "http": True, "display": False}
HANDS = 4
LOOK_SECONDS = 15.0
KEPT_SECONDS = 120
WARM_SHARE = 1 / 6
MOST_WARM_MINUTES = 10.0
WAIT_SECONDS = 60.0
_BATCH = 1000


@dataclass
class Story:
    """What happened to sessions so far."""

    happened: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    over: set[str] = field(default_factory=set)
    """Sessions of which nobody wants anything any more."""


async def live(client: AsyncClient, story: Story, draw: random.Random, until: float) -> None:
    """One session after the other, each through all that can happen to one."""
    while time.monotonic() < until:
        try:
            session = await client.create(PROMPT, seed=draw.randrange(2**31), queue=True)
            story.happened["created"] += 1
            await _life(session, story, draw)
        except (ServiceError, TimeoutError) as error:
            code = error.code if isinstance(error, ApiError) else type(error).__name__
            if code == "pool-full":  # a slow machine carries fewer sessions than there are hands
                story.happened["refused: pool full"] += 1
            else:
                story.wrong[code] += 1
                say(f"wrong: {code}: {error}")
            await asyncio.sleep(1)


async def _life(session: AsyncSessionHandle, story: Story, draw: random.Random) -> None:
    watched = [session]
    try:
        await _watch(session, story, draw.uniform(2, 8))
        await session.prompt(draw.choice(FOLLOW_UPS))
        story.happened["steered"] += 1
        await _watch(session, story, draw.uniform(2, 6))
        if draw.random() < 0.5:
            await session.pause()
            await session.wait("paused", timeout=WAIT_SECONDS)
            story.happened["paused"] += 1
            await asyncio.sleep(draw.uniform(0, 3))
            await session.resume()
            story.happened["resumed"] += 1
            await _watch(session, story, draw.uniform(2, 6))
        if draw.random() < 0.5:
            await session.rewind(draw.uniform(1, 2))
            story.happened["rewound"] += 1
            await _watch(session, story, draw.uniform(2, 4))
        if draw.random() < 0.5:
            watched.append(fork := await session.fork(draw.uniform(0, 2), queue=True))
            story.happened["forked"] += 1
            await session.end()  # else all slots may be held by those who wait for one
            await _watch(fork, story, draw.uniform(2, 4))
    finally:
        for each in watched:
            await each.end()
            view = await each.wait("ended", "failed", timeout=WAIT_SECONDS)
            story.happened[view.status.value] += 1
            story.over.add(each.id)


async def _watch(session: AsyncSessionHandle, story: Story, seconds: float) -> None:
    """So many seconds of the video, from where it is."""
    chunks = (await session.state()).chunks
    async with asyncio.timeout(WAIT_SECONDS + seconds):
        async for fragment in session.fragments(after=chunks - 1, seconds=seconds):
            story.happened["fragments"] += 1
            story.happened["skipped_fragments"] += fragment.skipped


async def look(service: SteeredService, redis: Mapping[str, Redis], story: Story) -> dict[str, float]:
    """What the service holds now."""
    cost, files = await asyncio.to_thread(lambda: (Cost.of(service), _files(service)))
    point = {f"mib.{part}": value for part, value in cost.mib.items()}
    point |= {f"files.{part}": float(count) for part, count in files.items()}
    for name, server in redis.items():
        await _let_time_pass(server, story)
        used: Any = await server.info("memory")
        point[f"redis_keys.{name}"] = float(await server.dbsize())
        point[f"redis_mib.{name}"] = used["used_memory"] / 2**20
    held = await asyncio.to_thread(service.order, "ray")
    return point | {f"ray.{name}": float(count) for name, count in held.items()}


def _files(service: SteeredService) -> Counter[str]:
    files: Counter[str] = Counter(dict.fromkeys([*PARTS, "others"], 0))
    for process in service.processes():
        try:
            command, count = " ".join(process.cmdline()), process.num_fds()
        except psutil.Error:
            continue  # it ended meanwhile
        files[next((part for part, name in PARTS.items() if name in command), "others")] += count
    return files


async def _let_time_pass(server: Redis, story: Story) -> None:
    keys: list[str] = [key async for key in server.scan_iter(count=_BATCH)]
    async with server.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.ttl(key)
        lives = dict(zip(keys, await pipe.execute(), strict=True))
        for key in aged(lives, story.over, KEPT_SECONDS):
            pipe.expire(key, KEPT_SECONDS)
        await pipe.execute()


async def measure(service: SteeredService, minutes: float, hands: int) -> dict[str, Any]:
    story, began = Story(), time.monotonic()
    until = began + 60 * minutes
    urls = {name: url for name, (_, url) in service.redis().items()}
    redis = {name: Redis.from_url(url, decode_responses=True, protocol=2) for name, url in urls.items()}
    points: list[dict[str, float]] = []
    async with AsyncClient(service.url) as client, asyncio.TaskGroup() as tasks:
        for number in range(hands):
            tasks.create_task(live(client, story, random.Random(number), until))
        while (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, LOOK_SECONDS, 60 * minutes / 20))
            at = (time.monotonic() - began) / 60
            points.append({"minutes": round(at, 3), **await look(service, redis, story)})
            say(f"{at:.1f} of {minutes:g} minutes: {dict(story.happened)}")
    for server in redis.values():
        await server.aclose()
    figures = flat(points, min(MOST_WARM_MINUTES, WARM_SHARE * minutes))
    grows = [name for name, figure in figures.items() if not figure["flat"]]
    wrong = dict(story.wrong) | ({"failed": failed} if (failed := story.happened["failed"]) else {})
    return {
        "minutes": minutes,
        "hands": hands,
        "happened": dict(story.happened),
        "wrong": wrong,
        "figures": figures,
        "grows": grows,
        "passed": not grows and not wrong,
        "points": points,
    }


def plot(results: Mapping[str, Any], path: Path) -> None:
    """Every figure over time, each kind in a picture of its own."""
    from matplotlib.figure import Figure

    kinds = {
        "mib": "memory, MiB",
        "files": "open files",
        "redis_keys": "keys in Redis",
        "redis_mib": "memory of Redis by its own count, MiB",
        "ray": "Ray: actors, and objects in its store",
    }
    points = results["points"]
    minutes = [point["minutes"] for point in points]
    figure = Figure(figsize=(11, 9), layout="constrained")
    all_axes = figure.subplots(3, 2).flat
    for axes, (kind, title) in zip(all_axes, kinds.items(), strict=False):
        for name in (name for name in points[0] if name.partition(".")[0] == kind):
            axes.plot(minutes, [point[name] for point in points], label=name.partition(".")[2], linewidth=1.2)
        axes.set(title=title, xlabel="minutes")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=7, ncols=2)
    all_axes[5].axis("off")
    happened = results["happened"]
    lines = [f"{name.replace('_', ' ')}: {count:,}" for name, count in happened.items()]
    all_axes[5].text(0.05, 0.95, "\n".join(lines), va="top", family="monospace", fontsize=9)
    figure.suptitle(f"{results['minutes']:g} minutes of sessions that come, are steered, pause, go on, fork and go")
    figure.savefig(path, dpi=110)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--model", default="tiny", help="a preset or a folder with a model")
    parser.add_argument("--port", type=int, default=8793)
    parser.add_argument("--minutes", type=float, default=60.0, help="2 or more")
    parser.add_argument("--hands", type=int, default=HANDS, help="sessions at a time, and their forks")
    parser.add_argument("--plot", type=Path, help="draw it to this file (needs matplotlib)")
    arguments = parser.parse_args()

    out = reserve_stdout()
    say("starting the service")
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        settings = {"port": arguments.port, "model": arguments.model, "generators": 2, "ingresses": 2}
        service = SteeredService(Path(folder), settings)
        try:
            service.wait_until_ready()
            results = asyncio.run(measure(service, arguments.minutes, arguments.hands))
        finally:
            service.stop()
    emit(report("soak", INCLUDES, results), arguments.json, out)
    if arguments.plot is not None:
        plot(results, arguments.plot)
    return 0 if results["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
