"""What viewers and paused sessions cost the service. `python benchmarks/viewers.py --json`, five minutes.

Many viewers watch one session from one light process beside the service on this machine. Each asks for what an open
page asks for: fragments just in time, the session once a second, its timeline when there is news, small pictures every
three seconds. Each plays with a cushion of one chunk: it starts that long after its first fragment came. A fragment is
late when it comes after its first frame is due there; what it missed by, the viewer waits, so that the next is due so
much later.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from deployments.session import CHUNK_FRAMES
from report import emit, report, reserve_stdout, say
from running_service import Cost, ServiceProcess

PROMPT = "a red ball moves left in the desert at night in the rain"
PAUSE_SECONDS = 60.0
HANDS = 8  # sessions that are begun at a time: as many as there may be slots, or a few more
INCLUDES = {"dit": True, "text_encoder": True, "decode": True, "encode": True, "http": True, "display": False}

# The page's way of pulling, deployments/web/pull.js.
EARLY_SECONDS = 0.12
WAIT_SECONDS = 1.2
AT_ONCE_SECONDS = 0.06
CATCH_UP = 0.15

# And of following the session, feed.js and watch.js.
FEED_SECONDS = 1.0
THUMBNAILS_SECONDS = 3.0
LATE_CHUNKS = 12


class Connection(asyncio.Protocol):
    """HTTP/1.1 that is kept alive, one GET at a time, and no more than a benchmark needs of it."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._answer: asyncio.Future[tuple[int, dict[bytes, bytes], bytes]] | None = None
        self._transport: asyncio.Transport | None = None

    async def get(self, url: httpx.URL, path: str) -> tuple[int, dict[bytes, bytes], bytes]:
        loop = asyncio.get_running_loop()
        if self._transport is None or self._transport.is_closing():
            await loop.create_connection(lambda: self, url.host, url.port or 80)
        assert self._transport is not None
        self._answer = loop.create_future()
        self._transport.write(f"GET {path} HTTP/1.1\r\nHost: {url.host}\r\n\r\n".encode())
        return await self._answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            return
        first, *lines = bytes(self._data[:end]).lower().split(b"\r\n")
        headers = dict(line.split(b": ", 1) for line in lines)
        status = int(first.split()[1])
        size = 0 if status == 204 else int(headers[b"content-length"])
        if len(self._data) < end + 4 + size:
            return
        body = bytes(self._data[end + 4 : end + 4 + size])
        del self._data[: end + 4 + size]
        if self._answer and not self._answer.done():
            self._answer.set_result((status, headers, body))

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_exception(error or ConnectionResetError())


@dataclass
class Viewer:
    """Somebody with the page of one session open, and what became of the fragments there."""

    url: httpx.URL
    path: str
    fps: int
    requests: Counter[str] = field(default_factory=Counter)
    arrivals: dict[int, float] = field(default_factory=dict)
    late: set[int] = field(default_factory=set)
    skipped: int = 0
    empty: int = 0
    _started: float | None = None
    _chunks: int = -1

    async def watch(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for part in (self._pull(), self._follow(), self._look()):
                tasks.create_task(part)

    async def _get(self, connection: Connection, what: str, path: str) -> tuple[int, dict[bytes, bytes], bytes]:
        self.requests[what] += 1
        status, headers, body = await connection.get(self.url, path)
        if status not in (httpx.codes.OK, httpx.codes.NO_CONTENT):
            raise RuntimeError(f"GET {path}: {status}")
        return status, headers, body

    async def _follow(self) -> None:
        """feed.js: the session, and its timeline where that has grown."""
        connection, cursor, read = Connection(), "", ""
        while True:
            session = json.loads((await self._get(connection, "session", self.path))[2])
            self._chunks = session["chunks"]
            while read != session["last_event_id"]:
                path = f"{self.path}/timeline?limit=200&after={cursor}"
                page = json.loads((await self._get(connection, "timeline", path))[2])
                cursor = page["next"] or cursor
                if not page["has_more"]:
                    read = session["last_event_id"]
            await asyncio.sleep(FEED_SECONDS)

    async def _look(self) -> None:
        """watch.js: the list of small pictures when there are new chunks, and each picture once."""
        connection, known, chunks = Connection(), {-1}, -1
        while True:
            if chunks != self._chunks:
                chunks = self._chunks
                path = f"{self.path}/thumbnails?after={max(-1, max(known) - LATE_CHUNKS)}"
                for thumbnail in json.loads((await self._get(connection, "thumbnails", path))[2])["data"]:
                    if thumbnail["chunk"] not in known:
                        known.add(thumbnail["chunk"])
                        await self._get(connection, "pictures", f"{self.path}/thumbnails/{thumbnail['chunk']}.webp")
            await asyncio.sleep(THUMBNAILS_SECONDS)

    async def _pull(self) -> None:
        """pull.js."""
        connection, last, due, quickest = Connection(), -1, 0.0, float("inf")
        while True:
            await asyncio.sleep(max(0.0, due - EARLY_SECONDS - time.perf_counter()))
            asked = time.perf_counter()
            path = f"{self.path}/fragments?after={last}&wait={WAIT_SECONDS}"
            status, headers, _ = await self._get(connection, "fragments", path)
            arrived = time.perf_counter()
            took = arrived - asked
            quickest = min(quickest * 1.02, took)
            if status == httpx.codes.NO_CONTENT:
                self.empty += 1
                continue
            number, first = int(headers[b"x-fragment"]), int(headers[b"x-first-frame"])
            length = int(headers[b"x-frames"]) / self.fps
            self._take(number, first / self.fps, arrived)
            self.skipped += 0 if last < 0 else number - last - 1
            due = arrived + length if took > quickest + AT_ONCE_SECONDS else asked + length * (1 - CATCH_UP)
            last = number

    def _take(self, number: int, media: float, arrived: float) -> None:
        self.arrivals[number] = arrived
        if self._started is None:
            self._started = arrived + CHUNK_FRAMES / self.fps - media
        elif (late_by := arrived - (self._started + media)) > 0:
            self.late.add(number)
            self._started += late_by


@contextlib.asynccontextmanager
async def watched(
    http: httpx.AsyncClient, count: int, spread_seconds: float
) -> AsyncIterator[tuple[str, list[Viewer]]]:
    """A session with so many viewers, who come one after the other; it ends after them."""
    session, token = await create(http)
    viewers = [Viewer(http.base_url, f"/v1/sessions/{session['id']}", session["fps"]) for _ in range(count)]
    try:
        async with asyncio.TaskGroup() as tasks:  # a viewer that fails ends the measurement, with its error
            pulling = []
            for viewer in viewers:
                pulling.append(tasks.create_task(viewer.watch()))
                await asyncio.sleep(spread_seconds / count)
            yield session["id"], viewers
            for task in pulling:
                task.cancel()
    finally:
        await http.delete(f"/v1/sessions/{session['id']}", headers=token)


async def create(http: httpx.AsyncClient) -> tuple[dict[str, Any], dict[str, str]]:
    """A new session and the header that steers it. Waits while the service is full."""
    while True:
        answer = await http.post("/v1/sessions", json={"prompt": PROMPT, "seed": 0})
        if answer.status_code == httpx.codes.CREATED:
            session = answer.json()
            return session, {"Authorization": f"Bearer {session['control_token']}"}
        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            raise RuntimeError(f"POST /v1/sessions: {answer.status_code} {answer.text}")
        await asyncio.sleep(0.2)


async def crowd(http: httpx.AsyncClient, service: ServiceProcess, count: int, seconds: float) -> dict[str, Any]:
    """So many viewers of one session for so long, counted and measured once all are there."""
    upstreams = service.output.count("upstream opened")
    async with watched(http, count, spread_seconds=min(5.0, count / 20)) as (sid, viewers):
        await asyncio.sleep(3)
        for viewer in viewers:
            viewer.arrivals.clear()
            viewer.late.clear()
            viewer.requests.clear()
            viewer.skipped = viewer.empty = 0
        chunks = (await http.get(f"/v1/sessions/{sid}")).json()["chunks"]
        before, client = Cost.of(service), time.process_time()
        await asyncio.sleep(seconds)
        after, client = Cost.of(service), time.process_time() - client
        session = (await http.get(f"/v1/sessions/{sid}")).json()
        chunks = session["chunks"] - chunks
        came = sum(len(viewer.arrivals) for viewer in viewers)
        late = sum(len(viewer.late) for viewer in viewers)
        skipped = sum(viewer.skipped for viewer in viewers)
        empty = sum(viewer.empty for viewer in viewers)
        requests = sum((viewer.requests for viewer in viewers), Counter[str]())
        behind = _behind_the_first(viewers)
    span = after.at - before.at
    return {
        "viewers": count,
        "seconds": round(span, 1),
        "requests_per_second": {what: round(number / span, 2) for what, number in sorted(requests.items())}
        | {"all": round(requests.total() / span, 1)},
        "chunks": chunks,
        "fragments_delivered": came,
        "upstreams_opened": service.output.count("upstream opened") - upstreams,
        "encoder_cpu_ms_per_chunk": round(1000 * (after.seconds["encoder"] - before.seconds["encoder"]) / chunks, 1),
        "late_or_skipped_share": round((late + skipped) / max(1, came + skipped), 5),
        "late": late,
        "skipped": skipped,
        "empty_answers": empty,
        "behind_the_first_viewer_ms": {"median": round(median(behind)), "p99": round(behind[int(0.99 * len(behind))])},
        "stalls": session["stalls"],
        "cores": before.cores(after),
        "mib": {part: round(value, 1) for part, value in after.mib.items()},
        "client_cores": round(client / span, 3),
    }


def _behind_the_first(viewers: list[Viewer]) -> list[float]:
    """How much later than the first viewer each one had a fragment, milliseconds, sorted."""
    first: dict[int, float] = {}
    for viewer in viewers:
        for number, at in viewer.arrivals.items():
            first[number] = min(first.get(number, at), at)
    return sorted(1000 * (at - first[number]) for viewer in viewers for number, at in viewer.arrivals.items())


def per_viewer(one: dict[str, Any], many: dict[str, Any]) -> dict[str, Any]:
    """What each viewer after the first one costs."""
    more = many["viewers"] - one["viewers"]
    return {
        "cores": {
            part: round((many["cores"][part] - one["cores"][part]) / more, 5) for part in ("proxy", "ingress", "all")
        },
        "kib": {part: round(1024 * (many["mib"][part] - one["mib"][part]) / more) for part in ("proxy", "ingress")},
    }


async def pause_many(http: httpx.AsyncClient, count: int) -> None:
    """So many sessions that have begun and are paused."""
    left = iter(range(count))

    async def work() -> None:
        for _ in left:
            session, token = await create(http)
            path = f"/v1/sessions/{session['id']}"
            await _until(http, path, "live")  # a video that has not begun cannot pause
            (await http.post(f"{path}/pause", headers=token)).raise_for_status()
            await _until(http, path, "paused")

    await asyncio.gather(*(work() for _ in range(HANDS)))


async def _until(http: httpx.AsyncClient, path: str, status: str) -> None:
    async with asyncio.timeout(PAUSE_SECONDS):
        while True:
            if (await http.get(path)).json()["status"] == status:
                return
            await asyncio.sleep(0.1)


async def idle(service: ServiceProcess, seconds: float) -> tuple[dict[str, float], dict[str, float]]:
    """Cores and MiB of a service that nobody asks for anything."""
    await asyncio.sleep(5)
    before = Cost.of(service)
    await asyncio.sleep(seconds)
    after = Cost.of(service)
    return before.cores(after), after.mib


async def measure(service: ServiceProcess, arguments: argparse.Namespace) -> dict[str, Any]:
    results: dict[str, Any] = {}
    async with httpx.AsyncClient(base_url=service.url, timeout=60) as http:
        say("warming up")
        await crowd(http, service, 5, 5)
        for name, count in (("one_viewer", 1), ("many_viewers", arguments.viewers)):
            say(f"{count} viewers for {arguments.seconds:g} s")
            results[name] = await crowd(http, service, count, arguments.seconds)
        results["each_viewer"] = per_viewer(results["one_viewer"], results["many_viewers"])
        if arguments.paused:
            say(f"nothing for {arguments.seconds:g} s")
            without, mib_without = await idle(service, arguments.seconds)
            say(f"{arguments.paused} sessions are begun and paused")
            begun = time.perf_counter()
            await pause_many(http, arguments.paused)
            took = time.perf_counter() - begun
            say(f"they do nothing for {arguments.seconds:g} s")
            with_them, mib_with = await idle(service, arguments.seconds)
            results["paused"] = {
                "sessions": arguments.paused,
                "begun_and_paused_per_second": round(arguments.paused / took, 2),
                "cores_without": without,
                "cores_with": with_them,
                "kib_each": {
                    part: round(1024 * (mib_with[part] - mib_without[part]) / arguments.paused, 1) for part in mib_with
                },
            }
    return results


@contextlib.contextmanager
def running(arguments: argparse.Namespace) -> Iterator[ServiceProcess]:
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        service = ServiceProcess(arguments.port, arguments.model, Path(folder))
        try:
            service.wait_until_ready()
            yield service
        finally:
            service.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--model", default="tiny", help="a preset or a folder with a model")
    parser.add_argument("--port", type=int, default=8791)
    parser.add_argument("--viewers", type=int, default=200)
    parser.add_argument("--paused", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=30.0, help="length of each measurement")
    arguments = parser.parse_args()

    out = reserve_stdout()
    say("starting the service")
    with running(arguments) as service:
        results = asyncio.run(measure(service, arguments))
    emit(report("viewers", INCLUDES, results), arguments.json, out)


if __name__ == "__main__":
    main()
