"""What files and folders of weights are said to be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from longlive.config import VAEConfig
from longlive.errors import CheckpointError
from longlive.inspection import Inspection, inspect
from longlive.layouts import Finding, recognise
from longlive.taehv import TAEHVConfig, TAEHVDecoder
from longlive.vae import WanVAE
from tests.longlive import published
from tests.longlive.goldens import golden_dir


def full_size(name: str) -> dict[str, Tensor]:
    """The tensors of a published file, without memory."""
    keys = json.loads((golden_dir("keys") / f"{name}.json").read_text())
    shapes = dict(keys.get("keys") or keys.get("non_block_keys") or {})
    prefix = keys.get("block_prefix") or keys.get("key_prefix")
    for block in range(keys.get("block_count", 0)):
        shapes |= {prefix.format(i=block) + key: shape for key, shape in keys["block_keys"].items()}
    return {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


@pytest.mark.parametrize(
    ("name", "layout", "dimensions"),
    [
        ("wan_dit_keys", "Wan DiT", {"dim": 1536, "ffn_dim": 8960, "num_layers": 30, "text_dim": 4096}),
        ("wan_vae_keys", "Wan VAE", {"dim": 96, "z_dim": 16, "num_res_blocks": 2}),
        ("umt5_keys", "UMT5 text encoder", {"vocab_size": 256384, "dim": 4096, "num_layers": 24, "num_heads": 64}),
        ("longlive_lora_keys", "LoRA of a Wan DiT", {"rank": 256, "blocks": 30, "modules": 300}),
    ],
)
def test_each_published_file_is_recognised_as_whole(name: str, layout: str, dimensions: dict[str, int]) -> None:
    found = recognise(full_size(name))
    assert found.layout == layout
    assert found.dimensions.items() >= dimensions.items()
    assert (found.missing, found.unexpected) == ((), ())


def test_the_diffusers_layout_and_the_light_width_of_a_vae_are_told() -> None:
    names = json.loads((golden_dir("keys") / "wan_vae_diffusers_names.json").read_text())["names"]
    original = full_size("wan_vae_keys")
    found = recognise({theirs: original[ours] for theirs, ours in names.items()})
    assert (found.layout, found.missing, found.unexpected) == ("Wan VAE, diffusers names", (), ())
    with torch.device("meta"):
        light = WanVAE(VAEConfig(dim=24)).state_dict()
    assert recognise(light).layout == "light Wan VAE"
    half = {name: tensor for name, tensor in light.items() if name.startswith(("decoder.", "conv2."))}
    assert recognise(half) == Finding(
        "light decoder of a Wan VAE", {"dim": 24, "z_dim": 16, "num_res_blocks": 2}, (), ()
    )


def test_a_tiny_decoder_is_recognised_with_its_encoder_and_with_growth_for_more_frames() -> None:
    with torch.device("meta"):
        state = TAEHVDecoder(TAEHVConfig()).state_dict()
    state["decoder.7.conv.weight"] = torch.empty(512, 256, 1, 1, device="meta")
    state["encoder.0.weight"] = torch.empty(64, 3, 3, 3, device="meta")
    found = recognise(state)
    assert found == Finding("TAEHV (tiny decoder)", {"z_dim": 16, "width": 256}, (), ())


@pytest.mark.parametrize("name", ["wan_dit_keys", "wan_vae_keys", "umt5_keys", "longlive_lora_keys"])
def test_what_a_file_lacks_or_has_too_much_is_named(name: str) -> None:
    state = full_size(name)
    lost = list(state)[-1]
    del state[lost]
    state["some.surplus"] = torch.empty(1, device="meta")
    changed = list(state)[4]
    state[changed] = torch.empty(*state[changed].shape, 1, device="meta")
    found = recognise(state)
    named = lost.split(".lora_")[0].removeprefix("base_model.model.")
    assert any(named in line for line in found.missing)
    assert found.unexpected == ("some.surplus",)
    assert name == "longlive_lora_keys" or any(line.startswith(f"{changed} [") for line in found.missing)


@pytest.mark.parametrize("preset", ["longlive-1.3b", "self-forcing"])
def test_a_training_checkpoint_is_listed_entry_by_entry(preset: str, untrained_folder: Path, tmp_path: Path) -> None:
    config, _ = published.publish(untrained_folder, tmp_path, preset)
    found = inspect(tmp_path / config.files.transformer)
    assert found.layout == "training checkpoint"
    assert {part.entry for part in found.parts} == {"generator", "generator_ema", "critic"}
    assert all(part.layout == "Wan DiT" and not part.missing and not part.unexpected for part in found.parts)
    assert found.parts[0].dimensions["dim"] == 48
    assert found.parts[0].dtypes == ("float32",)
    assert "step = 700" in found.notes[0]


def test_a_model_folder_says_what_is_in_it_and_what_is_missing(untrained_folder: Path, tmp_path: Path) -> None:
    config, _ = published.publish(untrained_folder, tmp_path, "longlive-1.3b")
    (tmp_path / config.files.vae).unlink()
    (tmp_path / config.files.text_encoder).write_bytes(b"")
    found = inspect(tmp_path)
    assert found.layout == "model folder"
    assert found.notes[:2] == ("It is called 'longlive-1.3b'.", f"{config.files.vae} is missing.")
    assert "decoders/taew2_1.pth is not there; only its own --decoder needs it." in found.notes
    kinds = {part.path.name: part.layout for part in found.contents}
    assert kinds["lora.pt"] == "training checkpoint"
    assert kinds["tokenizer.json"] == "tokenizer"
    assert kinds["models_t5_umt5-xxl-enc-bf16.pth"] == "not usable"
    assert any("is empty" in note for part in found.contents for note in part.notes)


def test_a_weights_folder_says_which_presets_are_complete(untrained_folder: Path, tmp_path: Path) -> None:
    published.publish(untrained_folder, tmp_path, "longlive-1.3b")
    (tmp_path / "config.json").unlink()
    found = inspect(tmp_path)
    assert found.layout == "weights folder"
    assert "longlive-1.3b: complete." in found.notes
    assert "self-forcing: lacks checkpoints/self_forcing_dmd.pt." in found.notes
    wan = inspect(tmp_path / "wan_models" / "Wan2.1-T2V-1.3B")
    assert wan.layout == "Wan folder"
    assert {part.layout for part in wan.contents} == {"Wan VAE", "UMT5 text encoder", "tokenizer"}


def test_other_things_are_called_so(tmp_path: Path, untrained_folder: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "w.safetensors")
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save({"step": 3}, tmp_path / "step.pt")
    (tmp_path / "words.json").write_text("[1]")
    (tmp_path / "number.json").write_text('{"model": {"vocab": 5}}')
    empty = tmp_path / "empty"
    empty.mkdir()
    names = ("w.safetensors", "list.pt", "step.pt", "words.json", "number.json", "empty")
    assert {inspect(tmp_path / name).layout for name in names} == {"something else"}
    assert inspect(tmp_path).layout == "folder of weights"
    assert inspect(untrained_folder / "config.json").layout == "model configuration"


@pytest.mark.parametrize(
    ("shapes", "missing"),
    [
        ({"blocks.0.q.lora_B.weight": (4, 2)}, ("blocks.0.q: lora_A",)),
        (
            {"blocks.0.q.lora_A.weight": (), "blocks.0.q.lora_B.weight": (4, 2)},
            ("blocks.0.q: lora_A [] is no matrix",),
        ),
    ],
)
def test_an_adapter_without_a_rank_is_still_told(shapes: dict[str, tuple[int, ...]], missing: tuple[str, ...]) -> None:
    found = recognise({f"base_model.model.{name}": torch.zeros(shape) for name, shape in shapes.items()})
    assert found == Finding("LoRA of a Wan DiT", {"modules": 1, "blocks": 1}, missing)


@pytest.mark.parametrize("name", ["wan_dit_keys", "umt5_keys"])
def test_a_block_s_number_does_not_make_the_model_larger(name: str) -> None:
    state = full_size(name)
    blocks = recognise(state).dimensions["num_layers"]
    state["blocks.300000.x"] = torch.empty(1, device="meta")
    found = recognise(state)
    assert found.dimensions["num_layers"] == blocks + 1
    assert found.unexpected == ("blocks.300000.x",)


def test_what_a_file_says_of_itself_cannot_steer_a_terminal(tmp_path: Path) -> None:
    escape = "\x1b[2J"
    state = {f"{escape}{'w' * 5000}": torch.zeros(2)}
    beside = {"step": 3, "loss": 0.5, "huge": 10**600, "log": "x" * 5000, f"{escape}note": 1}
    torch.save({f"model{escape}": state, **beside, **{f"more{i}": [] for i in range(100)}}, tmp_path / "w.pt")
    said = str(inspect(tmp_path / "w.pt"))
    assert "xxx" not in said
    assert "step = 3, loss = 0.5, 'huge = 1000" in said
    assert "and 97 more" in said
    assert escape not in said
    assert len(said) < 2000


def test_damaged_files_are_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "cut.json").write_text("{")
    (tmp_path / "text.safetensors").write_text("this is no tensor\n" * 10)
    (tmp_path / "deep.json").write_text("[" * 100_000)
    for name in ("cut.json", "deep.json", "text.safetensors", "absent.pt"):
        with pytest.raises(CheckpointError, match=name):
            inspect(tmp_path / name)


def test_no_data_of_a_tensor_is_read(tmp_path: Path, untrained_folder: Path) -> None:
    state = load_file(untrained_folder / "transformer.safetensors")
    state["blocks.0.ffn.0.weight"] = torch.zeros(96, 48)
    state["filler"] = torch.zeros(50_000_000)
    torch.save({"generator": state}, tmp_path / "big.pt")
    before = resident()
    found: Inspection = inspect(tmp_path / "big.pt")
    assert found.parts[0].unexpected == ("filler",)
    assert resident() - before < 50_000_000


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
