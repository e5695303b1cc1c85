"""Ten thousand sessions on a thousand uneven devices, without a model: is anybody late, is it fair, is placing fast?

`python benchmarks/simulation.py --json --plot docs/simulation.png`. The clock is set and chunk times are drawn;
scheduler, playout clock, admission and placement are the service's own. Sessions come and go at random, pause and go on
elsewhere after a restore, switch prompts; devices differ in speed by four; replicas publish their room twice a second.
Only the time of a placement is real: that of each call of `rank` over the whole pool. Four minutes.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np

from deployments.admission import LOAD
from report import emit, report, say
from simulated_pool import EVERYBODY, Pool, Scenario
from simulator import CHUNK_SECONDS, FPS, Session

COLOURS = {"full": "#2f6fb0", "overload": "#d9792b"}
FULL, ASKED = 0.93, 1.1
"""Load of a device whose slots are all taken, so that it is 0.9 in the mean; and so many are asked for, of those."""

CUSHION = 0.4
"""Seconds that the page's player has left to play when the next fragment arrives (deployments/web/player.js)."""

SETTLED = 10
"""Chunks that a session has played before its share of stalls says anything about it."""


def scenarios(sessions: int, replicas: int, seconds: float) -> dict[str, Scenario]:
    """What each shows, by a name; how full the devices were is measured, and in the results.

    `full`: slots on each device, taken again as soon as they are free; so that `sessions` play, more are asked for.
    `overload`: whoever asks plays. `admission`: more are asked for than it takes. `tenants`: of two weights.
    """
    return {
        "full": Scenario(1.0, 0.0, round(ASKED * sessions), replicas, seconds, full=FULL, renders=1),
        "overload": Scenario(1.2, EVERYBODY, sessions, replicas, seconds, renders=1),
        "admission": Scenario(1.1, LOAD, sessions, replicas, seconds),
        "tenants": Scenario(1.2, EVERYBODY, sessions // 4, replicas // 4, seconds, tenants=True),
    }


def results_of(pool: Pool) -> dict[str, Any]:
    """What the viewers, the queue and the operator saw after the warm-up.

    `late` is what the owner counts. `underruns` are sessions whose players ran dry: late by more, all in all, than the
    cushion that a player holds.
    """
    scenario = pool.scenario
    live = [session for _, session in pool.played if session.live and session.published]
    renders = [session.published / scenario.seconds for _, session in pool.played if not session.live]
    devices = [replica.device for replica in pool.replicas.values()]
    busy = [device.busy_seconds / scenario.seconds for device in devices]
    without_renders = [device.live_seconds / scenario.seconds for device in devices]
    loads = device_loads(pool)
    fullest = max(max(replica.loads) for replica in pool.replicas.values())
    playing, waiting = (list(column) for column in zip(*pool.samples, strict=True))
    chunks, late = (sum(column) for column in zip(*((s.published, s.stalls) for s in live), strict=True))
    waits = [waited for _, waited in pool.began]
    numbers = [number for number, _ in pool.began]
    shares = stall_shares(pool)
    results: dict[str, Any] = {
        "seconds": scenario.seconds,
        "warm_seconds": scenario.warm_seconds,
        "replicas": scenario.replicas,
        "sessions_playing": round(fmean(playing)),
        "promise": None if scenario.full or scenario.promise == EVERYBODY else scenario.promise,
        "load": {**extremes(loads), "fullest_device_at_once": round(fullest, 3)},
        "device_busy": extremes(busy),
        "device_busy_without_renders": extremes(without_renders),
        "chunks": chunks,
        "late_chunks": late,
        "late_chunks_per_million": round(1e6 * late / chunks, 1),
        "longest_late_seconds": round(max(session.longest_stall for session in live), 3),
        "late_sessions": sum(session.stalls > 0 for session in live),
        "underruns": sum(session.stalled_seconds > CUSHION for session in live),
        "late_sessions_by_a_frame": sum(session.longest_stall >= 1 / FPS for session in live),
        "stall_share": {
            "n": len(shares),
            "min": round(min(shares), 4),
            "median": round(median(shares), 4),
            "max": round(max(shares), 4),
            "jain": round(jain(shares), 4),
            "jain_on_one_device": {key: round(value, 4) for key, value in within_devices(pool).items()},
        },
        "longest_between_chunks_seconds": round(max(session.longest for session in live), 3),
        "longest_between_chunks_bound_seconds": round(max(1.0, fullest) * 2 * CHUNK_SECONDS, 3),
        "begun": len(waits),
        "begun_out_of_order": sum(after < before for before, after in pairwise(numbers)),
        "waiting_at_the_end": waiting[-1],
        "waited_seconds": {"median": round(median(waits), 2), "max": round(max(waits), 2)} if waits else None,
    }
    if pool.place_ms:
        for name, times in (("placement_ms", pool.place_ms), ("placement_cpu_ms", pool.place_cpu_ms)):
            p50, p99 = np.percentile(times, [50, 99])
            results[name] = {"n": len(times), "p50": round(float(p50), 4), "p99": round(float(p99), 4)}
    if renders:
        results["renders"] = {
            "n": len(renders),
            "got_nothing": renders.count(0),
            "chunks_per_second": extremes(renders),
        }
    if scenario.tenants:
        results["seconds_late_by_weight"] = {
            f"{weight:g}": round(fmean(lateness(s) for s in live if s.weight == weight), 4) for weight in (1.0, 2.0)
        }
    return results


def device_loads(pool: Pool) -> list[float]:
    """Of each device in the mean over time, by the sessions that played on it, without their switches and restores."""
    return [fmean(replica.loads) for replica in pool.replicas.values()]


def extremes(values: list[float]) -> dict[str, float]:
    return {"min": round(min(values), 3), "mean": round(fmean(values), 3), "max": round(max(values), 3)}


def stall_share(session: Session) -> float:
    """Of the time that its viewers watched."""
    return session.stalled_seconds / (session.stalled_seconds + session.published * CHUNK_SECONDS)


def stall_shares(pool: Pool) -> list[float]:
    return [stall_share(session) for _, session in pool.played if session.live and session.published >= SETTLED]


def lateness(session: Session) -> float:
    """Mean seconds that a chunk came late."""
    return session.stalled_seconds / session.published


def jain(shares: list[float]) -> float:
    """Jain's index of fairness: 1 when all are equal, 1/n when one has everything."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 1.0


def within_devices(pool: Pool) -> dict[str, float]:
    """Fairness among those that share a device; between devices it is a matter of placement."""
    together: defaultdict[str, list[float]] = defaultdict(list)
    for name, session in pool.played:
        if session.live and session.published >= SETTLED:
            together[name].append(stall_share(session))
    indices = [jain(shares) for shares in together.values() if len(shares) > 1]
    return {"median": median(indices), "min": min(indices)}


def plot(pools: dict[str, Pool], path: Path) -> None:
    """Loads of the devices, stalls and waits of the sessions, and what a weight is worth."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7.5), layout="constrained")
    (loads, stalls), (waits, weights) = figure.subplots(2, 2)
    for name, colour in COLOURS.items():
        pool = pools[name]
        live = [session for _, session in pool.played if session.live and session.published >= SETTLED]
        found = device_loads(pool)
        name = f"{name}: load {fmean(found):.2f} ({min(found):.2f} to {max(found):.2f})"
        loads.hist(found, bins=np.arange(0.5, 1.8, 0.01), color=colour, label=name)
        shares = [100 * share for share in stall_shares(pool)]
        stalls.hist(shares, bins=np.arange(0, 40, 0.5), color=colour, alpha=0.85, label=name)
        waits.hist([s.longest for s in live], bins=np.arange(0.6, 2.4, 0.02), color=colour, alpha=0.85, label=name)
    loads.axvline(1, color="grey", linestyle="--", linewidth=1)
    loads.set(title="Devices, by the mean load of the sessions on them", xlabel="load", ylabel="devices")
    stalls.set(
        title="Sessions, by the share of time that they stood still", xlabel="%", ylabel="sessions", yscale="log"
    )
    waits.axvline(CHUNK_SECONDS, color="grey", linestyle="--", linewidth=1)
    waits.set(
        title=f"Sessions, by the longest time between two chunks (of {CHUNK_SECONDS:g} s)",
        xlabel="seconds",
        ylabel="sessions",
    )
    late: defaultdict[str, dict[float, list[float]]] = defaultdict(lambda: {1.0: [], 2.0: []})
    for device, session in pools["tenants"].played:
        late[device][session.weight].append(lateness(session))
    both = [(by[1.0], by[2.0]) for by in late.values() if all(by.values())]
    # A session's share is its tenant's weight over the number of its tenant's sessions beside it.
    expected = [len(two) / 2 / len(one) for one, two in both]
    weights.plot([0, 2], [0, 2], color="grey", linestyle="--", linewidth=1, label="as the weights say")
    weights.plot(expected, [fmean(two) / fmean(one) for one, two in both], ".", color="#5b7f3a", label="a device")
    weights.set(
        title=f"Tenants of weight 1 and 2, load {fmean(device_loads(pools['tenants'])):.2f}: ratio of lateness",
        xlabel="as the weights say, by the number of each tenant's sessions",
        ylabel="as it was",
        xlim=(0, 2),
        ylim=(0, 2),
    )
    for axes in (loads, stalls, waits, weights):
        axes.grid(alpha=0.25)
        axes.set_axisbelow(True)
        axes.legend(frameon=False)
    full = pools["full"]
    playing = fmean(sessions for sessions, _ in full.samples)
    figure.suptitle(f"{playing:,.0f} sessions on {full.scenario.replicas:,} uneven devices, simulated")
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--sessions", type=int, default=10_000, help="that play at a time")
    parser.add_argument("--replicas", type=int, default=1000, help="10 or more")
    parser.add_argument("--seconds", type=float, default=40.0, help="15 or more, after a warm-up of 20")
    parser.add_argument("--plot", type=Path, help="draw it to this file (needs matplotlib)")
    arguments = parser.parse_args()
    pools: dict[str, Pool] = {}
    results: dict[str, Any] = {}
    for name, scenario in scenarios(arguments.sessions, arguments.replicas, arguments.seconds).items():
        began = time.perf_counter()
        pools[name] = Pool(scenario)
        results[name] = results_of(pools[name])
        say(f"{name}: {time.perf_counter() - began:.0f} s")
    includes = {"dit": False, "decode": False, "encode": False, "http": False}
    emit(report("simulation", includes, results), arguments.json)
    if arguments.plot is not None:
        plot(pools, arguments.plot)


if __name__ == "__main__":
    main()
