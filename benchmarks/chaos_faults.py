"""The faults: what each does to a stage, how often, and what may come of it at most."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from chaos_figures import UNSEEN_SECONDS, Bar
from chaos_stage import GENERATORS, Stage

STOPPED_SECONDS = 10.0
NO_GAP = f"no gap: at most {UNSEEN_SECONDS:g} s, which no player shows"


@dataclass(frozen=True)
class Fault:
    """`strike` gives the sessions that it hit; it returns when the fault itself is over."""

    title: str
    repeats: int
    bar: Bar
    strike: Callable[[Stage, random.Random], Awaitable[frozenset[str]]]


async def nothing(stage: Stage, _: random.Random) -> frozenset[str]:
    await asyncio.sleep(STOPPED_SECONDS)
    return stage.everybody()


async def kill_generator(stage: Stage, _: random.Random) -> frozenset[str]:
    pid, hit = await stage.busiest()
    os.kill(pid, signal.SIGKILL)
    return hit


async def stop_owner(stage: Stage, _: random.Random) -> frozenset[str]:
    pid, hit = await stage.busiest()
    os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(STOPPED_SECONDS)
    finally:
        os.kill(pid, signal.SIGCONT)
    return hit


async def corrupt_and_kill(stage: Stage, draw: random.Random) -> frozenset[str]:
    pid, hit = await stage.busiest()
    async with Redis.from_url(stage.snapshots_url, protocol=2) as snapshots:
        await asyncio.gather(*(damage_newest(snapshots, sid) for sid in hit))
    os.kill(pid, signal.SIGKILL)
    return hit


async def damage_newest(snapshots: Redis, sid: str) -> None:
    """Another byte in the middle of the head of the newest snapshot of a session (deployments/snapshot_history.py)."""
    key = f"{{{sid}}}:snapshots"
    names: Any = await snapshots.hkeys(key)
    heads = [name for name in names if name.startswith(b"head-")]
    newest = max(heads, key=lambda name: tuple(map(int, name.split(b"-")[1:])))
    stored: Any = await snapshots.hget(key, newest)
    head = bytearray(stored)
    head[len(head) // 2] ^= 0xFF
    await snapshots.hset(key, newest, bytes(head))


async def update(stage: Stage, draw: random.Random) -> frozenset[str]:
    """One of the generators is stopped; then every replica is replaced, and there are as many as before."""
    await asyncio.to_thread(stage.service.update, generators=1)
    await stage.rest(1)
    any_other = draw.randrange(64, 2**20)  # MiB, of which no session here has any use
    await asyncio.to_thread(stage.service.update, generators=GENERATORS, snapshot_mib=any_other)
    await stage.rest()
    return stage.everybody()


def killing(part: str) -> Callable[[Stage, random.Random], Awaitable[frozenset[str]]]:
    """A process of a part, any of them."""

    async def strike(stage: Stage, draw: random.Random) -> frozenset[str]:
        await stage.kill(part, draw.randrange(1000))
        return stage.everybody()

    return strike


def killing_redis(which: str) -> Callable[[Stage, random.Random], Awaitable[frozenset[str]]]:
    async def strike(stage: Stage, _: random.Random) -> frozenset[str]:
        pid, _url = (await asyncio.to_thread(stage.service.redis))[which]
        os.kill(pid, signal.SIGKILL)
        return stage.everybody()

    return strike


FAULTS = {
    "nothing": Fault("nothing, for comparison", 2, Bar("nothing lost"), nothing),
    "generator": Fault(
        "kill -9 of a generator, a warm one is left",
        20,
        Bar("lost 0, p95 gap at most 3 s, gapless from start to end", p95_gap=3.0),
        kill_generator,
    ),
    "stopped-owner": Fault(
        f"SIGSTOP of an owner for {STOPPED_SECONDS:g} s, then SIGCONT",
        10,
        Bar("lost 0, stale appends 0, nothing of the zombie seen"),
        stop_owner,
    ),
    "video-encoder": Fault(
        "kill -9 of the video encoder", 10, Bar("lost 0, gap at most 2 s", longest_gap=2.0), killing("encoder")
    ),
    "text-encoder": Fault(
        "kill -9 of the text encoder", 10, Bar("lost 0, gap at most 2 s", longest_gap=2.0), killing("text_encoder")
    ),
    "ingress": Fault(
        "kill -9 of an ingress, two run", 10, Bar("lost 0, gap at most 2 s", longest_gap=2.0), killing("ingress")
    ),
    "controller": Fault(
        "kill -9 of Serve's controller", 3, Bar(NO_GAP, longest_gap=UNSEEN_SECONDS), killing("controller")
    ),
    "proxy": Fault(
        "kill -9 of the HTTP proxy", 3, Bar("lost 0, back within 8 s", back=8.0, skips=True), killing("proxy")
    ),
    "redis": Fault(
        "kill -9 of the sessions' redis-server, restarted",
        5,
        Bar(f"lost 0, {NO_GAP}", longest_gap=UNSEEN_SECONDS),
        killing_redis("sessions"),
    ),
    "snapshot-redis": Fault(
        "kill -9 of the snapshots' redis-server, restarted",
        5,
        Bar(f"lost 0, {NO_GAP}", longest_gap=UNSEEN_SECONDS),
        killing_redis("snapshots"),
    ),
    "damaged-snapshot": Fault(
        "newest snapshot damaged, then kill -9 of the generator",
        3,
        Bar("lost 0, an older one is used, the timeline says so", says_damage=True),
        corrupt_and_kill,
    ),
    "update": Fault(
        "scale-down to one generator, then a rolling update of all to two",
        5,
        Bar("lost 0, p95 gap at most 1 s", p95_gap=1.0),
        update,
    ),
}
