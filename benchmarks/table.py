"""Writes the README's table of numbers from the JSON of the benchmarks: `python benchmarks/table.py docs/numbers`.

The folder holds `engine.json`, `serve.json`, and `eval.json` and `eval_switch.json` of `longlive eval tiny --json`; a
row whose file is not there is left out.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from report import ROOT

BEGIN, END = "<!-- numbers: written by benchmarks/table.py -->", "<!-- end of numbers -->"
ENGINE, SERVE, EVAL = "`benchmarks/engine.py --json`", "`benchmarks/serve.py --json`", "`longlive eval tiny --json`"


def table(folder: Path) -> str:
    """The Markdown lines between the markers."""
    found = [(name, _read(folder / f"{name}.json")) for name in ROWS]
    rows = [row for name, document in found if document for row in ROWS[name](document)]
    head = ["| what | figure | command |", "| --- | --- | --- |"]
    measured = next((document for name, document in found if name == "serve" and document), None)
    return "\n".join([*head, *(f"| {' | '.join(row)} |" for row in rows), "", *_conditions(measured)])


def _engine(document: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    results = document["results"]
    parts = ", ".join(
        f"{name} {1000 * results[f'{key}_seconds']['median']:.0f} ms"
        for name, key in (("DiT", "dit"), ("decode", "decode"), ("recache", "recache"))
    )
    factor = f"{results['real_time_factor']:.2f} ({results['frames_per_second']:.0f} frames/s)"
    yield "engine alone, one session, one thread: real-time factor", factor, ENGINE
    yield f"its {results['chunk_media_seconds']:g} s chunk ({results['dtype']})", parts, ENGINE


def _serve(document: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
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
    for name, count in (("one_session", "1 live session"), ("two_sessions", "2 live sessions")):
        part = results[name]
        refused = part["asked"] - part["accepted"]
        stalls = f"{sum(part['stalls'])} in {part['seconds']:.0f} s" + (f", {refused} refused" if refused else "")
        yield f"stalls with {count}", stalls, SERVE
    share = f"{results['service_over_engine']:.2f} ({results['unpaced_chunks_per_second']:.1f} chunks/s)"
    yield "unpaced render through the service over the bare engine", share, SERVE
    reader = results["stopped_reader"]
    growth = f"{reader['proxy_and_ingress_growth_mib']:+.0f} MiB over {reader['chunks_meanwhile']} chunks"
    yield f"proxy and ingress memory, {reader['seconds']:.0f} s of a reader that stopped", growth, SERVE


def _eval(document: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    low, high = document["overall_95"]
    overall = f"{document['overall']:.2f} ({low:.2f} to {high:.2f})"
    yield f"readouts that match the prompt after 3 s, {document['n']} held-out scenes", overall, EVAL
    attributes = ", ".join(f"{name} {share:.2f}" for name, share in document["attributes"].items())
    yield "each attribute", attributes, EVAL
    yield "control: another scene's prompt (blind guess)", f"{document['control']:.2f} ({document['chance']:.2f})", EVAL


def _eval_switch(document: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    command = f"`longlive eval tiny --switch {document['mode']} --json`"
    for part in document["after_switch"]:
        low, high = part["changed_95"]
        changed = f"{part['changed']:.2f} ({low:.2f} to {high:.2f})"
        yield f"changed attributes that match {part['seconds']:.0f} s after a switch", changed, command


ROWS = {"engine": _engine, "serve": _serve, "eval": _eval, "eval_switch": _eval_switch}


def _milliseconds(spread: dict[str, float]) -> str:
    return f"{spread['median']:.0f} ms (worst of {spread['n']}: {spread['max']:.0f})"


def _conditions(document: dict[str, Any] | None) -> Iterator[str]:
    if document is not None:
        hardware, versions, includes = document["hardware"], document["versions"], document["includes"]
        inside = ", ".join(name.replace("_", " ") for name, within in includes.items() if within)
        yield (
            f"{hardware['cpu']}, {hardware['cores']} cores, no GPU; torch {versions['torch']}, Ray {versions['ray']}; "
            f"commit {document['commit']}. The service's figures include: {inside}."
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
