"""`longlive fetch`, `longlive inspect`, and what the command line says of weights that cannot be used."""

from __future__ import annotations

import json
import pickle
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from longlive.config import AdapterConfig
from longlive.config_file import read_config, to_json
from longlive.presets import PRESETS
from tests.longlive import published
from tests.longlive.loopback_hub import LoopbackHub, serving
from tests.test_cli import run

GENERATE = ("generate", "--prompt", "a red ball", "--seconds", "0.5")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    """A hub with every published file of every preset, each of them small and another."""
    sources = {source for preset in PRESETS.values() for source in preset.sources if source.repo}
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with serving({f"{source.repo}/{source.file}": source.path.encode() * 40 for source in sources}) as hub:
        # What HF_ENDPOINT does to a new process.
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
        template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield hub


def test_fetch_puts_every_file_where_its_preset_looks_for_it(
    capsys: pytest.CaptureFixture[str], server: LoopbackHub, tmp_path: Path
) -> None:
    code, out, _ = run(capsys, "fetch", "longlive-1.3b", "--to", tmp_path)
    assert code == 0
    needed = [source for source in PRESETS["longlive-1.3b"].sources if not source.optional]
    for source in needed:
        assert (tmp_path / source.path).read_bytes() == source.path.encode() * 40
        assert f"{tmp_path / source.path}: 0.00 MB, verified" in out
    assert "5 files" in out.splitlines()[0]
    assert not (tmp_path / "decoders").exists()
    assert f"--model longlive-1.3b --weights {tmp_path}" in out

    server.requests.clear()
    (tmp_path / needed[0].path).write_bytes(b"damaged")
    code, out, _ = run(capsys, "fetch", "longlive-1.3b", "--to", tmp_path, "--with-decoders")
    assert code == 0
    assert f"{tmp_path / needed[1].path}: 0.00 MB, is there" in out
    assert f"{tmp_path / needed[0].path}: 0.00 MB, is not what the hub has" in out
    fetched = [file for method, file, _ in server.requests if method == "GET"]
    assert sorted(fetched) == sorted([needed[0].file, "lightvaew2_1.pth", "taew2_1.pth"])


@pytest.mark.parametrize("has", [True, False])
def test_fetch_says_which_file_nobody_publishes_and_how_to_use_a_preset_once_it_is_complete(
    capsys: pytest.CaptureFixture[str], server: LoopbackHub, tmp_path: Path, has: bool
) -> None:
    own = "checkpoints/self_forcing_dmd_framewise.pt"
    if has:
        touch(tmp_path, own)
    code, out, _ = run(capsys, "fetch", "self-forcing-framewise", "--to", tmp_path)
    assert code == 0
    assert (f"{tmp_path / own}: nobody publishes this file" in out) != has
    assert out.splitlines()[-1].startswith("Use it: ") == has
    assert ("Use it" in out) == has


def test_without_a_hub_fetch_lists_what_to_copy_where(
    capsys: pytest.CaptureFixture[str], server: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.shutdown()
    server.server_close()
    monkeypatch.chdir(tmp_path)
    first, *others = [source for source in PRESETS["causal-forcing"].sources if not source.optional]
    touch(tmp_path, first.path)
    code, out, err = run(capsys, "fetch", "causal-forcing", "--to", ".")
    assert (code, out) == (2, "")
    assert err.startswith(f"longlive: cannot reach {server.url}")
    copies = [f"  {source.repo}: {source.file} -> {tmp_path / source.path}" for source in others]
    assert err.splitlines()[1:] == copies

    touch(tmp_path, *(source.path for source in others))
    code, out, err = run(capsys, "fetch", "causal-forcing", "--to", ".")
    assert (code, err) == (0, "")
    assert f"all that is published is in {tmp_path}, but not verified: cannot reach" in out


def test_fetch_lists_what_is_left_when_a_download_fails(
    capsys: pytest.CaptureFixture[str], server: LoopbackHub, tmp_path: Path
) -> None:
    first, second, *others = [source for source in PRESETS["causal-forcing"].sources if not source.optional]
    touch(tmp_path, second.path)
    code, _, _ = run(capsys, "fetch", "causal-forcing", "--to", tmp_path / "other")
    assert code == 0
    server.damage = True
    (tmp_path / first.path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / first.path).write_bytes((tmp_path / "other" / first.path).read_bytes())
    code, out, err = run(capsys, "fetch", "causal-forcing", "--to", tmp_path)
    assert code == 2
    assert "Use it" not in out
    assert err.splitlines()[-len(others) - 1 :] == [
        f"  {source.repo}: {source.file} -> {tmp_path / source.path}" for source in (second, *others)
    ]


def test_fetch_stops_before_the_disk_is_full(
    capsys: pytest.CaptureFixture[str], server: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("longlive.hub.free_bytes", lambda folder: 100)
    code, _, err = run(capsys, "fetch", "self-forcing", "--to", tmp_path)
    assert code == 2
    assert f"the disk of {tmp_path} has room for 0.00 MB" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("preset", "said"), [("tiny", "part of this package"), ("sora", "take one of longlive-1.3b")])
def test_fetch_knows_its_presets(capsys: pytest.CaptureFixture[str], preset: str, said: str) -> None:
    code, _, err = run(capsys, "fetch", preset)
    assert (code, err.count("\n")) == (2, 1)
    assert said in err


def test_inspect_prints_a_table_or_a_document(
    capsys: pytest.CaptureFixture[str], untrained_folder: Path, tmp_path: Path
) -> None:
    published.publish(untrained_folder, tmp_path, "longlive-1.3b")
    code, out, _ = run(capsys, "inspect", tmp_path)
    assert code == 0
    assert f"{tmp_path}: model folder" in out
    assert "LoRA of a Wan DiT" in out
    assert "decoders/taew2_1.pth is not there" in out
    code, out, _ = run(capsys, "inspect", tmp_path / "longlive_models" / "models" / "lora.pt", "--json")
    document = json.loads(out)
    assert document["parts"][0]["dimensions"]["rank"] == published.RANK
    assert (code, document["layout"]) == (0, "training checkpoint")
    code, _, err = run(capsys, "inspect", tmp_path / "nothing.pt")
    assert (code, err.count("\n")) == (2, 1)


def test_a_clip_is_made_of_published_files(
    capsys: pytest.CaptureFixture[str], untrained_folder: Path, tmp_path: Path
) -> None:
    published.publish(untrained_folder, tmp_path / "model", "self-forcing-framewise")
    out = tmp_path / "clip.mp4"
    code, said, _ = run(capsys, *GENERATE, "--model", tmp_path / "model", "--out", out)
    assert code == 0
    assert "8 frames" in said
    assert out.stat().st_size > 0


def touch(folder: Path, *files: str) -> None:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()


def wan_folder(folder: Path) -> None:
    touch(folder, "diffusion_pytorch_model.safetensors")
    (folder / "config.json").write_text('{"_class_name": "WanModel", "dim": 1536}')


def foreign_folder(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({f"key_{i}": i for i in range(14)}))


@pytest.mark.parametrize("given", [True, False], ids=["--weights", "by default"])
@pytest.mark.parametrize("decoder", ["wan", "tiny"])
def test_a_preset_without_its_files_says_how_to_get_them(
    capsys: pytest.CaptureFixture[str],
    server: LoopbackHub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    decoder: str,
    given: bool,
) -> None:
    folder = tmp_path / "my weights"
    monkeypatch.setenv("LONGLIVE_WEIGHTS", str(tmp_path / "other" if given else folder))
    if decoder == "tiny":
        touch(folder, *(source.path for source in PRESETS["longlive-1.3b"].sources if not source.optional))
    weights = ("--weights", folder) if given else ()
    out = ("--out", tmp_path / "c.mp4")
    code, _, err = run(capsys, *GENERATE, "--model", "longlive-1.3b", *weights, *out, "--decoder", decoder)
    assert (code, err.count("\n")) == (2, 1)
    missing, _, advice = err.removeprefix("longlive: ").partition(" is missing; ")
    assert not Path(missing).exists()
    assert run(capsys, *shlex.split(advice.split("`")[1])[1:])[0] == 0
    assert Path(missing).is_file()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: None, "it has no config.json (docs/models.md); name one that has, or a preset: tiny, longlive"),
        (
            lambda folder: touch(folder, *(s.path for s in PRESETS["self-forcing"].sources)),
            "name it with --weights, and with --model one of self-forcing\n",
        ),
        (
            lambda folder: touch(folder, "Wan2.1_VAE.pth"),
            "the presets, which look for it as wan_models/Wan2.1-T2V-1.3B",
        ),
        (wan_folder, "the presets, which look for it as wan_models/Wan2.1-T2V-1.3B"),
        (foreign_folder, "and 11 more\n"),
    ],
    ids=["empty", "weights", "part of Wan", "Wan", "of another library"],
)
def test_a_folder_that_is_no_model_gets_the_advice_that_mends_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, make: Callable[[Path], object], said: str
) -> None:
    make(tmp_path)
    assert_refused(capsys, tmp_path, said)


def test_no_name_is_no_model(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, _, err = run(capsys, *GENERATE, "--model", "", "--out", tmp_path / "clip.mp4")
    assert (code, err.count("\n")) == (2, 1)
    assert "there is no model ''; name a folder with a config.json, or a preset" in err


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def misshape(path: Path) -> None:
    content = torch.load(path, weights_only=True)
    content["generator"]["model.head.head.bias"] = torch.zeros(3)
    torch.save(content, path)


def point_to_lfs(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5676070424\n")


class Hostile:
    def __reduce__(self) -> tuple[object, ...]:
        return (print, ("code ran",))


def hide_code(path: Path) -> None:
    torch.save({"generator": Hostile()}, path)


def hide_code_in_a_plain_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"generator": Hostile()}, protocol=2))


def make_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("part", "spoil", "said"),
    [
        ("transformer", truncate, "is damaged"),
        ("transformer", misshape, "head.head.bias is [3], expected [64]"),
        ("transformer", hide_code, "could run code"),
        ("transformer", hide_code_in_a_plain_pickle, "could run code|is damaged"),
        ("transformer", point_to_lfs, "is a pointer of git-lfs, not the file itself"),
        ("transformer", lambda path: path.write_bytes(b""), "is empty; copy or download it again"),
        ("transformer", lambda path: path.write_text("<html>Sign in</html>"), "no torch file|is damaged"),
        ("transformer", lambda path: path.unlink(), "is missing; put it there"),
        ("transformer", make_a_folder, "is a folder; the model"),
        ("vae", truncate, "is damaged"),
        ("vae", lambda path: torch.save({"x": torch.zeros(1)}, path), "does not fit a WanDecoder"),
        ("text_encoder", lambda path: torch.save({"x": torch.zeros(1)}, path), "is not a text encoder"),
        ("text_encoder", point_to_lfs, "git-lfs"),
        ("tokenizer", lambda path: path.unlink(), "tokenizer.json is missing"),
        ("tokenizer", point_to_lfs, "tokenizer.json is no tokenizer"),
        ("tokenizer", lambda path: path.write_text("{"), "tokenizer.json is no tokenizer"),
    ],
)
def test_weights_that_cannot_be_used_get_one_clear_line(
    capsys: pytest.CaptureFixture[str],
    untrained_folder: Path,
    tmp_path: Path,
    part: str,
    spoil: Callable[[Path], object],
    said: str,
) -> None:
    model = tmp_path / "model"
    config, _ = published.publish(untrained_folder, model, "longlive-1.3b")
    spoil(model / getattr(config.files, part))
    assert_refused(capsys, model, said)


def test_an_adapter_of_another_rank_gets_one_clear_line(
    capsys: pytest.CaptureFixture[str], untrained_folder: Path, tmp_path: Path
) -> None:
    config, _ = published.publish(untrained_folder, tmp_path, "longlive-1.3b")
    assert config.files.adapter is not None
    adapter = AdapterConfig(file=config.files.adapter.file, rank=256, alpha=256)
    (tmp_path / "config.json").write_text(to_json(replace(config, files=replace(config.files, adapter=adapter))))
    assert_refused(capsys, tmp_path, "its rank is 4, the model's configuration says 256")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "transformer.safetensors").write_text("words " * 9), "damaged, or no safetensors"),
        (lambda folder: truncate(folder / "vae.safetensors"), "damaged, or no safetensors"),
        (lambda folder: (folder / "config.json").unlink(), "it has no config.json"),
        (lambda folder: (folder / "config.json").write_text('{"_class_name": "WanModel"}'), "not a model config"),
        (lambda folder: (folder / "config.json").write_text("{"), "not a model config"),
    ],
)
def test_a_folder_that_is_something_else_gets_one_clear_line(
    capsys: pytest.CaptureFixture[str],
    untrained_folder: Path,
    tmp_path: Path,
    spoil: Callable[[Path], object],
    said: str,
) -> None:
    model = Path(shutil.copytree(untrained_folder, tmp_path / "model"))
    spoil(model)
    assert_refused(capsys, model, said)


def test_a_file_where_a_model_folder_is_expected_gets_one_clear_line(
    capsys: pytest.CaptureFixture[str], untrained_folder: Path
) -> None:
    assert_refused(capsys, untrained_folder / "transformer.safetensors", "is a file; a model is a folder")


def test_an_adapter_in_the_place_of_the_model_is_told_from_it(
    capsys: pytest.CaptureFixture[str], untrained_folder: Path, tmp_path: Path
) -> None:
    model = Path(shutil.copytree(untrained_folder, tmp_path / "model"))
    weights = load_file(model / "transformer.safetensors")
    save_file(published.lora(2, weights), model / "transformer.safetensors")
    assert read_config(model / "config.json").transformer.num_layers == 2
    assert_refused(capsys, model, "does not fit a CausalWanTransformer")


def assert_refused(capsys: pytest.CaptureFixture[str], model: Path, said: str) -> None:
    code, out, err = run(capsys, *GENERATE, "--model", model, "--out", model.parent / "clip.mp4")
    assert (code, out) == (2, "")
    assert err.startswith("longlive: ")
    assert err.count("\n") == 1
    assert str(model) in err
    assert any(alternative in err for alternative in said.split("|"))
    assert "code ran" not in err
