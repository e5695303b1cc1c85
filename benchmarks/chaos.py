"""What a fault does to those who watch. `python benchmarks/chaos.py --json --plot docs/chaos.png`: half an hour.

A service of two generators and two ingresses is started and its processes are killed, stopped and replaced, fault by
fault, while live sessions are watched and steered: as many as half of one generator's measured capacity carries, with a
frame rate that makes these eight where the model allows it. Every viewer keeps all it gets, and that is decoded from
start to end afterwards.

A gap is how long a player stands still at a time that has no cushion when the fault strikes: it has just begun to play
the newest fragment. `back_seconds` is the time from a fault to the first fragment after it. The exit status is 1 if a
bar is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos_faults import FAULTS, Fault
from chaos_figures import (
    back_after,
    crowd,
    differing,
    longest_gap,
    quantiles_of,
    stale_chunks,
    stale_facts,
    with_earlier,
)
from chaos_stage import FOLLOW_UPS, GENERATORS, LOST_SECONDS, Show, Stage
from deployments.client import AsyncClient
from deployments.entries import AnyEntry, Chunk, SessionMoved
from deployments.receipts import PromptStatus
from deployments.store import connect
from deployments.timeline import CHUNKS_KEPT, Timeline
from report import emit, report, reserve_stdout, say
from steered_service import SteeredService

INCLUDES = {"dit": True, "text_encoder": True, "decode": True, "encode": True, "http": True, "display": False}
SESSIONS = 8
PENDING_SECONDS = 15.0
SETTLE_SECONDS = 1.0
_MEASURED = re.compile(r"a chunk takes ([\d.]+) s")


@dataclass(frozen=True)
class Trial:
    """One fault: when it struck, when all was as before, whom it hit, and of these what became in seconds."""

    since: float
    until: float
    hit: frozenset[str]
    lost: Mapping[str, str]
    gaps: Mapping[str, float]
    back: Mapping[str, float]


async def trial(fault: Fault, stage: Stage, draw: random.Random) -> Trial:
    """The fault once, from rest to rest."""
    await asyncio.sleep(draw.uniform(0, stage.fragment_seconds))  # at any point of a chunk's cycle
    steering = [asyncio.create_task(_steer(show, stage, draw)) for show in stage.shows]
    since = time.perf_counter()
    hit = await fault.strike(stage, draw)
    await stage.going_on(time.perf_counter())
    await asyncio.gather(*steering)
    await stage.rest()
    await asyncio.sleep(SETTLE_SECONDS)
    until = time.perf_counter()
    gaps = {
        show.session.id: max(longest_gap(viewer.arrivals, stage.fps, since, until) for viewer in show.viewers)
        for show in stage.shows
        if show.session.id in hit
    }
    for show in stage.shows:
        if show.lost is None and gaps.get(show.session.id, 0.0) > LOST_SECONDS:
            show.lost = f"nothing new for {gaps[show.session.id]:.0f} s"
    lost = {show.session.id: show.lost for show in stage.shows if show.lost}
    back = {
        show.session.id: max(back_after(viewer.arrivals, since) or until - since for viewer in show.viewers)
        for show in stage.shows
        if show.session.id in hit
    }
    kept = hit - lost.keys()
    return Trial(since, until, hit, lost, {sid: gaps[sid] for sid in kept}, {sid: back[sid] for sid in kept})


async def _steer(show: Show, stage: Stage, draw: random.Random) -> None:
    """One prompt, some time in a fragment's length: many at once would be a fault of their own."""
    await asyncio.sleep(draw.uniform(0, stage.fragment_seconds))
    await show.steer(draw.choice(FOLLOW_UPS))


async def shown(name: str, stage: Stage, sessions: int, repeats: int) -> dict[str, Any]:
    """A fault so many times, and what it did."""
    fault, draw = FAULTS[name], random.Random(name)
    trials: list[Trial] = []
    for number in range(repeats):
        await stage.rest()
        await stage.fill(sessions)
        trials.append(found := await trial(fault, stage, draw))
        gap = max(found.gaps.values(), default=0.0)
        say(f"{name} {number + 1} of {repeats}: {len(found.hit)} hit, gap {gap:.2f} s, lost {len(found.lost)}")
        for sid, why in found.lost.items():
            say(f"  {sid}: {why}")
        await stage.drop([show for show in stage.shows if show.lost])
    prompts = await asked(stage.shows)
    entries, chunks = await written(stage, [show.session.id for show in [*stage.shows, *stage.gone]])
    await stage.drop(list(stage.shows))
    shows, stage.gone = stage.gone, []
    row = row_of(fault, trials, shows, entries, chunks) | {"prompts": prompts}
    row["fault"] = fault.title
    missed = fault.bar.missed(row)
    return row | {"bar": fault.bar.text, "missed": missed, "passed": not missed}


def broken(name: str, error: Exception) -> dict[str, Any]:
    """The row of a fault of which nothing is known but that it could not be shown."""
    fault = FAULTS[name]
    said = f"{type(error).__name__}: {error}"
    return {
        "fault": fault.title,
        "repeats": 0,
        "lost": 0,
        "gap_seconds": None,
        "back_seconds": None,
        "reconnects": 0,
        "gaps": [],
        "bar": fault.bar.text,
        "missed": [said],
        "passed": False,
    }


async def asked(shows: Sequence[Show]) -> dict[str, int]:
    """What became of the prompts: of each state how many, once none waits or after PENDING_SECONDS."""
    deadline = time.perf_counter() + PENDING_SECONDS
    while True:
        receipts = [receipt for show in shows for receipt in await show.session.prompts()]
        if time.perf_counter() > deadline or not any(receipt.status.pending for receipt in receipts):
            break
        await asyncio.sleep(0.5)
    states = Counter("pending" if receipt.status.pending else receipt.status.value for receipt in receipts)
    known = {receipt.prompt_id for receipt in receipts}
    return {
        "asked": sum(len(show.prompts) + show.refused for show in shows),
        "not_accepted": sum(show.refused for show in shows),
        "applied": states[PromptStatus.applied.value],
        "forgotten": sum(prompt not in known for show in shows for prompt in show.prompts),
        "pending": states["pending"],
    }


async def written(stage: Stage, sids: Sequence[str]) -> tuple[dict[str, list[AnyEntry]], dict[str, list[Chunk]]]:
    """The timelines and the chunk streams, as the store has them."""
    async with connect(stage.store_url) as store, connect(stage.store_url, blocking=True) as blocking:
        timeline = Timeline(store, blocking)
        entries = {sid: await timeline.read(sid, limit=10_000) for sid in sids}
        chunks = {sid: await timeline.chunks(sid, limit=2 * CHUNKS_KEPT) for sid in sids}
    return entries, chunks


def row_of(
    fault: Fault,
    trials: Sequence[Trial],
    shows: Sequence[Show],
    entries: Mapping[str, Sequence[AnyEntry]],
    chunks: Mapping[str, Sequence[Chunk]],
) -> dict[str, Any]:
    viewers = [viewer for show in shows for viewer in show.viewers]
    recordings = [recording for viewer in viewers for recording in viewer.recordings]
    frames = [recording.frames(viewer.fps) for viewer in viewers for recording in viewer.recordings]
    faults = [recording.faults() for recording in recordings]
    moved = [entry for told in entries.values() for entry in told if isinstance(entry, SessionMoved)]
    return {
        "repeats": len(trials),
        "sessions": len(shows),
        "hit": sum(len(trial.hit) for trial in trials),
        "lost": sum(len(trial.lost) for trial in trials),
        "lost_because": sorted({why for trial in trials for why in trial.lost.values()}),
        "gap_seconds": quantiles_of([gap for trial in trials for gap in trial.gaps.values()]),
        "back_seconds": quantiles_of([back for trial in trials for back in trial.back.values()]),
        "whole_again_seconds": quantiles_of([trial.until - trial.since for trial in trials], 1),
        "viewers": len(viewers),
        "recordings": len(recordings),
        "reconnects": sum(viewer.reconnects for viewer in viewers),
        "fragments": sum(len(recording.arrivals) for recording in recordings),
        "frames_decoded": sum(map(len, frames)),
        "media_time_gaps": sum(
            recording.time_gaps(decoded) for recording, decoded in zip(recordings, frames, strict=True)
        ),
        "repeated_chunks": sum(fault.repeated for fault in faults),
        "missing_chunks": sum(fault.missing for fault in faults),
        "stale_appends": sum(map(stale_chunks, chunks.values())) + sum(map(stale_facts, entries.values())),
        "zombie_fragments": sum(
            differing([recording.fragments for viewer in show.viewers for recording in viewer.recordings])
            for show in shows
        ),
        "moved": dict(Counter(entry.cause for entry in moved)),
        "damage_said": sum(bool(entry.damaged) for entry in moved),
        "gaps": [round(gap, 2) for trial in trials for gap in trial.gaps.values()],
    }


async def measure(service: SteeredService, arguments: argparse.Namespace) -> dict[str, Any]:
    names = arguments.fault or list(FAULTS)
    chunk_seconds = max(map(float, _MEASURED.findall(service.output)))
    async with AsyncClient(service.url) as client:
        model = await client.model()
        crew = crowd(chunk_seconds, arguments.sessions, model.slowest_fps, model.fps)
        redis = service.redis()
        stage = Stage(
            service,
            client,
            store_url=redis["sessions"][1],
            snapshots_url=redis["snapshots"][1] if "snapshots" in redis else "",
            fps=crew.fps,
            expected={
                part: len(service.pids(part))
                for part in ("proxy", "ingress", "encoder", "text_encoder", "controller", "redis")
            },
        )
        say(f"{crew.sessions} sessions of {crew.fps} frames/s: half of what a generator carries")
        results: dict[str, Any] = {
            "model": model.name,
            "sessions": crew.sessions,
            "fps": crew.fps,
            "fragment_seconds": round(stage.fragment_seconds, 3),
            "chunk_seconds": chunk_seconds,
            "share_of_a_generator": crew.share,
            "processes": {**stage.expected, "generators": GENERATORS},
        }
        faults = {}
        for name in names:
            repeats = FAULTS[name].repeats if arguments.repeat is None else arguments.repeat
            say(f"{FAULTS[name].title}, {repeats} times")
            try:
                row = await shown(name, stage, crew.sessions, repeats)
            except Exception as error:  # the others are worth something all the same
                row = broken(name, error)
                await stage.drop(list(stage.shows))
                stage.gone.clear()
            faults[name] = row
            say(f"{name}: {'passed' if row['passed'] else '; '.join(row['missed'])}")
    return results | {"faults": faults, "passed": all(row["passed"] for row in faults.values())}


def plot(results: Mapping[str, Any], path: Path) -> None:
    """The gaps of each fault, one point for each session that it hit, and the bars."""
    from matplotlib.figure import Figure

    faults = results["faults"]
    figure = Figure(figsize=(10, 0.55 * len(faults) + 1.8), layout="constrained")
    axes = figure.subplots()
    draw = random.Random(0)
    for place, (name, row) in enumerate(reversed(faults.items())):
        gaps = row["gaps"]
        axes.plot(
            gaps, [place + draw.uniform(-0.22, 0.22) for _ in gaps], "o", markersize=3, alpha=0.5, color="#2f6fb0"
        )
        if row["gap_seconds"]:
            axes.plot([row["gap_seconds"]["p95"]] * 2, [place - 0.35, place + 0.35], color="#1b3a57", linewidth=2)
        bar = FAULTS[name].bar
        for most, style in ((bar.p95_gap, "--"), (bar.longest_gap, "-")):
            if most is not None:
                axes.plot([most] * 2, [place - 0.42, place + 0.42], style, color="#c0392b", linewidth=1.5)
    axes.set_yticks(range(len(faults)), [row["fault"] for row in reversed(faults.values())])
    axes.set(
        xlabel="seconds that a player stands still which has no cushion when the fault strikes",
        title=f"{results['sessions']} live sessions of {results['fps']} frames/s: a point for each that a fault hit.\n"
        "Blue: 95 % of them. Red: the bar, for these (dashed) or for all",
    )
    axes.set_xlim(left=-0.05)
    axes.grid(axis="x", alpha=0.25)
    figure.savefig(path, dpi=110)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--model", default="tiny", help="a preset or a folder with a model")
    parser.add_argument("--port", type=int, default=8792)
    parser.add_argument("--fault", action="append", choices=list(FAULTS), help="only this one; can be given again")
    parser.add_argument("--repeat", type=int, help="each fault so many times; not given: as often as its bar wants")
    parser.add_argument("--sessions", type=int, default=SESSIONS)
    parser.add_argument(
        "--with-earlier", type=Path, help="of the other faults, tell what this JSON of an earlier run has"
    )
    parser.add_argument("--plot", type=Path, help="draw the gaps to this file (needs matplotlib)")
    parser.add_argument("--keep-log", type=Path, help="keep what the service said in this file")
    arguments = parser.parse_args()

    out = reserve_stdout()
    say("starting the service")
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        settings = {"port": arguments.port, "model": arguments.model, "generators": GENERATORS, "ingresses": 2}
        service = SteeredService(Path(folder), settings)
        try:
            service.wait_until_ready()
            results = asyncio.run(measure(service, arguments))
        finally:
            service.stop()
            if arguments.keep_log is not None:
                arguments.keep_log.write_text(service.output)
    document = report("chaos", INCLUDES, results)
    if arguments.with_earlier is not None:
        document = with_earlier(document, json.loads(arguments.with_earlier.read_text()), FAULTS)
    emit(document, arguments.json, out)
    if arguments.plot is not None:
        plot(document["results"], arguments.plot)
    return 0 if document["results"]["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
