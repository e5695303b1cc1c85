"""`verify` on folders unlike ours: other sizes, an odd window, three prompts; and on folders that are damaged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from longlive.verify import CaseResult, run_verify
from tests.longlive.literal_goldens import SETTINGS, write_wan_components, write_whole_folder

ROLLOUTS = {
    *("A", "A.final_cache", "A_nosink", "A_fullattn", "A_relrope", "B_recache_globalsink", "B_recache_resetsink"),
    *("B_recache_early", "B_recache_unaligned", "B_relrope_globalsink", "B_relrope_globalsink.final_cache", "C_keep"),
    *("D_clear", "D_zerofill"),
}
SWITCHES = {f"B_recache_{sink}.switch{number}" for sink in ("globalsink", "resetsink") for number in (0, 1)}
WHOLE = {
    *(f"{start}.{step}" for start in ("empty", "warm") for step in ("t0", "t2", "mixed")),
    *("acts.warm.mixed", "B_recache_early.switch0", "weights.layouts"),
    *("lora.merged.weight", "lora.merged.warm.mixed", "lora.unmerged.empty.mixed", "lora.merged.C_keep"),
    *("tables.sampler", "tables.rope", "tables.sinusoidal"),
    *("vae.whole", "vae.streamed", "vae.encode", "t5.output_raw", "t5.prompt_embeds"),
}
WAN = {
    *("vae.whole", "vae.streamed", "vae.encode", "vae.denormalise", "vae.cold_2_4"),
    *("t5.hidden", "t5.prompt_embeds", "t5.lens", "t5.bucket"),
}
DTYPES = [torch.float32, torch.bfloat16]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    write_whole_folder(folder)
    return folder


@pytest.fixture(scope="module")
def wan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wan")
    write_wan_components(folder)
    return folder


@pytest.fixture
def spoilt(whole: Path, tmp_path: Path) -> Path:
    """A copy of the whole folder, to be spoilt."""
    return Path(shutil.copytree(whole, tmp_path / "spoilt"))


def results(folder: Path, *cases: str, dtype: torch.dtype = torch.float32) -> dict[str, CaseResult]:
    return {result.case: result for result in run_verify(folder, dtype, cases=cases or None)}


def alter(file: Path, **changes: Tensor | None) -> None:
    """Replaces or (none) removes tensors of a file."""
    save_file({name: part for name, part in (load_file(file) | changes).items() if part is not None}, file)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_folder_of_other_sizes_windows_sinks_and_switches_passes(whole: Path, dtype: torch.dtype) -> None:
    found = results(whole, dtype=dtype)
    assert [result for result in found.values() if not result.passed] == []
    assert set(found) == WHOLE | ROLLOUTS | SWITCHES


@pytest.mark.parametrize("dtype", DTYPES)
def test_components_of_other_sizes_in_the_wan_layout_pass(wan: Path, dtype: torch.dtype) -> None:
    found = results(wan, dtype=dtype)
    assert [result for result in found.values() if not result.passed] == []
    assert set(found) == WAN


@pytest.mark.parametrize(
    ("file", "name", "case"),
    [
        ("inputs", "noise", "A"),
        ("inputs", "renoise", "A_relrope"),
        ("inputs", "prompt_embeds.2", "C_keep"),
        ("inputs", "denoising_timesteps", "tables.sampler"),
        ("inputs", "scheduler.sigmas", "tables.sampler"),
        ("single_forward", "warm.context_latents", "warm.t0"),
        ("single_forward", "empty.mixed.flow", "empty.mixed"),
        ("single_forward", "warm.t2.x0", "warm.t2"),
        ("single_forward", "acts.warm.mixed.cache_v.1", "acts.warm.mixed"),
        *(("rollouts", f"{case}.latents", case) for case in sorted(ROLLOUTS) if "." not in case),
        ("rollouts", "A.final_cache.k.1", "A.final_cache"),
        ("recache_state", "B_recache_globalsink.switch1.before.v.0", "B_recache_globalsink.switch1"),
        ("recache_state", "B_recache_resetsink.switch1.after.k.1", "B_recache_resetsink.switch1"),
        ("lora_weights", "base_model.model.blocks.1.ffn.0.lora_A.weight", "lora.merged.C_keep"),
        ("lora_outputs", "merged.weight.blocks.1.ffn.0.weight", "lora.merged.weight"),
        ("lora_outputs", "unmerged.empty.mixed.x0", "lora.unmerged.empty.mixed"),
        ("weights_wan_layout", "blocks.1.cross_attn.o.weight", "empty.t0"),
        ("weights_generator_layout", "model.head.head.weight", "weights.layouts"),
        ("tables", "rope.freqs_imag_first9", "tables.rope"),
        ("tables", "sinusoidal.embedding", "tables.sinusoidal"),
        ("vae_weights", "decoder.conv1.weight", "vae.streamed"),
        ("vae_io", "encode.pixels", "vae.encode"),
        ("vae_io", "pixels", "vae.whole"),
        ("t5_weights", "token_embedding.weight", "t5.prompt_embeds"),
        ("t5_io", "output_raw", "t5.output_raw"),
    ],
)
def test_a_number_that_is_two_percent_off_fails_by_its_error(spoilt: Path, file: str, name: str, case: str) -> None:
    path = spoilt / f"{file}.safetensors"
    tensors = load_file(path)
    save_file(tensors | {name: tensors[name] * 1.02}, path)
    result = results(spoilt, case)[case]
    assert result.error is not None, result.note
    assert result.error > result.tolerance
    assert not result.passed


@pytest.mark.parametrize(
    ("change", "case"),
    [
        ({"local_attn_size": 9}, "A"),
        ({"sink_size": 2}, "A"),
        ({"timestep_shift": 5.0}, "tables.sampler"),
        ({"warp_denoising_step": True}, "tables.sampler"),
        ({"switches": [5, 11]}, "C_keep"),
        ({"unaligned_switch": 5}, "B_recache_unaligned"),
        ({"lora_alpha": 4}, "lora.merged.weight"),
    ],
)
def test_another_setting_than_the_recorded_one_fails_by_its_error(
    spoilt: Path, change: dict[str, object], case: str
) -> None:
    (spoilt / "config.json").write_text(json.dumps(SETTINGS | change))
    result = results(spoilt, case)[case]
    assert result.error is not None, result.note
    assert result.error > result.tolerance


def test_two_switches_within_a_chunk_come_one_chunk_after_the_other(spoilt: Path) -> None:
    (spoilt / "config.json").write_text(json.dumps(SETTINGS | {"switches": [5, 6]}))
    assert not results(spoilt, "C_keep")["C_keep"].passed  # the second at frame 8, where 10 is recorded
    (spoilt / "config.json").write_text(json.dumps(SETTINGS | {"switches": [9, 10]}))
    state = spoilt / "recache_state.safetensors"
    save_file(
        {
            "B_recache_globalsink.switch1.effective_frame": torch.tensor([12]),
            "B_recache_globalsink.switch1.before.k.0": torch.zeros(1),
        },
        state,
    )
    note = results(spoilt, "recache_state")["B_recache_globalsink.switch1"].note
    assert note.startswith("shape"), note  # and not: took effect at another frame


@pytest.mark.parametrize("file", ["inputs", "single_forward", "rollouts", "recache_state", "lora_outputs", "tables"])
def test_a_damaged_file_fails_its_cases_and_no_others(spoilt: Path, file: str) -> None:
    path = spoilt / f"{file}.safetensors"
    path.write_bytes(path.read_bytes()[:50])
    found = results(spoilt, file, f"{file}.safetensors", "lora", "tables", "t5", "weights")
    damaged = found[f"{file}.safetensors"]
    assert not damaged.passed
    assert f"{file}.safetensors is damaged" in damaged.note
    assert all(found[name].passed for name in ("t5.output_raw", "t5.prompt_embeds", "weights.layouts"))


@pytest.mark.parametrize("file", ["vae_io", "vae_weights", "t5_io", "t5_weights"])
def test_a_damaged_component_fails_its_cases_and_no_others(spoilt: Path, file: str) -> None:
    (spoilt / f"{file}.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    part = file.split("_")[0]
    found = results(spoilt, "vae", "t5", "tables.rope")
    assert {name for name, result in found.items() if not result.passed} == {
        name for name in found if name.startswith(part)
    }
    assert any(name.startswith(part) for name in found)


@pytest.mark.parametrize(
    ("file", "names", "case", "note"),
    [
        ("vae_io", ["mean", "std"], "vae.whole", "z_dim"),
        ("vae_io", ["latents"], "vae.whole", "lacks the tensor latents"),
        ("vae_io", ["encode.latents"], "vae.encode", "lacks the tensor encode.latents"),
        ("t5_io", ["ids"], "t5.output_raw", "lacks the tensor ids"),
        ("t5_io", ["mask"], "t5.prompt_embeds", "lacks the tensor mask"),
        ("inputs", ["prompt_embeds.0"], "empty.t0", "lacks the tensor prompt_embeds.0"),
        ("inputs", ["noise"], "C_keep", "lacks the tensor noise"),
        ("single_forward", ["timestep.t0"], "empty.t0", "lacks the tensor timestep.t0"),
        ("tables", ["sinusoidal.positions"], "tables.sinusoidal", "lacks the tensor sinusoidal.positions"),
        ("weights_wan_layout", ["head.modulation"], "empty.t0", "head.modulation is missing"),
        ("lora_weights", ["base_model.model.blocks.1.ffn.0.lora_A.weight"], "lora.merged.weight", "lacks one"),
    ],
)
def test_a_tensor_that_is_not_there_fails_the_case_that_needs_it(
    spoilt: Path, file: str, names: list[str], case: str, note: str
) -> None:
    alter(spoilt / f"{file}.safetensors", **dict.fromkeys(names))
    result = results(spoilt, case)[case]
    assert (result.passed, result.supported) == (False, True)
    assert note in result.note


def test_what_was_not_recorded_is_no_case(spoilt: Path) -> None:
    alter(spoilt / "vae_io.safetensors", **dict.fromkeys(["encode.pixels", "encode.latents"]))
    assert set(results(spoilt, "vae")) == {"vae.whole", "vae.streamed"}


def test_a_switch_without_recorded_numbers_fails_instead_of_passing_for_nothing(spoilt: Path) -> None:
    save_file({"B_recache_early.switch0.effective_frame": torch.tensor([2])}, spoilt / "recache_state.safetensors")
    result = results(spoilt, "recache_state")["B_recache_early.switch0"]
    assert not result.passed
    assert "nothing to compare" in result.note


@pytest.mark.parametrize("content", ["[1, 2]", "{", "{}", json.dumps(SETTINGS | {"dim": "wide"})])
def test_settings_that_cannot_be_used_fail_the_transformer_s_cases_alone(spoilt: Path, content: str) -> None:
    (spoilt / "config.json").write_text(content)
    found = results(spoilt, "empty", "tables", "t5")
    assert {name for name, result in found.items() if not result.passed} == {
        *("empty.t0", "empty.t2", "empty.mixed", "tables.sampler")
    }
    assert all("config.json" in result.note for result in found.values() if not result.passed)


def test_a_first_frame_of_its_own_is_not_supported(spoilt: Path) -> None:
    (spoilt / "config.json").write_text(json.dumps(SETTINGS | {"independent_first_frame": True}))
    result = results(spoilt, "C_keep")["C_keep"]
    assert (result.passed, result.supported) == (False, False)
    assert "independent_first_frame true" in result.note


@pytest.mark.parametrize(
    ("file", "name", "case"),
    [
        ("single_forward", "cold.t0.flow", "cold.t0"),
        ("single_forward", "iteration.12.clean.x0", "iteration.12.clean.x0"),
        ("rollouts", "E_novelty.latents", "E_novelty"),
        ("rollouts", "A.surprise", "A.surprise"),
        ("recache_state", "A.surprise", "A.surprise"),
        ("lora_outputs", "merged.surprise", "lora.merged.surprise"),
        ("inputs", "denoising_timesteps.4steps", "inputs.denoising_timesteps.4steps"),
        ("tables", "surprise", "tables.surprise"),
        ("vae_io", "surprise", "vae.surprise"),
        ("t5_io", "surprise", "t5.surprise"),
        ("novelty", "surprise", "novelty.safetensors"),
    ],
)
def test_numbers_of_an_unknown_name_are_not_supported(spoilt: Path, file: str, name: str, case: str) -> None:
    path = spoilt / f"{file}.safetensors"
    save_file((load_file(path) if path.is_file() else {}) | {name: torch.zeros(2)}, path)
    result = results(spoilt, case)[case]
    assert (result.passed, result.supported) == (False, False)


def test_recorded_zeros_are_judged_by_the_largest_error(spoilt: Path) -> None:
    alter(spoilt / "t5_io.safetensors", output_raw=torch.zeros(2, 9, 12))
    result = results(spoilt, "t5.output_raw", dtype=torch.bfloat16)["t5.output_raw"]
    assert result.metric == "max"
    assert result.error is not None
    assert result.error > result.tolerance


def test_a_number_that_is_none_fails_without_an_error_of_none(spoilt: Path) -> None:
    alter(spoilt / "t5_io.safetensors", output_raw=torch.full((2, 9, 12), float("nan")))
    result = results(spoilt, "t5.output_raw")["t5.output_raw"]
    assert (result.passed, result.error, result.max_error) == (False, None, None)


@pytest.mark.parametrize(
    ("part", "change", "note"),
    [
        ("vae", {"dim": "wide"}, 'dim must be int, not "wide"'),
        ("vae", {"dim_mult": 2}, "dim_mult must be tuple[int, ...], not 2"),
        ("vae", {"groups": 2}, "groups is unknown"),
        ("t5", {"num_layers": True}, "num_layers must be int, not true"),
        ("t5", {"dim": 0}, "dim must be above 0"),
    ],
)
def test_a_component_s_setting_that_cannot_be_is_named(
    spoilt: Path, part: str, change: dict[str, object], note: str
) -> None:
    for name in ("vae_t5_config.json", "config.json"):
        file = spoilt / name
        if file.is_file() and part in (settings := json.loads(file.read_text())):
            file.write_text(json.dumps(settings | {part: settings[part] | change}))
    found = results(spoilt, part)
    assert found
    assert all(note in result.note for result in found.values())


def test_settings_that_lack_something_name_all_of_it(spoilt: Path) -> None:
    lacking = {name: value for name, value in SETTINGS.items() if name not in ("dim", "eps")} | {"nfb": "three"}
    (spoilt / "config.json").write_text(json.dumps(lacking))
    note = results(spoilt, "A")["A"].note
    for fault in ("dim is missing", "eps is missing", 'nfb must be int, not "three"'):
        assert fault in note
