from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BENCHMARKS = ROOT / "benchmarks"


def run(*arguments: object) -> str:
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_the_engine_benchmark_says_what_it_measured_and_on_what(untrained_folder: Path) -> None:
    document = json.loads(run(BENCHMARKS / "engine.py", "--json", "--chunks", 4, "--model", untrained_folder))
    results = document["results"]
    assert results["model"] == "untrained"
    assert results["threads"] == 1
    assert results["real_time_factor"] > 0
    assert results["chunk_seconds"]["n"] == results["dit_seconds"]["n"] == 4
    assert document["includes"] == {"dit": True, "decode": True, "encode": False, "http": False}
    assert document["hardware"]["cores"] >= 1
    assert document["versions"]["torch"].startswith("2.13")
    assert document["commit"]


def test_the_decoder_benchmark_compares_every_decoder_in_every_plain_format() -> None:
    document = json.loads(run(BENCHMARKS / "decoders.py", "--json", "--chunks", 2))
    results = document["results"]
    assert (results["picture"], results["frames"], results["threads"]) == ("64x64", 12, 1)
    for dtype in ("float32", "bfloat16"):
        assert results[f"wan {dtype}"]["times_as_fast_as_wan"] == 1
        for name in ("light", "tiny"):
            assert results[f"{name} {dtype}"]["milliseconds"]["n"] == 2
            assert results[f"{name} {dtype}"]["times_as_fast_as_wan"] > 0
    assert document["includes"]["dit"] is False


def test_the_readme_table_is_made_of_what_the_benchmarks_printed(tmp_path: Path) -> None:
    times = {"n": 3, "median": 123.4, "min": 100.0, "max": 234.5}
    live = {"asked": 2, "accepted": 1, "seconds": 60.0, "stalls": [3], "media_seconds": [60.0]}
    serve = {
        "commit": "abc123",
        "hardware": {"cpu": "Abacus", "cores": 2},
        "versions": {"torch": "2.13.0", "ray": "2.60.0"},
        "includes": {"decode": True, "encode": True, "display": False},
        "results": {
            "process": {"ready_seconds": 21.4},
            "warm_session_first_fragment_ms": times,
            "prompt": {"first_new_frame_ms": times},
            "one_session": live | {"asked": 1},
            "two_sessions": live,
            "unpaced_chunks_per_second": 9.87,
            "service_over_engine": 0.81,
            "stopped_reader": {"seconds": 60.0, "chunks_meanwhile": 500, "proxy_and_ingress_growth_mib": 1.6},
        },
    }
    (tmp_path / "serve.json").write_text(json.dumps(serve))
    readme = tmp_path / "README.md"
    text = (ROOT / "README.md").read_text()
    readme.write_text(text)
    run(BENCHMARKS / "table.py", tmp_path, "--readme", readme)
    written = readme.read_text()
    for said in (
        "| 21 s |",
        "| 123 ms (worst of 3: 234) |",
        "| 3 in 60 s, 1 refused |",
        "0.81 (9.9 chunks/s)",
        "+2 MiB",
    ):
        assert said in written
    assert "Abacus, 2 cores" in written
    assert "decode, encode." in written
    assert written.partition("## Numbers")[0] == text.partition("## Numbers")[0]
    assert written.partition("<!-- end of numbers -->")[2] == text.partition("<!-- end of numbers -->")[2] != ""
    run(BENCHMARKS / "table.py", tmp_path, "--readme", readme)
    assert readme.read_text() == written
