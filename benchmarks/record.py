"""What a benchmark writes down on a machine that has torch and nothing else: its parts, and where they come from.

`report.py` does this for the benchmarks that run where the whole project is installed.
"""

from __future__ import annotations

import gc
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parent.parent
MIB = 2**20


class Record:
    """The document as it grows: one entry per part, written to a file each time."""

    def __init__(self, head: dict[str, Any], seconds: float, out: Path | None, device: torch.device) -> None:
        self.parts: dict[str, Any] = {}
        self._head, self._out, self._device = head, out, device
        self._start = time.perf_counter()
        self._budget = seconds
        self._running = ""
        self._lock = threading.Lock()

    def run(self, name: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
        """The result of a part, which is kept with its time and its peak of memory; none if it failed."""
        if self.spent() > self._budget:
            self._keep(name, {"error": f"not run: the {self._budget:.0f} s were spent"})
            return None
        print(f"... {name}", file=sys.stderr, flush=True)
        self._running = name
        start = time.perf_counter()
        try:
            collect(self._device)
            entry: dict[str, Any] = {"result": work(), "peak_mib": _peak_mib(self._device)}
        except Exception as error:  # whatever it is, the other parts are still worth having
            entry = {"error": f"{type(error).__name__}: {str(error).strip()[:500]}"}
            print(f"    {entry['error']}", file=sys.stderr, flush=True)
        self._keep(name, entry | {"seconds": round(time.perf_counter() - start, 2)})
        return entry.get("result")

    def spent(self) -> float:
        return time.perf_counter() - self._start

    def give_up(self) -> None:
        """End the process with what there is: a kernel that does not return can only be left behind."""
        self._keep(self._running, {"error": "did not end in time"})
        print(json.dumps(self.document(), indent=2), flush=True)
        os._exit(1)

    def document(self) -> dict[str, Any]:
        return {**self._head, "seconds": round(self.spent(), 1), "parts": self.parts}

    def _keep(self, name: str, entry: dict[str, Any]) -> None:
        with self._lock:
            self.parts = {**self.parts, name: entry}
            if self._out is not None:
                unfinished = self._out.with_suffix(".part")
                unfinished.write_text(json.dumps(self.document(), indent=2) + "\n")
                unfinished.replace(self._out)


@contextmanager
def deadline(seconds: float, late: Callable[[], None]) -> Iterator[None]:
    """Calls `late` from a thread of its own if the block takes longer."""
    timer = threading.Timer(seconds, late)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def provenance(device: torch.device) -> dict[str, Any]:
    """Where the numbers come from. Does not use what a plain torch machine lacks."""
    hardware: dict[str, Any] = {"cpu_cores": os.cpu_count(), "machine": platform.machine()}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        hardware |= {
            "gpu": properties.name,
            "capability": f"{properties.major}.{properties.minor}",
            "memory_mib": properties.total_memory // MIB,
            "multiprocessors": properties.multi_processor_count,
            "driver": _said("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"),
        }
    return {
        "command": " ".join(["python", *sys.orig_argv[1:]]),
        "commit": _said("git", "describe", "--always", "--dirty", "--abbrev=12"),
        "hardware": hardware,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": importlib.metadata.version("numpy"),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        },
    }


def collect(device: torch.device) -> None:
    """Give back what nobody holds, and count the peak of memory anew."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def _peak_mib(device: torch.device) -> float | None:
    """The most that tensors took on the device during a part; none where the device does not count."""
    return round(torch.cuda.max_memory_allocated(device) / MIB, 1) if device.type == "cuda" else None


def _said(*command: str) -> str:
    """What a command prints, `unknown` where it cannot."""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip() or "unknown"
