"""What a client of the service sees, and what the service costs. `python benchmarks/serve.py --json`: eight minutes.

Everything runs on this machine over loopback: the service, its clients and, before it, the bare engine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import psutil

from deployments.client import AsyncClient, AsyncSessionHandle
from deployments.client_calls import SessionOptions
from deployments.client_errors import ApiError
from deployments.service import Service
from deployments.settings import load_settings
from report import ROOT, emit, report, reserve_stdout, say, spread
from running_service import ServiceProcess, part_of, resident_mib, runs

PROMPT = "a red ball moves left in the desert at night in the rain"
FOLLOW_UPS = ("a blue cube hops on the sea by day", "it starts to snow", "a green donut moves right in the city")
PATIENCE_SECONDS = 30.0
STEER_SECONDS = 5.0  # between two prompts of a session
PROMPTS = 40
SESSIONS = {"one_session": 1, "two_sessions": 2, "three_sessions": 3}
STEPS = 8
OFFLINE: SessionOptions = {"seed": 0, "pace": "offline", "max_seconds": 3600.0}  # longer than it runs here
INCLUDES = {"dit": True, "text_encoder": True, "decode": True, "encode": True, "http": True, "display": False}


@dataclass
class Viewer:
    """Pulls every fragment of a session, the newest at a time as the page does, and notes when each was all here."""

    session: AsyncSessionHandle
    arrivals: dict[int, float] = field(default_factory=dict)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def pull(self) -> None:
        async for fragment in self.session.fragments(most_behind=1):
            self.arrivals[fragment.chunk] = time.perf_counter()
            self.news.set()
        raise RuntimeError(f"the video of session {self.session.id} ended while it was measured")

    async def reached(self, chunk: int) -> float:
        """When the first fragment of at least this number came."""
        while not (there := [at for number, at in self.arrivals.items() if number >= chunk]):
            self.news.clear()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self.news.wait()
        return min(there)


@asynccontextmanager
async def watched(session: AsyncSessionHandle) -> AsyncIterator[Viewer]:
    """A viewer of a session, which ends after it. What goes wrong with the viewer is raised."""
    viewer = Viewer(session)
    try:
        async with asyncio.TaskGroup() as tasks:  # a viewer that fails ends what waits for it, with its error
            pulling = tasks.create_task(viewer.pull())
            yield viewer
            pulling.cancel()
    finally:
        await session.end()
        await session.wait("ended", "failed", timeout=PATIENCE_SECONDS)


async def first_frame(client: AsyncClient, times: int) -> dict[str, float]:
    """From sending the request for a session to holding its first fragment, milliseconds; the service is warm."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        async with watched(await client.create(PROMPT, seed=0)) as viewer:
            taken.append(1000 * (await viewer.reached(0) - start))
    return spread(taken, 0)


async def new_prompt(client: AsyncClient, times: int) -> dict[str, Any]:
    """From the answer to a prompt to holding the first fragment that follows it, milliseconds."""
    taken, answered = [], []
    async with watched(await client.create(PROMPT, seed=0)) as viewer:
        await viewer.reached(6)
        for number in range(times):
            sent = time.perf_counter()
            asked = await viewer.session.prompt(FOLLOW_UPS[number % len(FOLLOW_UPS)])
            accepted = time.perf_counter()
            answered.append(1000 * (accepted - sent))
            applied = await viewer.session.wait_applied(asked.prompt_id, timeout=PATIENCE_SECONDS)
            assert applied.chunk is not None
            taken.append(1000 * (await viewer.reached(applied.chunk) - accepted))
            # Prompts come at any point of a chunk's cycle: do not fall in step with it.
            await asyncio.sleep(0.5 + 0.13 * (number % STEPS))
    return {"first_new_frame_ms": {**spread(taken, 0), "p95": p95(taken)}, "accepted_ms": spread(answered, 0)}


def p95(values: list[float]) -> float:
    return round(quantiles(values, n=20, method="inclusive")[-1])


async def stalls(url: str, sessions: int, seconds: float) -> dict[str, Any]:
    """How often sessions that are watched and steered at the same time came too late.

    Admission decides: none were refused if `accepted` equals `asked`. `most_stalls_over_fewest` is 0 when they came
    late alike.
    """
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(AsyncClient(url, patience=0))  # who is refused does not ask again
        viewers = []
        for _ in range(sessions):
            try:
                viewers.append(await stack.enter_async_context(watched(await client.create(PROMPT, seed=0))))
            except ApiError as error:
                if error.code != "pool-full":
                    raise
        for number in range(round(seconds / STEER_SECONDS)):
            await asyncio.sleep(STEER_SECONDS)
            for viewer in viewers:
                await viewer.session.prompt(FOLLOW_UPS[number % len(FOLLOW_UPS)])
        states = [await viewer.session.state() for viewer in viewers]
    return {
        "asked": sessions,
        "accepted": len(viewers),
        "seconds": seconds,
        "stalls": (stalled := [state.stalls for state in states]),
        "most_stalls_over_fewest": max(stalled) - min(stalled),
        "media_seconds": [round(state.media_seconds, 2) for state in states],
    }


async def unpaced_rate(client: AsyncClient, seconds: float) -> float:
    """Chunks per second of an offline session: as fast as it can, encoded, recorded, and pulled over HTTP."""
    async with watched(await client.create(PROMPT, **OFFLINE)) as viewer:
        await viewer.reached(8)
        start, before = time.perf_counter(), (await viewer.session.state()).chunks
        await asyncio.sleep(seconds)
        return ((await viewer.session.state()).chunks - before) / (time.perf_counter() - start)


async def stopped_reader(client: AsyncClient, url: str, seconds: float) -> dict[str, Any]:
    """Memory of the HTTP proxy and the ingress together while a reader of `live.mp4` has stopped reading.

    The session is an offline one, so that many times more is produced than a viewer in real time would leave behind.
    """
    session = await client.create(PROMPT, **OFFLINE)
    await asyncio.sleep(3)  # the session itself has its memory by then
    way = [part_of(psutil.Process(), part) for part in ("proxy", "ingress")]
    before, chunks = sum(map(resident_mib, way)), (await session.state()).chunks
    host, port = url.removeprefix("http://").split(":")
    with socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.connect((host, int(port)))
        reader.sendall(f"GET /v1/sessions/{session.id}/live.mp4 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        reader.recv(1024)
        await asyncio.sleep(seconds)
        after, chunks = sum(map(resident_mib, way)), (await session.state()).chunks - chunks
    await session.end()
    return {
        "seconds": seconds,
        "chunks_meanwhile": chunks,
        "proxy_and_ingress_before_mib": round(before, 1),
        "proxy_and_ingress_growth_mib": round(after - before, 1),
    }


def bare_engine(model: str) -> dict[str, Any]:
    """The results of `benchmarks/engine.py` in a process of its own."""
    command = [sys.executable, str(ROOT / "benchmarks" / "engine.py"), "--json", "--model", model]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["results"]


def start_and_stop(port: int, model: str) -> dict[str, Any]:
    """`longlive serve` as a process: seconds until it says that it is ready, seconds from SIGINT until it is gone."""
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        start = time.perf_counter()
        service = ServiceProcess(port, model, Path(folder))
        try:
            service.wait_until_ready()
            ready = time.perf_counter() - start
            processes = service.processes()
            resident = sum(map(resident_mib, processes))
        finally:
            stopping = time.perf_counter()
            code = service.stop()
        return {
            "ready_seconds": round(ready, 1),
            "stop_seconds": round(time.perf_counter() - stopping, 1),
            "exit_status": code,
            "processes": len(processes),
            "resident_mib": round(resident),
            "processes_left": sum(map(runs, processes)),
        }


async def measure(url: str, seconds: float) -> dict[str, Any]:
    """Everything that needs the running service."""
    async with AsyncClient(url) as client:
        say("first frame of a warm session")
        await first_frame(client, 2)  # warms every part up
        results: dict[str, Any] = {"warm_session_first_fragment_ms": await first_frame(client, 10)}
        say("new prompts")
        results["prompt"] = await new_prompt(client, PROMPTS)
        for name, sessions in SESSIONS.items():
            say(f"{sessions} live for {seconds:g} s")
            results[name] = await stalls(url, sessions, seconds)
        say("an offline render")
        results["unpaced_chunks_per_second"] = round(await unpaced_rate(client, seconds / 2), 2)
        say(f"a reader that stops reading for {seconds:g} s")
        results["stopped_reader"] = await stopped_reader(client, url, seconds)
        return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--model", default="tiny", help="a preset or a folder with a model")
    parser.add_argument("--port", type=int, default=8790)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the longer measurements")
    arguments = parser.parse_args()

    out = reserve_stdout()
    say("start and stop")
    results: dict[str, Any] = {"process": start_and_stop(arguments.port, arguments.model)}
    say("the bare engine, before")
    before = bare_engine(arguments.model)
    say("starting the service")
    with tempfile.TemporaryDirectory(prefix="bench") as data:
        settings = load_settings(port=arguments.port, data_dir=Path(data), model=arguments.model)
        with Service(settings) as service:
            results |= asyncio.run(measure(service.url, arguments.seconds))
    say("the bare engine, after")
    after = bare_engine(arguments.model)
    # The engine before and after the service: on a machine that others use, its speed drifts.
    bare = 1 / median([before["chunk_seconds"]["median"], after["chunk_seconds"]["median"]])
    results["bare_engine_chunks_per_second"] = round(bare, 2)
    results["service_over_engine"] = round(results["unpaced_chunks_per_second"] / bare, 3)
    results["engine"] = {key: before[key] for key in ("model", "picture", "dtype", "real_time_factor")}
    emit(report("serve", INCLUDES, results), arguments.json, out)


if __name__ == "__main__":
    main()
