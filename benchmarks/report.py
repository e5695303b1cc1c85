"""What every benchmark says about itself: hardware, versions, commit, and what is inside its figures."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from statistics import median
from typing import Any, TextIO

from deployments.cli_report import provenance

ROOT = Path(__file__).resolve().parent.parent
LOAD_BEFORE = os.getloadavg()[0]  # of the machine when the benchmark began; its own load comes on top


def report(name: str, includes: dict[str, bool], results: dict[str, Any]) -> dict[str, Any]:
    """A benchmark's document; `includes` says whether decode, encode and so on are in its figures."""
    return {
        "benchmark": name,
        "command": " ".join(["python", *sys.orig_argv[1:]]),
        **provenance(),
        "load_before": round(LOAD_BEFORE, 2),
        "includes": includes,
        "results": results,
    }


def emit(document: dict[str, Any], as_json: bool, out: TextIO = sys.stdout) -> None:
    """Prints the document as JSON, or its results a line each."""
    if as_json:
        print(json.dumps(document, indent=2), file=out)
        return
    hardware = document["hardware"]
    print(f"{document['benchmark']} at {document['commit']}, {hardware['cpu']}, {hardware['cores']} cores", file=out)
    for name, value in document["results"].items():
        print(f"  {name:42} {json.dumps(value)}", file=out)


def say(step: str) -> None:
    """Progress, for the one who waits."""
    print(f"... {step}", file=sys.stderr, flush=True)


def reserve_stdout() -> TextIO:
    """The real standard output, for `emit`. What anything else prints to it from now on, Ray above all, is an aside."""
    real = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return real


def spread(values: list[float], digits: int = 3) -> dict[str, float]:
    """Count, median and extremes."""
    return {
        "n": len(values),
        "median": round(median(values), digits),
        "min": round(min(values), digits),
        "max": round(max(values), digits),
    }
