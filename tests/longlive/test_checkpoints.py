from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from longlive.checkpoints import load_transformer
from longlive.errors import CheckpointError
from longlive.lora import pair_up
from longlive.pipeline import load_model
from longlive.state_dicts import read_state_dict
from tests.longlive.published import sharded
from tests.longlive.small import CONFIG, small_transformer


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in small_transformer().state_dict().items()}


def assert_loads(path: Path, weights: dict[str, Tensor], entry: str = "generator") -> None:
    loaded = load_transformer(path, CONFIG, torch.float32, entry=entry)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in loaded.state_dict().items())
    assert not loaded.training
    assert not any(parameter.requires_grad or parameter.is_meta for parameter in loaded.parameters())


@pytest.mark.parametrize("wrapper", ["generator", "generator_ema", "model", None])
@pytest.mark.parametrize("rename", [str, "model.{}".format, "_orig_mod.{}".format, sharded])
def test_every_published_layout_gives_the_same_weights(
    wrapper: str | None, rename: type[str], weights: dict[str, Tensor], tmp_path: Path
) -> None:
    state = {rename(name): tensor for name, tensor in weights.items()}
    content = {wrapper: state, "step": 700} if wrapper else state
    torch.save(content, tmp_path / "checkpoint.pt")
    assert_loads(tmp_path / "checkpoint.pt", weights, "generator_ema" if wrapper == "generator_ema" else "generator")


def test_a_wan_folder_s_safetensors_file_loads(weights: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(weights, tmp_path / "diffusion_pytorch_model.safetensors")
    assert_loads(tmp_path / "diffusion_pytorch_model.safetensors", weights)


def test_an_old_torch_file_that_is_no_archive_loads(weights: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(weights, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert_loads(tmp_path / "old.pth", weights)


def test_weights_are_given_the_dtype_asked_for(weights: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(weights, tmp_path / "w.safetensors")
    loaded = load_transformer(tmp_path / "w.safetensors", CONFIG, torch.bfloat16)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_file_that_is_written_over_does_not_change_a_model_in_use(
    name: str, dtype: torch.dtype, weights: dict[str, Tensor], tmp_path: Path
) -> None:
    path = tmp_path / name
    save_file(weights, path) if path.suffix == ".safetensors" else torch.save(weights, path)
    loaded = load_transformer(path, CONFIG, dtype)
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
    assert all(torch.equal(tensor, weights[name].to(dtype)) for name, tensor in loaded.state_dict().items())


def test_missing_unknown_and_misshapen_tensors_are_named(weights: dict[str, Tensor], tmp_path: Path) -> None:
    wrong = dict(weights)
    del wrong["head.modulation"]
    wrong["head.surplus"] = torch.zeros(1)
    wrong["blocks.0.ffn.0.bias"] = torch.zeros(5)
    save_file(wrong, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError) as caught:
        load_transformer(tmp_path / "w.safetensors", CONFIG, torch.float32)
    message = str(caught.value)
    assert "head.modulation is missing" in message
    assert "head.surplus is unknown" in message
    assert "blocks.0.ffn.0.bias is [5], expected [32]" in message
    assert "Check that the file and the configuration belong together" in message


class Hostile:
    def __reduce__(self) -> tuple[object, ...]:
        return (print, ("code ran",))


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"generator": Hostile()}, tmp_path / "hostile.pt")
    with pytest.raises(CheckpointError, match="could run code"):
        read_state_dict(tmp_path / "hostile.pt")
    assert "code ran" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "content", "advice"),
    [
        ("cut.safetensors", b"\x10\0\0\0\0\0\0\0{", "copy or download it again"),
        ("cut.pt", b"PK\3\4 not an archive", "copy or download it again|save the state dict alone"),
        ("empty.pt", b"", "copy or download it again"),
        ("list.pkl", pickle.dumps([1, 2], protocol=2), "copy or download it again"),
        ("answer.pt", b"Repository not found", "copy or download it again"),
        ("short.pt", b"hi", "copy or download it again"),
        ("absent.pt", None, "give the path of a"),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value else "",
)
def test_a_file_that_cannot_be_used_says_what_to_do(
    name: str, content: bytes | None, advice: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=advice):
        read_state_dict(tmp_path / name)


@pytest.mark.parametrize("archive", [True, False], ids=["archive", "old"])
def test_a_torch_file_that_is_cut_or_changed_anywhere_is_read_or_refused_in_one_line(
    archive: bool, tmp_path: Path
) -> None:
    path = tmp_path / "w.pt"
    torch.save({f"weight.{i}": torch.zeros(4) for i in range(3)}, path, _use_new_zipfile_serialization=archive)
    whole = path.read_bytes()
    cut = [whole[:length] for length in range(1, len(whole), len(whole) // 60)]
    flipped = [whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :] for at in range(0, len(whole), 7)]
    refusals = []
    for content in (*cut, *flipped):
        path.write_bytes(content)
        try:
            read_state_dict(path)
        except CheckpointError as error:
            refusals.append(str(error))
    assert len(refusals) >= len(cut)
    assert not [line for line in refusals if "\n" in line or "weights_only" in line]  # torch advises to give it up


@pytest.mark.parametrize("content", [[1, 2], {"step": 3}, {}, {"generator": {"weight": 1}}])
def test_a_torch_file_without_a_state_dict_is_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match="holds no state dict"):
        read_state_dict(tmp_path / "w.pt")


def test_a_folder_that_is_no_model_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load_model(tmp_path, torch.float32)
    (tmp_path / "config.json").write_text('{"name": "x", "surprise": 1}')
    with pytest.raises(CheckpointError, match="surprise"):
        load_model(tmp_path, torch.float32)


@pytest.fixture
def model_folder(untrained_folder: Path, tmp_path: Path) -> Path:
    """A whole model, to be spoilt."""
    return Path(shutil.copytree(untrained_folder, tmp_path / "model"))


@pytest.mark.parametrize(
    ("part", "change", "said"),
    [
        ("rollout", {"window_frames": -1}, "window_frames must be limited"),
        ("rollout", {"window_frames": 5}, "must be -1 or hold"),
        ("sampler", {"denoising_steps": []}, "denoising_steps"),
        ("sampler", {"denoising_steps": [1000, 0]}, "denoising_steps"),
        ("sampler", {"timestep_shift": 0}, "timestep_shift"),
        ("transformer", {"in_channels": 8}, "must be equal"),
        ("text_encoder", {"vocab_size": 20}, "take the files of one model"),
    ],
)
def test_a_model_that_could_not_generate_is_refused_when_it_is_read(
    model_folder: Path, part: str, change: dict[str, object], said: str
) -> None:
    config = json.loads((model_folder / "config.json").read_text())
    (model_folder / "config.json").write_text(json.dumps(config | {part: config[part] | change}))
    with pytest.raises(CheckpointError, match=said):
        load_model(model_folder, torch.float32)


def test_a_damaged_tokenizer_is_refused(model_folder: Path) -> None:
    (model_folder / "tokenizer.json").write_text('{"model":')
    with pytest.raises(CheckpointError, match=r"tokenizer\.json is no tokenizer"):
        load_model(model_folder, torch.float32)


def test_a_merged_adapter_adds_its_product_to_its_weight_alone(weights: dict[str, Tensor], tmp_path: Path) -> None:
    down, up = torch.randn(3, 24), torch.randn(32, 3)
    prefix = "base_model.model.blocks.1.ffn.0"
    pairs = {f"{prefix}.lora_A.weight": down, f"{prefix}.lora_B.weight": up}
    save_file(weights, tmp_path / "w.safetensors")
    adapter = pair_up(tmp_path, pairs, scale=2.0)
    merged = load_transformer(tmp_path / "w.safetensors", CONFIG, torch.float32, adapter=adapter)
    for name, tensor in merged.state_dict().items():
        expected = weights[name] + 2 * up @ down if name == "blocks.1.ffn.0.weight" else weights[name]
        torch.testing.assert_close(tensor, expected)
