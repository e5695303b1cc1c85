"""What every benchmark says about itself: hardware, versions, commit, and what is inside its figures."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def report(name: str, includes: dict[str, bool], results: dict[str, Any]) -> dict[str, Any]:
    """A benchmark's document; `includes` says whether decode, encode and so on are in its figures."""
    return {
        "benchmark": name,
        "command": " ".join(["python", *sys.orig_argv[1:]]),
        "commit": _commit(),
        "hardware": {
            "cpu": _processor(),
            "cores": os.cpu_count(),
            "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
            "load_before": round(os.getloadavg()[0], 2),
        },
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("longlive", "torch", "ray", "av", "redis")},
        },
        "includes": includes,
        "results": results,
    }


def emit(document: dict[str, Any], as_json: bool) -> None:
    """Prints the document as JSON, or its results a line each."""
    if as_json:
        print(json.dumps(document, indent=2))
        return
    hardware = document["hardware"]
    print(f"{document['benchmark']} at {document['commit']}, {hardware['cpu']}, {hardware['cores']} cores")
    for name, value in document["results"].items():
        print(f"  {name:42} {json.dumps(value)}")


def spread(values: list[float], digits: int = 3) -> dict[str, float]:
    """Count, median and extremes."""
    return {
        "n": len(values),
        "median": round(median(values), digits),
        "min": round(min(values), digits),
        "max": round(max(values), digits),
    }


def _commit() -> str:
    git = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return git.stdout.strip() or "unknown"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
