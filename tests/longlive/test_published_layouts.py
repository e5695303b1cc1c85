"""Small models in every published layout load through the same code as the real ones and make the same video."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from longlive.checkpoints import load_transformer
from longlive.config import AdapterConfig, ModelConfig, TransformerConfig, VAEConfig
from longlive.config_file import parse_json, to_json
from longlive.errors import CheckpointError, InputError
from longlive.lora import pair_up, read_adapter
from longlive.model_folder import find_model
from longlive.pipeline import load_model, load_prompt_encoder, load_video_model
from longlive.precision import Precision
from longlive.presets import PRESETS
from longlive.rollout import Rollout
from longlive.transformer import CausalWanTransformer
from longlive.vae import WanVAE
from longlive.vae_names import original_vae_names
from tests.longlive import published
from tests.longlive.goldens import golden_dir

PROMPT = "a red ball hops in the desert"


@pytest.mark.parametrize("preset", PRESETS)
def test_a_model_of_every_preset_s_layout_makes_the_same_latents_as_its_plain_modules(
    preset: str, untrained_folder: Path, tmp_path: Path
) -> None:
    config, weights = published.publish(untrained_folder, tmp_path, preset)
    model = load_model(tmp_path, torch.float32, "cpu")
    alone = CausalWanTransformer(config.transformer)
    alone.load_state_dict(weights)
    prompt = model.encode([PROMPT])
    expected = Rollout(
        alone.requires_grad_(False), config.rollout, config.sampler, config.latent_shape, prompt, seed=3
    ).next_chunk()
    made = model.rollout(prompt, 3).next_chunk()
    assert made.shape[1] == config.rollout.chunk_frames
    torch.testing.assert_close(made, expected, atol=2e-5, rtol=0)
    frames = model.decode(made, model.decoder_state())
    vae = WanVAE(config.vae)
    vae.load_state_dict(load_file(untrained_folder / "vae.safetensors"))
    torch.testing.assert_close(frames, vae.decode(expected), atol=1e-3, rtol=0)


def test_the_decoder_is_kept_without_the_encoder(untrained_folder: Path) -> None:
    decoder = load_video_model(untrained_folder, torch.float32, "cpu").decoder
    in_file = load_file(untrained_folder / "vae.safetensors")
    kept = sum(parameter.numel() for parameter in decoder.parameters())
    assert kept == sum(t.numel() for name, t in in_file.items() if name.startswith(("decoder.", "conv2.")))


def test_weights_are_quantised_after_they_are_merged(untrained_folder: Path, tmp_path: Path) -> None:
    published.publish(untrained_folder, tmp_path, "longlive-1.3b")
    exact = load_model(tmp_path, Precision.float32, "cpu")
    coarse = load_model(tmp_path, Precision.int8, "cpu")
    prompt = exact.encode([PROMPT])
    a, b = (model.rollout(prompt, 3).next_chunk().float() for model in (exact, coarse))
    assert coarse.dtype == torch.bfloat16
    assert 0 < (a - b).norm() / a.norm() < 0.2


def test_an_update_too_small_for_bfloat16_survives_the_merge(untrained_folder: Path, tmp_path: Path) -> None:
    """0.4 % of a weight's step in bfloat16, 100 times: added to a bfloat16 weight each would be lost."""
    config, _ = published.publish(untrained_folder, tmp_path, "longlive-1.3b")
    weights = load_file(untrained_folder / "transformer.safetensors")
    name = "blocks.0.ffn.0"
    weights[f"{name}.weight"] = torch.full_like(weights[f"{name}.weight"], 1.0039)  # rounds down to 1 by itself
    save_file(weights, tmp_path / "w.safetensors")
    outs, ins = weights[f"{name}.weight"].shape
    ones = {
        f"base_model.model.{name}.lora_A.weight": torch.ones(1, ins) * 1e-3,
        f"base_model.model.{name}.lora_B.weight": torch.ones(outs, 1),
    }
    adapter = pair_up(tmp_path, ones, 1.0)
    loaded = load_transformer(tmp_path / "w.safetensors", config.transformer, torch.bfloat16, adapter=adapter)
    assert set(loaded.state_dict()[f"{name}.weight"].flatten().tolist()) == {1.0078125}


@pytest.mark.parametrize(("entry", "wanted"), [("generator", 0.0), ("generator_ema", 1.0)])
def test_the_entry_that_the_configuration_names_is_taken(
    entry: str, wanted: float, untrained_folder: Path, tmp_path: Path
) -> None:
    weights = load_file(untrained_folder / "transformer.safetensors")
    config = find_model(untrained_folder).config.transformer
    torch.save({"generator": weights, "generator_ema": published.spoilt(weights)}, tmp_path / "both.pt")
    loaded = load_transformer(tmp_path / "both.pt", config, torch.float32, entry=entry)
    assert torch.equal(loaded.head.head.bias, weights["head.head.bias"] + wanted)


def test_an_entry_that_is_not_there_is_not_replaced_by_another(untrained_folder: Path, tmp_path: Path) -> None:
    weights = load_file(untrained_folder / "transformer.safetensors")
    config = find_model(untrained_folder).config.transformer
    torch.save({"generator": weights}, tmp_path / "one.pt")
    with pytest.raises(CheckpointError, match=r"no 'generator_ema', only generator.*files\.entry"):
        load_transformer(tmp_path / "one.pt", config, torch.float32, entry="generator_ema")


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": {"generator": state}},
        lambda state: {"generator": {"model": state}, "step": 1},
        lambda state: {"model": {"state_dict": state}},
        lambda state: {"module": published.renamed(state, "module.{}".format)},
    ],
)
def test_state_dicts_inside_of_others_are_found(wrap: object, untrained_folder: Path, tmp_path: Path) -> None:
    weights = load_file(untrained_folder / "transformer.safetensors")
    assert callable(wrap)
    torch.save(wrap(weights), tmp_path / "nested.pt")
    config = find_model(untrained_folder).config.transformer
    loaded = load_transformer(tmp_path / "nested.pt", config, torch.float32)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in loaded.state_dict().items())


def test_a_wan_folder_s_own_sizes_must_agree(untrained_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "diffusion_pytorch_model.safetensors"
    config = find_model(untrained_folder).config.transformer
    path.write_bytes((untrained_folder / "transformer.safetensors").read_bytes())
    sizes = {"_class_name": "WanModel", "dim": config.dim, "num_heads": config.num_heads, "model_type": "t2v"}
    (tmp_path / "config.json").write_text(json.dumps(sizes))
    load_transformer(path, config, torch.float32)
    (tmp_path / "config.json").write_text(json.dumps(sizes | {"num_heads": 4}))
    with pytest.raises(CheckpointError, match="num_heads = 4, the model's configuration num_heads = 2"):
        load_transformer(path, config, torch.float32)


@pytest.fixture
def longlive_folder(untrained_folder: Path, tmp_path: Path) -> Path:
    """A model in LongLive's layout, to be spoilt."""
    published.publish(untrained_folder, tmp_path, "longlive-1.3b")
    return tmp_path


def adapter_file(folder: Path) -> tuple[Path, AdapterConfig]:
    adapter = find_model(folder).config.files.adapter
    assert adapter is not None
    return folder / adapter.file, adapter


@pytest.mark.parametrize("container", ["generator_lora", None])
@pytest.mark.parametrize("middle", ["", ".default"])
def test_an_adapter_loads_bare_or_in_its_entry(container: str | None, middle: str, longlive_folder: Path) -> None:
    path, config = adapter_file(longlive_folder)
    state = torch.load(path, weights_only=True)["generator_lora"]
    state = {name.replace(".weight", f"{middle}.weight"): tensor for name, tensor in state.items()}
    torch.save({container: state, "step": 1} if container else state, path)
    assert len(read_adapter(path, config).pairs) == 2 * len(published.ADAPTED)


def without_one(state: dict[str, torch.Tensor]) -> None:
    del state["base_model.model.blocks.1.ffn.0.lora_B.weight"]


def of_another_block(state: dict[str, torch.Tensor]) -> None:
    for part in "AB":
        state[f"base_model.model.blocks.9.ffn.0.lora_{part}.weight"] = state[
            f"base_model.model.blocks.1.ffn.0.lora_{part}.weight"
        ]


def of_another_width(state: dict[str, torch.Tensor]) -> None:
    state["base_model.model.blocks.1.ffn.0.lora_A.weight"] = torch.zeros(published.RANK, 5)


def of_two_ranks(state: dict[str, torch.Tensor]) -> None:
    name = "base_model.model.blocks.1.ffn.0.lora_"
    state[f"{name}A.weight"], state[f"{name}B.weight"] = torch.zeros(2, 48), torch.zeros(96, 2)


def of_another_kind(state: dict[str, torch.Tensor]) -> None:
    state["diffusion_model.blocks.0.self_attn.q.lora_down.weight"] = torch.zeros(4, 48)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (without_one, r"lacks one of the two matrices for blocks\.1\.ffn\.0\.weight"),
        (of_another_block, r"adapts blocks\.9\.ffn\.0\.weight, which the model lacks"),
        (of_another_width, r"\[96, 4\] and \[4, 5\], the weight is \[96, 48\]"),
        (of_two_ranks, "its rank is 2, 4, the model's configuration says 4"),
        (of_another_kind, "is no name of an adapter's matrix"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused_with_the_reason(
    spoil: object, said: str, longlive_folder: Path
) -> None:
    path, _ = adapter_file(longlive_folder)
    content = torch.load(path, weights_only=True)
    assert callable(spoil)
    spoil(content["generator_lora"])
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=said) as caught:
        load_video_model(longlive_folder, torch.float32, "cpu")
    assert str(path) in str(caught.value)
    assert "take the adapter that was trained with this model" in str(caught.value)


def test_an_adapter_of_another_rank_is_refused(longlive_folder: Path) -> None:
    config = find_model(longlive_folder).config
    _, adapter = adapter_file(longlive_folder)
    other = replace(config, files=replace(config.files, adapter=replace(adapter, rank=256)))
    (longlive_folder / "config.json").write_text(to_json(other))
    with pytest.raises(CheckpointError, match="its rank is 4, the model's configuration says 256"):
        load_video_model(longlive_folder, torch.float32, "cpu")


@pytest.mark.parametrize("part", ["transformer", "adapter", "vae", "text_encoder", "tokenizer"])
def test_each_missing_file_is_named_before_anything_is_read(part: str, longlive_folder: Path) -> None:
    files = find_model(longlive_folder).config.files
    relative = files.adapter.file if part == "adapter" and files.adapter else getattr(files, part)
    (longlive_folder / relative).unlink()
    with pytest.raises(CheckpointError, match="is missing; put it there") as caught:
        load_model(longlive_folder, torch.float32, "cpu")
    assert str(longlive_folder / relative) in str(caught.value)


def test_a_missing_file_of_a_preset_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"longlive_base\.pt is missing; `longlive fetch longlive-1\.3b --to "):
        load_model("longlive-1.3b", torch.float32, "cpu", weights=tmp_path)
    with pytest.raises(CheckpointError, match=r"umt5-xxl-enc-bf16\.pth is missing; `longlive fetch self-forcing --to "):
        load_prompt_encoder("self-forcing", torch.float32, "cpu", weights=tmp_path)
    with pytest.raises(CheckpointError, match=r"framewise\.pt is missing; no hub has it, so put your own"):
        load_video_model("self-forcing-framewise", torch.float32, "cpu", weights=tmp_path)


def test_the_weights_folder_is_given_or_from_the_environment_or_in_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("LONGLIVE_WEIGHTS", raising=False)
    assert find_model("self-forcing").folder == tmp_path / ".cache" / "longlive"
    monkeypatch.setenv("LONGLIVE_WEIGHTS", "~/here")
    assert find_model("self-forcing").folder == tmp_path / "here"
    assert find_model("self-forcing", tmp_path / "there").folder == tmp_path / "there"


def test_a_decoder_that_a_model_does_not_have_is_refused(untrained_folder: Path) -> None:
    with pytest.raises(InputError, match="no decoder 'light'"):
        load_model(untrained_folder, torch.float32, "cpu", decoder="light")


@pytest.mark.parametrize("layout", ["original", "diffusers"])
@pytest.mark.parametrize("decoder", ["wan", "light"])
def test_a_vae_loads_from_both_layouts_of_names(
    layout: str, decoder: str, untrained_folder: Path, tmp_path: Path
) -> None:
    config = find_model(untrained_folder).config
    config = replace(config, vae=replace(config.vae, dim=16, num_res_blocks=2))
    wide, narrow = WanVAE(config.vae), WanVAE(replace(config.vae, dim=4))
    published.publish(untrained_folder, tmp_path, "self-forcing")
    files = PRESETS["self-forcing"].config.files
    assert files.light_decoder is not None
    theirs = {original: name for name, original in vae_names().items()}
    for file, vae in ((files.vae, wide), (files.light_decoder, narrow)):
        state = vae.state_dict()
        if layout == "diffusers":
            state = {theirs[name]: tensor for name, tensor in state.items()}
        published.save(tmp_path / file, state)
    own = replace(find_model(tmp_path).config, vae=config.vae)
    (tmp_path / "config.json").write_text(to_json(own))
    model = load_video_model(tmp_path, torch.float32, "cpu", decoder="light" if decoder == "light" else "wan")
    latents = torch.randn(1, 3, *own.latent_shape, generator=torch.Generator().manual_seed(0))
    expected = (narrow if decoder == "light" else wide).decode(latents).detach()
    torch.testing.assert_close(model.decode(latents, model.decoder_state()), expected, atol=1e-4, rtol=0)


def vae_names() -> dict[str, str]:
    names: dict[str, str] = json.loads((golden_dir("keys") / "wan_vae_diffusers_names.json").read_text())["names"]
    return names


def test_every_name_of_the_diffusers_layout_becomes_its_original() -> None:
    names = vae_names()
    state = {name: torch.tensor(number) for number, name in enumerate(names)}
    converted = original_vae_names(state)
    assert {original: int(tensor) for original, tensor in converted.items()} == {
        original: number for number, original in enumerate(names.values())
    }
    with torch.device("meta"):
        assert converted.keys() == WanVAE(VAEConfig()).state_dict().keys()
    with pytest.raises(ValueError, match="quantum"):
        original_vae_names({**state, "decoder.quantum.weight": torch.zeros(1)})


def test_the_published_adapter_is_about_every_linear_of_the_blocks_of_the_1_3b_model() -> None:
    keys = json.loads((golden_dir("keys") / "longlive_lora_keys.json").read_text())
    adapter = PRESETS["longlive-1.3b"].config.files.adapter
    assert adapter is not None
    assert (adapter.rank, adapter.alpha) == (keys["rank"], keys["alpha"])
    state = {
        keys["key_prefix"].format(i=block) + name: torch.empty(shape, device="meta")
        for block in range(keys["block_count"])
        for name, shape in keys["block_keys"].items()
    }
    assert len(state) == keys["num_tensors"]
    assert sum(tensor.numel() for tensor in state.values()) == keys["num_parameters"]
    with torch.device("meta"):
        transformer = CausalWanTransformer(TransformerConfig())
    pair_up(Path("lora.pt"), state, 1.0).require_fit(transformer.state_dict())
    linears = {name for name, module in transformer.blocks.named_modules() if isinstance(module, torch.nn.Linear)}
    assert {name.removesuffix(".weight") for name in pair_up(Path("lora.pt"), state, 1.0).pairs} == {
        f"blocks.{name}" for name in linears
    }


@pytest.mark.parametrize("name", PRESETS)
def test_every_file_of_a_preset_has_a_source_and_every_source_a_use(name: str) -> None:
    preset = PRESETS[name]
    config: ModelConfig = preset.config
    files = config.files
    needed = {files.transformer, files.vae, files.text_encoder, files.tokenizer}
    needed |= {files.adapter.file} if files.adapter else set()
    assert config.name == name
    assert {source.path for source in preset.sources if not source.optional} == needed
    assert {source.path for source in preset.sources if source.optional} == {files.light_decoder, files.tiny_decoder}
    assert config.examples
    assert config.follow_ups


def test_the_manual_names_every_file_and_its_example_is_a_configuration() -> None:
    text = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
    for preset in PRESETS.values():
        assert f"`{preset.config.name}`" in text
        for source in preset.sources:
            assert f"| `{source.path}` | {f'`{source.repo}`: `{source.file}`' if source.repo else 'nobody'}" in text
    example = parse_json(ModelConfig, text.split("```json")[1].split("```")[0].encode())
    assert example.files.entry == "generator_ema"
    assert example.files.adapter == AdapterConfig(file="lora.pt", rank=128, alpha=128)
