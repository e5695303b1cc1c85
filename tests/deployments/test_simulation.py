"""A pool of uneven devices, simulated: what the benchmark says of ten thousand sessions holds for some hundred."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deployments.admission import LOAD
from simulated_pool import EVERYBODY, Pool, Scenario
from simulation import FULL, results_of, scenarios

ROOT = Path(__file__).parent.parent.parent


def simulated(load: float, promise: float, **more: Any) -> dict[str, Any]:
    return results_of(Pool(Scenario(load, promise, sessions=160, replicas=16, seconds=30.0, **more)))


@pytest.mark.parametrize("renders", [0, 1])
def test_where_admission_takes_up_to_nine_tenths_nobody_is_late_and_renders_go_on_in_the_gaps(renders: int) -> None:
    results = simulated(0.95, 0.9, renders=renders)
    assert results["load"]["mean"] > 0.8
    assert results["chunks"] > 4000
    assert results["late_sessions_by_a_frame"] == 0
    if renders:
        assert results["renders"]["got_nothing"] == 0
        assert results["renders"]["chunks_per_second"]["mean"] > 0.5
        assert results["device_busy"]["mean"] > 0.95


def test_at_a_load_of_nine_tenths_on_every_device_hardly_a_chunk_is_late() -> None:
    results = results_of(Pool(scenarios(sessions=160, replicas=16, seconds=30.0)["full"]))
    load = results["load"]
    assert load["mean"] == pytest.approx(0.9, abs=0.02)
    assert load["min"] > 0.85
    assert load["fullest_device_at_once"] == pytest.approx(FULL)
    assert results["device_busy_without_renders"]["mean"] > load["mean"]  # switches and restores come on top
    assert results["late_chunks_per_million"] < 500
    assert results["longest_late_seconds"] < 0.25


def test_at_load_one_and_a_fifth_everybody_is_late_alike_and_nobody_starves() -> None:
    results = simulated(1.2, EVERYBODY, renders=1)
    assert results["load"]["mean"] == pytest.approx(1.2, abs=0.05)
    assert results["device_busy"]["mean"] > 0.97
    assert results["stall_share"]["jain_on_one_device"]["median"] > 0.97
    assert results["longest_between_chunks_seconds"] < results["longest_between_chunks_bound_seconds"]
    assert results["renders"]["got_nothing"] > 0  # there are no gaps, and it is said


def test_who_is_offered_too_much_takes_what_plays_in_time_and_the_others_begin_in_order() -> None:
    results = simulated(1.3, LOAD)
    assert results["late_sessions_by_a_frame"] == 0
    assert results["load"]["fullest_device_at_once"] < 0.9
    assert results["waiting_at_the_end"] > 0
    assert results["begun"] > 20
    assert results["begun_out_of_order"] == 0


def test_the_benchmark_prints_its_scenarios_and_draws_them(tmp_path: Path) -> None:
    plot = tmp_path / "simulation.png"
    command = [sys.executable, ROOT / "benchmarks" / "simulation.py", "--json", "--plot", plot]
    size = ("--sessions", "100", "--replicas", "10", "--seconds", "15")
    done = subprocess.run([*command, *size], check=True, capture_output=True, text=True, cwd=ROOT)
    document = json.loads(done.stdout)
    assert list(document["results"]) == ["full", "overload", "admission", "tenants"]
    assert document["includes"]["dit"] is False
    assert plot.read_bytes().startswith(b"\x89PNG")
