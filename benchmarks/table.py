"""Writes the README's table of numbers from the JSON of the benchmarks: `python benchmarks/table.py docs/numbers`.

The folder holds what the benchmarks and `longlive eval tiny --json` printed, each file by the name of its rows in
`ROWS`; a row whose file is not there is left out.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from longlive.stream import WARMUP_LATENTS
from report import ROOT

BEGIN, END = "<!-- numbers: written by benchmarks/table.py -->", "<!-- end of numbers -->"
EVAL = "`longlive eval tiny --json`"
(
    ENGINE,
    SERVE,
    VIEWERS,
    CHAOS,
    SCALING,
    SOAK,
    LENGTH,
    WINDOW,
    SEAM,
    SNAPSHOTS,
    QUANTIZATION,
    DECODERS,
    GPU,
    SIMULATION,
    PROMPTS,
    PROMPT_PICTURES,
) = (
    f"`benchmarks/{name}.py --json`"
    for name in (
        "engine",
        "serve",
        "viewers",
        "chaos",
        "scaling",
        "soak",
        "length",
        "window",
        "seam",
        "snapshots",
        "quantization",
        "decoders",
        "gpu",
        "simulation",
        "prompts",
        "prompt_pictures",
    )
)
_LIVE = {
    "one_session": "1 live session",
    "two_sessions": "2 live sessions",
    "three_sessions": "3 live sessions asked for",
}
Rows = Iterator[tuple[str, str, str]]


def table(folder: Path) -> str:
    """The Markdown lines between the markers."""
    found = [(name, _read(folder / f"{name}.json")) for name in ROWS]
    rows = [row for name, document in found if document for row in ROWS[name](document)]
    head = ["| what | figure | command |", "| --- | --- | --- |"]
    documents = {name: document for name, document in found if document}
    return "\n".join([*head, *(f"| {' | '.join(row)} |" for row in rows), "", *_conditions(documents)])


def _engine(document: dict[str, Any]) -> Rows:
    results = document["results"]
    parts = ", ".join(
        f"{name} {1000 * results[f'{key}_seconds']['median']:.0f} ms"
        for name, key in (("DiT", "dit"), ("decode", "decode"), ("recache", "recache"))
    )
    factor = f"{results['real_time_factor']:.2f} ({results['frames_per_second']:.0f} frames/s)"
    yield "engine alone, one session, one thread: real-time factor", factor, ENGINE
    yield f"its {results['chunk_media_seconds']:g} s chunk ({results['dtype']})", parts, ENGINE


def _serve(document: dict[str, Any]) -> Rows:
    results = document["results"]
    ready = results["process"]["ready_seconds"]
    yield "`longlive serve` to ready", f"{ready:.0f} s", SERVE
    yield (
        "first fragment of a new session, at the client",
        _milliseconds(results["warm_session_first_fragment_ms"]),
        SERVE,
    )
    yield (
        "prompt accepted to first new fragment, at the client",
        _milliseconds(results["prompt"]["first_new_frame_ms"]),
        SERVE,
    )
    for name, count in _LIVE.items():
        if (part := results.get(name)) is None:
            continue
        refused = part["asked"] - part["accepted"]
        each = " + ".join(map(str, part["stalls"]))  # of each session: whether one pays for the others
        stalls = f"{each} in {part['seconds']:.0f} s" + (f", {refused} refused" if refused else "")
        yield f"stalls with {count}", stalls, SERVE
    share = f"{results['service_over_engine']:.2f} ({results['unpaced_chunks_per_second']:.1f} chunks/s)"
    yield "offline render through the service over the bare engine", share, SERVE
    reader = results["stopped_reader"]
    growth = f"{reader['proxy_and_ingress_growth_mib']:+.0f} MiB over {reader['chunks_meanwhile']} chunks"
    yield f"proxy and ingress memory, {reader['seconds']:.0f} s of a reader that stopped", growth, SERVE


def _viewers(document: dict[str, Any]) -> Rows:
    results = document["results"]
    many, each = results["many_viewers"], results["each_viewer"]
    upstreams = many["upstreams_opened"]
    late = f"{100 * many['late_or_skipped_share']:.2g} % of {many['fragments_delivered']}"
    what = f"{many['viewers']} viewers of one session, a chunk of cushion: fragments late or skipped"
    asked = f", {many['requests_per_second']['all']:.0f} requests/s"
    yield what + asked, f"{late}; {upstreams} upstream{'' if upstreams == 1 else 's'}", VIEWERS
    behind = many["behind_the_first_viewer_ms"]
    yield "a fragment behind the first viewer's", f"{behind['median']} ms (99 %: {behind['p99']})", VIEWERS
    cpu, kib = each["cores"], each["kib"]
    cost = f"{100 * cpu['all']:.2f} % of a core ({100 * cpu['proxy']:.2f} proxy, {100 * cpu['ingress']:.2f} ingress)"
    yield "each viewer's CPU in the service", cost, VIEWERS
    yield "each viewer's memory: proxy, ingress", f"{kib['proxy']} KiB, {kib['ingress']} KiB", VIEWERS
    if paused := results.get("paused"):
        cores = f"{paused['cores_with']['all']:.2f} cores, without them {paused['cores_without']['all']:.2f}"
        yield f"the service with {paused['sessions']} paused sessions", cores, VIEWERS


def _chaos(document: dict[str, Any]) -> Rows:
    results = document["results"]
    for row in results["faults"].values():
        watched = f"{results['sessions']} live sessions of {row.get('fps', results['fps'])} frames/s"
        gap, back = row["gap_seconds"], row["back_seconds"]
        seen = (
            f"gap p50 {gap['p50']:.1f} s, p95 {gap['p95']:.1f} s, worst {gap['max']:.1f} s" if gap else "none watched"
        )
        again = f", back after {back['max']:.1f} s at most" if back and row["reconnects"] else ""
        wrong = f"; missed: {', '.join(row['missed'])}" if row["missed"] else ""
        yield f"{watched}: {row['fault']}, {row['repeats']} times", f"lost {row['lost']}; {seen}{again}{wrong}", CHAOS


def _scaling(document: dict[str, Any]) -> Rows:
    results = document["results"]
    count, waits = results["replicas"], sorted(results["first_fragment_seconds"])
    what = f"{count['first']}, {count['most']}, {count['last']} generators under a load that comes and goes"
    lost = f"{results['lost']} of {results['sessions']} sessions lost, {results['missing_chunks']} fragments missing"
    gap = "gap p95 {p95:.1f} s, worst {max:.1f} s".format(**results["gap_seconds"])
    yield (
        what,
        f"{lost}; {results['moves']} moves; {gap}; first fragment after {waits[0]:.1f} to {waits[-1]:.1f} s",
        SCALING,
    )


def _soak(document: dict[str, Any]) -> Rows:
    results = document["results"]
    happened, figures = results["happened"], results["figures"]
    memory = [figure for name, figure in figures.items() if name.startswith("mib.")]
    first, last = (sum(figure[sixth] for figure in memory) for sixth in ("first_sixth", "last_sixth"))
    grows = ", ".join(results["grows"]) or f"none of {len(figures)}"
    yield (
        f"{results['minutes']:g} minutes, {happened['created']:,} sessions that come, pause, fork and go: what grows "
        "(memory of all, first and last sixth)",
        f"{grows} ({first:,.0f} MiB, {last:,.0f} MiB)",
        SOAK,
    )


def _eval(document: dict[str, Any]) -> Rows:
    low, high = document["overall_95"]
    overall = f"{document['overall']:.2f} ({low:.2f} to {high:.2f})"
    yield f"readouts that match the prompt after 3 s, {document['n']} held-out scenes", overall, EVAL
    attributes = ", ".join(f"{name} {share:.2f}" for name, share in document["attributes"].items())
    yield "each attribute", attributes, EVAL
    yield "control: another scene's prompt (blind guess)", f"{document['control']:.2f} ({document['chance']:.2f})", EVAL


def _eval_switch(document: dict[str, Any]) -> Rows:
    command = f"`longlive eval tiny --switch {document['mode']} --json`"
    for part in document["after_switch"]:
        low, high = part["changed_95"]
        changed = f"{part['changed']:.2f} ({low:.2f} to {high:.2f})"
        yield f"changed attributes that match {part['seconds']:.0f} s after a switch", changed, command


def _length(document: dict[str, Any]) -> Rows:
    results = document["results"]
    cost, rss, change = results["cost_over_young"], results["rss_mib"], results["frame_to_frame"]
    what = f"one video of {results['minutes']:.0f} minutes"
    low, high = cost["slope_per_hour_95"]
    ratio = f"{cost['first_sixth']:.3f}, {cost['last_sixth']:.3f} ({100 * low:+.1f} to {100 * high:+.1f} % an hour)"
    yield f"{what}: cost of a chunk over that of a video just begun, first and last sixth", ratio, LENGTH
    low, high = rss["slope_per_hour_95"]
    grows = f"{rss['first_sixth']:.0f} MiB, {rss['last_sixth']:.0f} MiB ({low:+.1f} to {high:+.1f} MiB an hour)"
    yield "its resident memory, first and last sixth", grows, LENGTH
    borders = f"{change['largest_at_chunk_borders']:.1f}, {change['largest_within_chunks']:.1f}"
    yield (
        f"its largest change between two frames, of 255: at chunk borders, within (a cut: "
        f"{change['hard_cut_to_another_prompt']:.1f})",
        borders,
        LENGTH,
    )
    match = results["readouts_that_match"]
    shares = f"{match['first_sixth']:.2f}, {match['last_sixth']:.2f}"
    yield "its readouts that match the prompt, first and last sixth", shares, LENGTH
    drift = f"{results['mp4']['largest_drift_seconds']:g} s over {results['mp4']['frames']} frames"
    yield "its timestamps in an mp4: largest drift", drift, LENGTH


def _window(document: dict[str, Any]) -> Rows:
    for part in document["results"]["time"]:
        last = part["ratios"][-1]
        share = f"{last['dit_over_dense']:.2f} ({last['dit_over_window_21']:.2f} of a 21-frame window)"
        yield f"window and sink over dense attention, {last['seconds']} s, {part['model']}: DiT time", share, WINDOW
    memory = document["results"]["memory"][-1]
    share = f"{memory['peak_over_dense']:.2f} ({memory['peak_over_window_21']:.2f} of a 21-frame window)"
    what = f"window and sink over dense attention, {memory['seconds']} s, {memory['model']}: peak memory, counted"
    yield what, share, WINDOW


def _seam(document: dict[str, Any]) -> Rows:
    results = document["results"]
    as_we_do = [each for each in results["restored"] if each["warmup_latents"] <= WARMUP_LATENTS]
    best = max(as_we_do, key=lambda each: each["warmup_latents"])
    likeness = f"{_decibels(best)} (hard cut: {_decibels(results['hard_cut'])})"
    what = f"restored from a snapshot, {results['scenes']} scenes: first chunk's PSNR to the uninterrupted one"
    yield what, likeness, SEAM
    change = f"{best['change_at_the_seam']:.1f}, {results['uninterrupted']['change_at_the_seam']:.1f}"
    yield "change between the two frames at the seam, of 255: restored, uninterrupted", change, SEAM


def _snapshots(document: dict[str, Any]) -> Rows:
    results = document["results"]
    for part in (results["measured"], results["longlive-1.3b"]):
        times = ", ".join(
            f"{name} {part[f'{key}_ms']['median']:.1f} ms"
            for name, key in (("taken in", "taking"), ("in Redis", "storing_redis"), ("in a folder", "storing_folder"))
        )
        share = f" ({100 * part['taking_over_chunk']:.2f} % of a chunk's time)" if "taking_over_chunk" in part else ""
        what = f"snapshot of each chunk, {part['model']} at {part['picture']}"
        yield what, f"{part['bytes_per_chunk']['median'] / 1024:.0f} KiB: {times}{share}", SNAPSHOTS
    restored = results["restored"]
    parts = ", ".join(
        f"{name} {restored[f'{key}_ms']['median']:.0f} ms"
        for name, key in (("loaded", "loading"), ("restored", "restoring"), ("first chunk", "first_chunk"))
    )
    yield f"from the history to the first frames, {results['measured']['model']}", parts, SNAPSHOTS


def _quantization(document: dict[str, Any]) -> Rows:
    results = document["results"]
    for name, scheme in results["schemes"].items():
        size = f"{scheme['longlive_1.3b_bytes'] / 1e9:.2f} GB"
        if "adherence" not in scheme:
            yield f"{name}: DiT weights of the 1.3B layout", size, QUANTIZATION
            continue
        adherence = scheme["adherence"]
        low, high = adherence["difference_points_95"]
        points = f"{adherence['difference_points']:+.2f} ({low:+.2f} to {high:+.2f}), {adherence['readouts']} readouts"
        what = f"{name}: DiT weights of the 1.3B layout; points of adherence beside {adherence['against_dtype']}"
        yield what, f"{size}; {points}", QUANTIZATION


def _decoders(document: dict[str, Any]) -> Rows:
    parts = {name: part for name, part in document["results"].items() if isinstance(part, dict)}
    for name, part in parts.items():
        if not name.startswith("wan "):
            faster = f"{part['times_as_fast_as_wan']:.1f} ({part['milliseconds']['median']:.0f} ms a chunk)"
            yield f"{name} decoder: times as fast as Wan's", faster, DECODERS


def _simulation(document: dict[str, Any]) -> Rows:
    results = document["results"]
    full, over, taken = results["full"], results["overload"], results["admission"]
    pool = f"simulated, {full['sessions_playing']:,} sessions on {full['replicas']:,} devices"
    load = full["load"]
    late = f"{full['late_chunks_per_million']:.0f}, by {1000 * full['longest_late_seconds']:.0f} ms at most,"
    yield (
        f"{pool}, load {load['mean']:.2f} ({load['min']:.2f} to {load['max']:.2f}): players that ran dry",
        f"{full['underruns']} (late at the source: {late} of a million chunks)",
        SIMULATION,
    )
    placing = full["placement_ms"]
    yield "placing one session among them, p50, p99", f"{placing['p50']:.3f} ms, {placing['p99']:.3f} ms", SIMULATION
    shares = over["stall_share"]
    fair = f"{shares['jain_on_one_device']['median']:.3f} (longest between chunks of any: "
    yield (
        f"simulated overload of {over['load']['mean']:.2f}: fairness on a device (Jain, median)",
        f"{fair}{over['longest_between_chunks_seconds']:.2f} s)",
        SIMULATION,
    )
    late, waiting = taken["late_sessions_by_a_frame"], taken["waiting_at_the_end"]
    order = taken["begun_out_of_order"]
    yield (
        "simulated, more asked for than admission takes: late sessions, begun out of order, waiting",
        f"{late}, {order}, {waiting:,}",
        SIMULATION,
    )


def _gpu(document: dict[str, Any]) -> Rows:
    for name, part in document["parts"].items():
        result = part.get("result") or {}
        if "frames_per_second" in result:
            gpu = document["hardware"]["gpu"]
            yield f"1.3B at 832x480, {gpu}, {name}, decode in", f"{result['frames_per_second']:.1f} frames/s", GPU


def _prompts(document: dict[str, Any]) -> Rows:
    results = document["results"]
    english, held_out, hostile = results["english"], results["held_out"], results["hostile"]
    for name, group in (("English requests", english), ("of them of scenes that the rules do not know", held_out)):
        yield (
            f"{group['requests']} {name}, written out by {results['backend']}: in form, scene kept, change in it",
            f"{group['conformity']:.2f}, {group['anchors_kept']:.2f}, {group['reflected']:.2f}; contradictions "
            f"{group['contradictions']}, leaks {group['leaks']}",
            PROMPTS,
        )
    yield f"leaks in {hostile['requests']} attacks", str(hostile["leaks"]), PROMPTS
    yield (
        "the time of one, p50 and p95",
        f"{english['latency_p50_ms']:.1f} ms, {english['latency_p95_ms']:.1f} ms",
        PROMPTS,
    )


def _prompt_pictures(document: dict[str, Any]) -> Rows:
    results = document["results"]
    expanded, exact, ratio = (results[name] for name in ("expanded", "exact", "ratio"))
    yield (
        f"{results['sessions']} loose follow-ups: the picture shows what was asked, and all else as before; with the "
        "exact caption",
        f"{expanded['both']:.2f}; {exact['both']:.2f} (ratio {ratio['both']:.2f})",
        PROMPT_PICTURES,
    )


ROWS = {
    "engine": _engine,
    "serve": _serve,
    "viewers": _viewers,
    "chaos": _chaos,
    "scaling": _scaling,
    "soak": _soak,
    "eval": _eval,
    "eval_switch": _eval_switch,
    "length": _length,
    "window": _window,
    "seam": _seam,
    "snapshots": _snapshots,
    "quantization": _quantization,
    "decoders": _decoders,
    "gpu": _gpu,
    "simulation": _simulation,
    "prompts": _prompts,
    "prompt_pictures": _prompt_pictures,
}


def _milliseconds(spread: dict[str, float]) -> str:
    often = f", p95 {spread['p95']:.0f}" if "p95" in spread else ""
    return f"{spread['median']:.0f} ms{often} (worst of {spread['n']}: {spread['max']:.0f})"


def _decibels(part: dict[str, Any]) -> str:
    first = part["psnr_by_chunk"][0]
    return "equal" if first is None else f"{first:.1f} dB"


def _conditions(documents: dict[str, dict[str, Any]]) -> Iterator[str]:
    if "serve" not in documents:
        return
    served = documents["serve"]
    hardware, versions, includes = served["hardware"], served["versions"], served["includes"]
    inside = ", ".join(name.replace("_", " ") for name, within in includes.items() if within)
    others = ", ".join(
        f"{name} {document['commit']}"
        for name, document in documents.items()
        if document.get("commit", served["commit"]) != served["commit"]
    )
    yield (
        f"{hardware['cpu']}, {hardware['cores']} cores, no GPU; torch {versions['torch']}, Ray {versions['ray']}; "
        f"commit {served['commit']}{f' ({others})' if others else ''}. The service's figures include: {inside}."
    )


def _read(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text()) if path.is_file() else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md")
    arguments = parser.parse_args()
    before, _, rest = arguments.readme.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    arguments.readme.write_text(f"{before}{BEGIN}\n{table(arguments.folder)}\n{END}{after}")


if __name__ == "__main__":
    main()
