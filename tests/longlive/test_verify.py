from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from longlive.verify import CaseResult, run_verify
from tests.longlive.goldens import full_golden_dir, golden_dir

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
EXPECTED = {
    *(f"{start}.{step}" for start in ("empty", "warm") for step in ("t0", "t1", "t2", "t3", "t4", "mixed")),
    *("A", "A.final_cache", "A_nosink", "A_fullattn", "A_relrope"),
    *("B_recache_globalsink", "B_recache_resetsink", "B_recache_early", "B_recache_unaligned", "B_relrope_globalsink"),
    *("C_keep", "D_clear", "D_zerofill"),
    *(f"B_recache_{case}.switch0" for case in ("globalsink", "resetsink", "early")),
    *("lora.merged.weight", "lora.merged.empty.mixed", "lora.merged.B_recache_globalsink", "lora.unmerged.empty.mixed"),
    *("tables.sampler", "tables.rope", "t5.output_raw", "t5.prompt_embeds"),
}


def wrong(result: CaseResult) -> bool:
    """Failed by its numbers, not by a fault on the way."""
    return not result.passed and result.error is not None and result.error > result.tolerance


def describe(results: list[CaseResult]) -> list[str]:
    return [f"{r.case}: {r.metric} {r.error}, tolerance {r.tolerance} {r.note}" for r in results if not r.passed]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the compact goldens, to be spoilt."""
    return Path(shutil.copytree(golden_dir("longlive"), tmp_path / "goldens"))


def alter(file: Path, **scales: float) -> None:
    tensors = load_file(file)
    for name, scale in scales.items():
        tensors[name.replace("__", ".")] *= scale
    save_file(tensors, file)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_engine_gives_the_reference_s_numbers(dtype: str) -> None:
    results = list(run_verify(golden_dir("longlive"), DTYPES[dtype]))
    assert describe(results) == []
    assert {result.case for result in results} >= EXPECTED


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["longlive", "wan"])
def test_every_case_of_the_full_goldens_passes(name: str, dtype: str) -> None:
    results = list(run_verify(full_golden_dir(name), DTYPES[dtype]))
    assert describe(results) == []
    assert {result.case for result in results} >= {"vae.whole", "vae.streamed", "vae.encode", "t5.prompt_embeds"}


def test_a_choice_runs_by_name_start_group_or_pattern() -> None:
    def names(*choices: str) -> set[str]:
        return {result.case for result in run_verify(golden_dir("longlive"), torch.float32, cases=choices)}

    assert names("A") == {"A", "A.final_cache"}
    assert names("warm", "C_keep") == {"C_keep", *(name for name in EXPECTED if name.startswith("warm"))}
    assert names("tables") == {"tables.sampler", "tables.rope"}
    assert names("B_re*_globalsink") == {"B_recache_globalsink", "B_relrope_globalsink"}


def test_wrong_weights_fail(folder: Path) -> None:
    alter(folder / "weights_generator_layout.safetensors", model__blocks__1__self_attn__norm_k__weight=1.01)
    results = list(run_verify(folder, torch.float32, cases=["empty.t1", "C_keep"]))
    assert [r.supported for r in results] == [True] * 2
    assert all(wrong(r) for r in results)


def test_another_window_than_the_folder_s_fails_where_the_window_matters(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"local_attn_size": 12}))
    found = {r.case: r for r in run_verify(folder, torch.float32, cases=["empty", "A"])}
    assert wrong(found.pop("A"))
    assert not found.pop("A.final_cache").passed  # ends at another number of slots
    assert all(r.passed for r in found.values())


def test_weights_that_do_not_load_fail_every_case_that_needs_them_and_no_other(folder: Path) -> None:
    weights = folder / "weights_generator_layout.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    results = {r.case: r for r in run_verify(folder, torch.float32, cases=["A", "t5"])}
    assert "CheckpointError" in results["A"].note
    assert not results["A"].passed
    assert results["t5.prompt_embeds"].passed


def test_an_unknown_case_or_choice_and_a_folder_without_cases_fail_as_unsupported(folder: Path, tmp_path: Path) -> None:
    rollouts = load_file(folder / "rollouts.safetensors")
    save_file(rollouts | {"E_novelty.latents": rollouts["A.latents"].clone()}, folder / "rollouts.safetensors")
    (tmp_path / "empty").mkdir()
    unknown = [
        *run_verify(folder, torch.float32, cases=["E_novelty"]),
        *run_verify(folder, torch.float32, cases=["no_such"]),
        *run_verify(tmp_path / "empty", torch.float32),
    ]
    assert [r.case for r in unknown] == ["E_novelty", "no_such", "any"]
    assert not any(r.passed or r.supported for r in unknown)


def test_a_prompt_switch_of_the_folder_is_followed_at_its_frame(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"switches": [15]}))
    (result,) = run_verify(folder, torch.float32, cases=["C_keep"])
    assert wrong(result)


def test_a_folder_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(run_verify(tmp_path / "absent", torch.float32))
