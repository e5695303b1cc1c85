"""What keeps the service from starting is said in one line, before anything is started."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from deployments.preflight import (
    CannotStart,
    require_address,
    require_devices,
    require_model,
    require_prompts,
    require_redis,
    require_snapshots,
)
from deployments.redis_server import RedisServer
from tests.longlive.published import publish


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(CannotStart, match=f"127.0.0.1:{port}.*choose another"):
            require_address("127.0.0.1", port)
    require_address("127.0.0.1", port)


def test_a_redis_that_does_not_answer_is_told_apart_from_one_that_does(redis_server: RedisServer) -> None:
    require_redis(redis_server.url)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(CannotStart, match="does not answer") as caught:
            require_redis(f"redis://127.0.0.1:{nobody.getsockname()[1]}")
    assert "\n" not in str(caught.value)


def test_snapshots_that_have_no_place_are_told_apart_from_those_that_do(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    for url in (redis_server.url, str(tmp_path), "memory://snapshots"):
        require_snapshots(url)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        with pytest.raises(CannotStart, match=r"the Redis of LONGLIVE_SNAPSHOTS does not answer.*unset") as caught:
            require_snapshots(f"redis://127.0.0.1:{port}")
    assert "\n" not in str(caught.value)
    with pytest.raises(CannotStart, match="LONGLIVE_SNAPSHOTS cannot be opened"):
        require_snapshots("nosuch://place")


def test_prompts_that_cannot_be_written_are_told_before_the_start(tmp_path: Path) -> None:
    require_prompts("tiny", None)
    with pytest.raises(CannotStart, match="no prompt profile 'medium'"):
        require_prompts("medium", None)
    with pytest.raises(CannotStart, match="cannot be read"):
        require_prompts(None, tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("", "", None),
        ('"chunk_frames": 3', '"chunk_frames": 2', "chunks of 2 latent frames"),
        ('"chunk_frames": 3', '"chunk_frame": 3', "not a model configuration"),
    ],
)
def test_a_model_that_cannot_be_served_is_refused(
    untrained_folder: Path, tmp_path: Path, before: str, after: str, said: str | None
) -> None:
    model = shutil.copytree(untrained_folder, tmp_path / "model")
    config = (model / "config.json").read_text()
    assert before in config
    (model / "config.json").write_text(config.replace(before, after))
    if said is None:
        require_model(str(model), None, "wan")
        return
    with pytest.raises(CannotStart, match=said) as caught:
        require_model(str(model), None, "wan")
    assert "\n" not in str(caught.value)


def test_a_model_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="there is no model"):
        require_model("nonsense", None, "wan")
    with pytest.raises(CannotStart, match=r"config\.json"):
        require_model(str(tmp_path), None, "wan")
    with pytest.raises(CannotStart, match=r"longlive_base\.pt is missing; `longlive fetch longlive-1\.3b --to "):
        require_model("longlive-1.3b", tmp_path, "wan")


def test_a_model_made_frame_by_frame_is_refused(untrained_folder: Path, tmp_path: Path) -> None:
    publish(untrained_folder, tmp_path, "self-forcing-framewise")
    with pytest.raises(CannotStart, match="chunks of 1 latent frames"):
        require_model(str(tmp_path), None, "wan")


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("transformer.safetensors", {"x": torch.zeros(1)}, "does not fit a CausalWanTransformer"),
        ("vae.safetensors", {"x": torch.zeros(1)}, "does not fit a WanDecoder"),
        ("text_encoder.safetensors", {"x": torch.zeros(1)}, "is not a text encoder"),
        ("text_encoder.safetensors", {"norm.weight": torch.zeros(3)}, r"blocks\.0\.attn\.k\.weight is missing"),
        ("text_encoder.safetensors", None, "damaged, or no safetensors file"),
        ("tokenizer.json", None, "is no tokenizer"),
    ],
)
def test_files_that_cannot_be_loaded_are_refused_before_anything_is_started(
    untrained_folder: Path, tmp_path: Path, file: str, content: dict[str, Tensor] | None, said: str
) -> None:
    model = Path(shutil.copytree(untrained_folder, tmp_path / "model"))
    assert (model / file).is_file()
    if content is None:
        (model / file).write_text("Repository not found")
    else:
        save_file(content, model / file)
    with pytest.raises(CannotStart, match=said) as caught:
        require_model(str(model), None, "wan")
    assert "\n" not in str(caught.value)


def test_an_adapter_of_another_rank_is_refused(untrained_folder: Path, tmp_path: Path) -> None:
    publish(untrained_folder, tmp_path, "longlive-1.3b")
    require_model(str(tmp_path), None, "wan")
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace('"rank":4', '"rank":8').replace('"rank": 4', '"rank": 8'))
    with pytest.raises(CannotStart, match="its rank is 4, the model's configuration says 8"):
        require_model(str(tmp_path), None, "wan")


@pytest.mark.parametrize("name", ["~nobody-of-this-name/model", "m" * 5000])
def test_a_path_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(CannotStart, match=r"home folder|too long") as caught:
        require_model(name, None, "wan")
    assert "\n" not in str(caught.value)


def test_a_decoder_that_the_model_does_not_have_is_refused(untrained_folder: Path) -> None:
    with pytest.raises(CannotStart, match="no decoder 'tiny'"):
        require_model(str(untrained_folder), None, "tiny")


@pytest.mark.parametrize(("generators", "gpus", "fits"), [(1, 0, True), (8, 0, True), (2, 2, True), (2, 1, False)])
def test_a_gpu_is_never_left_unused_in_silence(generators: int, gpus: int, fits: bool) -> None:
    if fits:
        require_devices(generators, gpus)
        return
    with pytest.raises(CannotStart, match="2 generators for 1 GPU"):
        require_devices(generators, gpus)
