from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from longlive.config import ModelConfig, TransformerConfig
from longlive.model import build_video_model
from longlive.precision import Precision

ROOT = Path(__file__).resolve().parent.parent
BENCHMARKS = ROOT / "benchmarks"


def run(*arguments: object) -> str:
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout


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


def test_the_snapshot_benchmark_says_what_each_chunk_adds_and_what_the_published_model_s_would(
    untrained_folder: Path, tmp_path: Path
) -> None:
    arguments = ("--json", "--chunks", 2, "--restores", 1, "--model", untrained_folder)
    written = run(BENCHMARKS / "snapshots.py", *arguments)
    results = json.loads(written)["results"]
    for name, latents in (("measured", 3 * 16 * 8 * 8), ("longlive-1.3b", 3 * 16 * 60 * 104)):
        part = results[name]
        assert 2 * latents < part["bytes_per_chunk"]["median"] < 4 * latents + 4096
        assert part["taking_ms"]["n"] == part["storing_redis_ms"]["n"] == part["storing_folder_ms"]["n"] == 2
    assert results["longlive-1.3b"]["bytes_whole"] > 5 * 2 * 3 * 16 * 60 * 104
    assert results["restored"]["all_ms"]["n"] == 1
    (tmp_path / "snapshots.json").write_text(written)
    (tmp_path / "README.md").write_text("<!-- numbers: written by benchmarks/table.py -->\n<!-- end of numbers -->\n")
    run(BENCHMARKS / "table.py", tmp_path, "--readme", tmp_path / "README.md")
    table = (tmp_path / "README.md").read_text()
    assert re.search(r"\| snapshot of each chunk, longlive-1.3b at 832x480 \| 58\d KiB: taken in", table)
    assert "| from the history to the first frames, untrained | loaded" in table


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


def test_the_quantization_benchmark_reports_every_scheme_and_layer_and_draws_them(
    untrained_folder: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "layers.png"
    arguments = ("--json", "--videos", 1, "--chunks", 2, "--model", untrained_folder, "--plot", picture)
    results = json.loads(run(BENCHMARKS / "quantization.py", *arguments))["results"]
    schemes = results["schemes"]
    assert list(schemes) == ["bfloat16", "int8", "int8-weight", "fp8"]
    assert len(results["layers"]) == 20
    for name, errors in results["layers"].items():
        assert 0 < errors["bfloat16"] < errors["int8-weight"] < errors["int8"] < errors["fp8"] < 0.1, name
    for scheme in ("int8", "int8-weight", "fp8"):
        assert schemes[scheme]["longlive_1.3b_bytes"] <= 1.5e9 < schemes["bfloat16"]["longlive_1.3b_bytes"]
        assert schemes[scheme]["adherence"]["readouts"] == 6
        assert schemes[scheme]["dit_over_bfloat16"] > 0
    assert picture.read_bytes().startswith(b"\x89PNG")


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
            "prompt": {"first_new_frame_ms": times | {"p95": 200.0}},
            "one_session": live | {"asked": 1},
            "two_sessions": live,
            "three_sessions": live | {"asked": 3, "accepted": 3, "stalls": [4, 0, 5]},
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
        "| 123 ms, p95 200 (worst of 3: 234) |",
        "| 3 in 60 s, 1 refused |",
        "3 live sessions asked for | 4 + 0 + 5 in 60 s |",
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


def test_the_table_has_rows_for_the_engine_over_time_and_for_its_formats(tmp_path: Path) -> None:
    def trend(first: float, last: float, low: float, high: float) -> dict[str, object]:
        return {"first_sixth": first, "last_sixth": last, "slope_per_hour_95": [low, high]}

    wan_like = {"warmup_latents": 6, "psnr_by_chunk": [54.98, 54.0, 53.0], "change_at_the_seam": 5.04}
    others = [wan_like | {"warmup_latents": count, "psnr_by_chunk": [99.0]} for count in (0, 12)]
    part = {"seconds": 60, "dit_over_dense": 0.486, "dit_over_window_21": 0.967}
    memory = {"seconds": 60, "model": "longlive-1.3b", "peak_over_dense": 0.09, "peak_over_window_21": 0.716}
    adherence = {
        "against_dtype": "bfloat16",
        "difference_points": -0.2,
        "difference_points_95": [-0.55, 0.15],
        "readouts": 1536,
    }
    cores = {"proxy": 0.0001, "ingress": 0.0, "all": 0.00021}
    results = {
        "viewers": {
            "many_viewers": {
                "viewers": 200,
                "fragments_delivered": 5200,
                "requests_per_second": {"fragments": 260.1, "all": 590.2},
                "upstreams_opened": 1,
                "late_or_skipped_share": 0.0012,
                "behind_the_first_viewer_ms": {"median": 6, "p99": 29},
            },
            "each_viewer": {"cores": cores, "kib": {"proxy": 19, "ingress": 6}},
            "paused": {"sessions": 500, "cores_with": {"all": 0.153}, "cores_without": {"all": 0.164}},
        },
        "chaos": {
            "sessions": 8,
            "fps": 6,
            "faults": {
                "generator": {
                    "fault": "kill -9 of a generator",
                    "repeats": 20,
                    "lost": 0,
                    "gap_seconds": {"n": 160, "p50": 1.24, "p95": 2.51, "max": 3.3},
                    "back_seconds": {"n": 160, "p50": 1.2, "p95": 2.5, "max": 4.0},
                    "reconnects": 0,
                    "missed": [],
                },
                "proxy": {
                    "fault": "kill -9 of the HTTP proxy",
                    "repeats": 3,
                    "lost": 1,
                    "gap_seconds": None,
                    "back_seconds": {"n": 24, "p50": 5.0, "p95": 6.0, "max": 8.14},
                    "reconnects": 12,
                    "missed": ["lost: 1"],
                },
            },
        },
        "scaling": {
            "replicas": {"first": 1, "most": 3, "last": 1},
            "sessions": 7,
            "lost": 0,
            "missing_chunks": 0,
            "moves": 2,
            "gap_seconds": {"p95": 0.04, "max": 1.23},
            "first_fragment_seconds": [9.8, 0.4],
        },
        "soak": {
            "minutes": 60.0,
            "happened": {"created": 1234},
            "figures": {name: {"first_sixth": 400.4, "last_sixth": 401.6} for name in ("mib.a", "mib.b", "files.a")},
            "grows": [],
        },
        "length": {
            "minutes": 60.009,
            "cost_over_young": trend(1.001, 1.002, -0.01, 0.012),
            "rss_mib": trend(448, 448.4, -0.9, 2.7),
            "readouts_that_match": trend(1, 1, 0, 0),
            "frame_to_frame": {
                "largest_at_chunk_borders": 7.04,
                "largest_within_chunks": 7.07,
                "hard_cut_to_another_prompt": 11.8,
            },
            "mp4": {"frames": 57609, "largest_drift_seconds": 0.0},
        },
        "window": {"time": [{"model": "tiny", "ratios": [part]}], "memory": [memory]},
        "seam": {
            "scenes": 32,
            "restored": [*others, wan_like],
            "uninterrupted": {"change_at_the_seam": 5.01},
            "hard_cut": {"psnr_by_chunk": [16.9, 15.2, 15.0]},
        },
        "quantization": {
            "schemes": {
                "bfloat16": {"longlive_1.3b_bytes": 2_838_000_000},
                "int8": {"longlive_1.3b_bytes": 1_430_000_000, "adherence": adherence},
            }
        },
        "decoders": {
            "wan bfloat16": {"milliseconds": {"median": 46.0}, "times_as_fast_as_wan": 1.0},
            "light bfloat16": {"milliseconds": {"median": 15.4}, "times_as_fast_as_wan": 2.93},
        },
    }
    for name, found in results.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({"commit": "abc123", "results": found}))
    gpu_parts = {
        "fp8, wan decoder": {"result": {"frames_per_second": 12.34}},
        "int8, wan decoder": {"error": "OutOfMemoryError"},
    }
    gpu = {"commit": "abc123", "hardware": {"gpu": "Abacus 9000"}, "parts": gpu_parts}
    (tmp_path / "gpu.json").write_text(json.dumps(gpu))
    readme = tmp_path / "README.md"
    readme.write_text((ROOT / "README.md").read_text())
    run(BENCHMARKS / "table.py", tmp_path, "--readme", readme)
    written = readme.read_text()
    for said in (
        ", 590 requests/s | 0.12 % of 5200; 1 upstream |",
        "| 6 ms (99 %: 29) |",
        "| 0.02 % of a core (0.01 proxy, 0.00 ingress) |",
        "| 19 KiB, 6 KiB |",
        "500 paused sessions | 0.15 cores, without them 0.16 |",
        "8 live sessions of 6 frames/s: kill -9 of a generator, 20 times | "
        "lost 0; gap p50 1.2 s, p95 2.5 s, worst 3.3 s |",
        "3 times | lost 1; none watched, back after 8.1 s at most; missed: lost: 1 |",
        "1, 3, 1 generators under a load that comes and goes | 0 of 7 sessions lost, 0 fragments missing; 2 moves; "
        "gap p95 0.0 s, worst 1.2 s; first fragment after 0.4 to 9.8 s |",
        "1,234 sessions that come, pause, fork and go: what grows",
        "| none of 3 (801 MiB, 803 MiB) |",
        "| 1.001, 1.002 (-1.0 to +1.2 % an hour) |",
        "| 448 MiB, 448 MiB (-0.9 to +2.7 MiB an hour) |",
        "(a cut: 11.8) | 7.0, 7.1 |",
        "| 0 s over 57609 frames |",
        "60 s, tiny: DiT time | 0.49 (0.97 of a 21-frame window) |",
        "60 s, longlive-1.3b: peak memory, counted | 0.09 (0.72 of a 21-frame window) |",
        "| 55.0 dB (hard cut: 16.9 dB) |",
        "| 2.84 GB |",
        "| 1.43 GB; -0.20 (-0.55 to +0.15), 1536 readouts |",
        "light bfloat16 decoder: times as fast as Wan's | 2.9 (15 ms a chunk) |",
        "Abacus 9000, fp8, wan decoder, decode in | 12.3 frames/s |",
    ):
        assert said in written
    assert "int8, wan decoder" not in written


def test_the_length_benchmark_finds_a_video_without_end_flat(untrained_folder: Path, tmp_path: Path) -> None:
    plot = tmp_path / "length.png"
    command = (BENCHMARKS / "length.py", "--json", "--minutes", 0.5, "--model", untrained_folder, "--plot", plot)
    results = json.loads(run(*command))["results"]
    assert results["frames_made"] == results["frames_expected"] == results["mp4"]["frames"] == 489
    assert results["mp4"]["largest_drift_seconds"] == 0
    assert results["mp4"]["last_frame_at_seconds"] == 488 / 16
    # Not equal: what the young video remembers to go back to varies. The latents of this video alone would be 0.5 MiB.
    assert results["live_tensor_mib"]["max"] < results["live_tensor_mib"]["min"] + 0.1
    assert results["cost_over_young"]["last_sixth"] > 0
    assert plot.stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_five_minutes_of_the_tiny_model_show_no_cut_no_growth_and_what_was_asked_for() -> None:
    results = json.loads(run(BENCHMARKS / "length.py", "--json", "--minutes", 5))["results"]
    assert results["frames_made"] == results["frames_expected"] == results["mp4"]["frames"] == 4809
    assert results["mp4"]["largest_drift_seconds"] == 0
    assert results["live_tensor_mib"]["max"] < results["live_tensor_mib"]["min"] + 0.1
    assert results["rss_mib"]["last_sixth"] < results["rss_mib"]["first_sixth"] + 16
    change = results["frame_to_frame"]
    assert change["largest_at_chunk_borders"] < 1.25 * change["largest_within_chunks"]
    assert results["readouts_that_match"]["first_sixth"] > 0.9
    assert results["readouts_that_match"]["last_sixth"] > 0.9


def test_the_window_benchmark_compares_time_and_counts_memory(tmp_path: Path) -> None:
    plot = tmp_path / "window.png"
    results = json.loads(run(BENCHMARKS / "window.py", "--json", "--seconds", 1, 3, "--plot", plot))["results"]
    for part in results["time"]:
        assert [ratio["seconds"] for ratio in part["ratios"]] == [1, 3]
        assert {len(chunks) for chunks in part["cpu_ms_per_chunk"].values()} == {5}
    memory = {(part["model"], part["seconds"]): part for part in results["memory"]}
    full = memory["longlive-1.3b", 3]
    assert full["latent_frames"] == 15
    assert full["window 12, sink 3"]["cache_mib"] == pytest.approx(12 * 1560 * 1536 * 2 * 2 * 30 / 2**20, abs=0.01)
    assert full["dense"]["cache_mib"] == pytest.approx(15 / 12 * full["window 12, sink 3"]["cache_mib"], abs=0.01)
    assert full["peak_over_dense"] < 1
    assert plot.stat().st_size > 10_000


def test_the_seam_benchmark_finds_a_restore_the_nearer_the_warmer_and_far_from_a_cut(tmp_path: Path) -> None:
    plot = tmp_path / "seam.png"
    results = json.loads(run(BENCHMARKS / "seam.py", "--json", "--scenes", 1, "--plot", plot))["results"]
    first_chunk = {part["warmup_latents"]: part["psnr_by_chunk"][0] for part in results["restored"]}
    assert list(first_chunk) == [0, 1, 2, 3, 6, 9, 12]
    assert first_chunk[0] < first_chunk[1] < first_chunk[3] < first_chunk[12]
    for other in ("hard_cut", "new_video"):
        assert first_chunk[12] > results[other]["psnr_by_chunk"][0] + 20
    assert plot.stat().st_size > 10_000


def without(*libraries: str) -> str:
    """The start of a program on a machine that lacks these, with the benchmarks at hand."""
    return f"import sys; sys.modules.update(dict.fromkeys({libraries})); sys.path.insert(0, 'benchmarks')\n"


WHOLE_BENCHMARK = """
import runpy
sys.argv[:1] = ["gpu.py", "--size", "tiny"]
runpy.run_path("benchmarks/gpu.py", run_name="__main__")
"""
VERIFY = """
import json, gpu, torch
device = torch.device("cpu")
record = gpu.Record({}, 60, None, device)
record.run("verify", lambda: gpu.verify(gpu.ROOT / "tests" / "goldens" / "longlive", device))
print(json.dumps(record.parts))
"""


def test_the_gpu_benchmark_measures_and_verifies_where_there_is_only_torch_and_safetensors(tmp_path: Path) -> None:
    written = tmp_path / "gpu.json"
    bare = without("av", "huggingface_hub", "psutil", "pydantic", "ray", "redis", "tokenizers", "transformers")
    document = json.loads(run("-c", bare + WHOLE_BENCHMARK, "--out", written))
    parts = document["parts"]
    assert [name for name, part in parts.items() if "error" in part] == []
    for precision in ("bfloat16", "int8", "fp8"):
        assert parts[f"{precision}: build"]["result"]["flow_error_to_bfloat16"] < 0.05
        for decoder in ("wan", "light", "tiny"):
            assert parts[f"{precision}, {decoder} decoder"]["result"]["frames_per_second"] > 0
    for order in ("default", "cudnn_first"):
        assert parts[f"bfloat16: stages, attention {order}"]["result"]["chunk"]["tflop"] > 0
    sizes = {parts[f"{name}: build"]["result"]["transformer_parameters"] for name in ("bfloat16", "int8", "fp8")}
    assert len(sizes) == 1
    assert parts["two sessions, alternating"]["result"]["both_are_bit_equal_to_themselves_alone"]
    assert max(parts["decoders against float32"]["result"].values()) < 0.2
    for results in parts["verify"]["result"].values():
        assert results["passed"] > 20
        assert results["failed"] == []
        assert [text.partition(":")[0] for text in results["not_supported"]] == ["t5.output_raw", "t5.prompt_embeds"]
    assert list(parts)[:3] == ["flops", "attention", "verify"]
    assert json.loads(written.read_text())["parts"] == parts


def test_a_gpu_benchmark_that_cannot_read_the_recorded_numbers_says_so_as_an_error() -> None:
    part = json.loads(run("-c", without("pydantic", "safetensors") + VERIFY))["verify"]
    assert "safetensors" in part["error"]
    assert "result" not in part


def test_a_model_that_cannot_run_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import gpu

    def fail(model: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("no memory for this")

    monkeypatch.setattr(gpu, "first_flow", fail)
    device = torch.device("cpu")
    record = gpu.Record({}, 60, None, device)
    benchmark = gpu.Benchmark("tiny", device, record, ROOT)
    assert benchmark._built(Precision.bfloat16) is None
    assert "no memory" in record.parts["bfloat16: build"]["error"]


def test_another_decoder_is_the_same_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import gpu

    model = build_video_model(gpu.SIZES["tiny"], Precision.bfloat16, "wan", "cpu")
    first = list(gpu.with_decoder(model, "light").decoder.parameters())
    torch.rand(1)  # whatever else drew in between
    before = torch.get_rng_state()
    second = list(gpu.with_decoder(model, "light").decoder.parameters())
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_gpu_benchmark_keeps_what_it_measured_when_parts_fail_or_time_is_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import gpu

    def fail() -> dict[str, object]:
        raise torch.OutOfMemoryError("no memory for this")

    record = gpu.Record({}, 60, tmp_path / "gpu.json", torch.device("cpu"))
    assert record.run("one", lambda: {"ms": 1}) == {"ms": 1}
    assert record.run("two", fail) is None
    assert record.run("three", lambda: {"ms": 3}) == {"ms": 3}
    parts = json.loads((tmp_path / "gpu.json").read_text())["parts"]
    assert parts["one"]["result"] == {"ms": 1}
    assert parts["two"]["error"] == "OutOfMemoryError: no memory for this"
    assert parts["three"]["result"] == {"ms": 3}
    spent = gpu.Record({}, -1, tmp_path / "gpu.json", torch.device("cpu"))
    assert spent.run("late", lambda: {"ms": 1}) is None
    assert "not run" in json.loads((tmp_path / "gpu.json").read_text())["parts"]["late"]["error"]


STUCK = """
import sys, time, torch
sys.path.insert(0, "benchmarks")
from record import Record, deadline
record = Record({"benchmark": "stuck"}, 60, None, torch.device("cpu"))
record.run("one", lambda: {"ms": 1})
with deadline(0.5, record.give_up):
    record.run("two", lambda: time.sleep(60))
"""


def test_the_gpu_benchmark_ends_with_what_it_has_when_a_part_does_not_return() -> None:
    done = subprocess.run([sys.executable, "-c", STUCK], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    parts = json.loads(done.stdout)["parts"]
    assert parts["one"]["result"] == {"ms": 1}
    assert parts["two"] == {"error": "did not end in time"}


def test_the_gpu_benchmark_verifies_the_engine_where_the_libraries_for_it_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import gpu

    results = gpu.verify(ROOT / "tests" / "goldens" / "longlive", torch.device("cpu"))
    for dtype in ("float32", "bfloat16"):
        assert results[dtype]["passed"] > 20
        assert results[dtype]["failed"] == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what is missing where there is no GPU")
def test_the_gpu_benchmark_says_in_one_line_that_there_is_no_gpu() -> None:
    done = subprocess.run([sys.executable, BENCHMARKS / "gpu.py"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no CUDA GPU" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_flops_at_full_size_are_those_worked_out_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the 30 layers, at 832x480: 4680 queries over 18720 keys, width 1536, feed-forward 8960, text 512."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    from stages import decode_stage, flops, stage_flops, with_decoder

    config = ModelConfig(name="one-layer", transformer=TransformerConfig(num_layers=1))
    model = build_video_model(config, Precision.bfloat16, "wan", "meta")
    counted = stage_flops(model)
    queries, keys, width, ffn, text = 4680, 18720, 1536, 8960, 512
    linears = 2 * queries * (6 * width * width + 2 * width * ffn)
    attention = 4 * queries * (keys + text) * width
    patches = 2 * queries * 64 * width * 2  # into and out of tokens
    assert counted["denoising_forward"] == counted["clean_pass"] == linears + attention + patches
    assert counted["chunk"] == 5 * counted["clean_pass"]
    context = 2 * text * (4096 * width + width * width) + 2 * text * 2 * width * width
    assert counted["text_context"] == context
    assert counted["recache"] == context + 3 * counted["clean_pass"]  # nine frames: the sink is kept
    decoders = {name: flops(decode_stage(with_decoder(model, name))) / 1e12 for name in ("wan", "light", "tiny")}
    assert decoders == pytest.approx({"wan": 40.65, "light": 2.59, "tiny": 1.63}, rel=0.002)
