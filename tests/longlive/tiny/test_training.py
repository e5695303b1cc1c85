"""The stages of `longlive train tiny` on models and data so small that each takes a second."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from longlive.config import TextEncoderConfig, TransformerConfig, VAEConfig
from longlive.pipeline import load_model
from longlive.stream import VideoStream
from longlive.tiny.captions import TEXT_LEN, full_caption
from longlive.tiny.training import export as exporting
from longlive.tiny.training import trainer, vae_stage
from longlive.tiny.training.dit_stage import CLIPS, STARTS, TinyModel, train_clips, train_starts
from longlive.tiny.training.errors import ResumeError
from longlive.tiny.training.export import FILES, export
from longlive.tiny.training.few_step_stage import SAMPLER, FewStepTuning, train_few_step
from longlive.tiny.training.latents import (
    CHUNK,
    CHUNKS,
    DataSize,
    LatentClips,
    LatentData,
    data_origin,
    encode_data,
    latent_statistics,
    load_data,
)
from longlive.tiny.training.run import Recipe, compile_fault, train_tiny
from longlive.tiny.training.trainer import Stage, Worker
from longlive.tiny.training.vae_stage import build_vae, draw_pixels, train_vae
from longlive.tiny.world import Clip, Scene, draw_change, draw_scene
from longlive.vae import WanVAE

ALONE = Worker(0, 1)
VAE = VAEConfig(dim=4, num_res_blocks=1)
TRANSFORMER = TransformerConfig(
    dim=48, num_heads=2, ffn_dim=64, num_layers=2, freq_dim=16, text_dim=32, text_len=TEXT_LEN
)
TEXT = TextEncoderConfig(vocab_size=160, dim=32, dim_attn=32, dim_ffn=48, num_heads=2, num_layers=1)
VAE_STAGE = replace(vae_stage.STAGE, steps=6, batch=2, warmup=2)
DIT_STAGE = Stage("mini", steps=6, batch=2, adam_lr=2e-3, muon_lr=0.02, ema=0.9, warmup=2, decay_from=0.4)


class Stopped(Exception):
    """What kills a run in these tests."""


@dataclass(frozen=True, slots=True)
class StoppingWorker(Worker):
    """Is killed when it asks for the batch of update 3."""

    def seed(self, stage: str, step: int) -> int:
        if step == 3:
            raise Stopped
        return Worker(self.rank, self.world).seed(stage, step)


def quiet(line: str) -> None:
    pass


def drawn_data(seed: int = 0) -> LatentData:
    """Latents out of nothing, with the scenes that they might show."""
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)

    def clips(count: int, chunks: int) -> LatentClips:
        latents = torch.randn(count, chunks * CHUNK, 16, 8, 8, generator=generator).bfloat16()
        scenes = [draw_scene(rng) for _ in range(count)]
        return LatentClips(latents, scenes, [draw_change(rng, scene, 2) for scene in scenes])

    return LatentData(clips(4, CHUNKS), [clips(4, CHUNKS) for _ in range(1, CHUNKS)], clips(STARTS.batch, 1), {})


def mini_vae(worker: Worker, directory: Path) -> nn.Module:
    return train_vae(worker, directory, quiet, VAE_STAGE, VAE)


def mini_dit(train: Callable[..., None]) -> Callable[[Worker, Path], nn.Module]:
    def run(worker: Worker, directory: Path) -> nn.Module:
        model = TinyModel(TRANSFORMER, TEXT)
        # At its start the head predicts no flow at all, and a student has nothing to learn from such a teacher.
        nn.init.normal_(model.transformer.head.head.weight, std=0.1)
        train(model, drawn_data(), worker, directory, quiet, DIT_STAGE)
        return model

    return run


@pytest.mark.parametrize(
    "train",
    [mini_vae, mini_dit(train_starts), mini_dit(train_clips), mini_dit(train_few_step)],
    ids=["vae", "starts", "clips", "few-step"],
)
def test_six_updates_are_three_and_a_resumed_three_bit_for_bit(
    train: Callable[[Worker, Path], nn.Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "SAVE_SECONDS", 0.0)
    whole, halved = tmp_path / "whole", tmp_path / "halved"
    whole.mkdir()
    halved.mkdir()
    expected = train(ALONE, whole).state_dict()
    with pytest.raises(Stopped):
        train(StoppingWorker(0, 1), halved)
    (file,) = halved.iterdir()
    saved = torch.load(file, weights_only=True)
    assert saved["step"] == 3
    half = saved["average"] or saved["masters"]
    resumed = train(ALONE, halved).state_dict()
    assert all(torch.equal(resumed[name], value) for name, value in expected.items())
    # And the last three did something.
    assert any(not torch.equal(p.bfloat16().view_as(expected[name]), expected[name]) for name, p in half.items())


def test_pixels_are_never_drawn_from_a_held_out_scene(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Clip] = []

    def no_render(clip: Clip, frames: int) -> Tensor:
        drawn.append(clip)
        return torch.zeros(frames, 3, 1, 1, dtype=torch.uint8)

    monkeypatch.setattr(vae_stage, "render", no_render)
    for step in range(100):
        draw_pixels(ALONE.seed("vae", step), 4, 9)
    scenes = [scene for clip in drawn for scene in (clip.scene, clip.after) if scene]
    assert len(scenes) == 500
    assert not any(scene.held_out() for scene in scenes)


@pytest.fixture(scope="module")
def vae() -> WanVAE:
    return build_vae(VAE)


SIZE = DataSize(plain=6, switched=6, starts=20)
SHARING = (Worker(0, 2), Worker(1, 2))


@pytest.fixture(scope="module")
def shards(vae: WanVAE, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    directory = tmp_path_factory.mktemp("latents")
    return [encode_data(vae, worker, directory, quiet, SIZE) for worker in SHARING]


def test_latents_show_no_held_out_scene_and_a_switch_where_they_say(vae: WanVAE, shards: list[Path]) -> None:
    scenes: list[Scene] = []
    for worker, shard in zip(SHARING, shards, strict=True):
        data = load_data(shard, data_origin(vae, worker, SIZE), VAE)
        assert [len(kind) for kind in (data.plain, *data.switched, data.starts)] == [3, 3, 3, 3, 3, 10]
        assert data.plain.latents.shape == (3, CHUNKS * CHUNK, 16, 8, 8)
        assert data.starts.latents.shape == (10, CHUNK, 16, 8, 8)
        assert data.plain.scenes == data.plain.after
        assert all(old != new for kind in data.switched for old, new in zip(kind.scenes, kind.after, strict=True))
        scenes += [s for kind in (data.plain, *data.switched, data.starts) for s in (*kind.scenes, *kind.after)]
    assert not any(scene.held_out() for scene in scenes)


def test_processes_draw_different_clips(vae: WanVAE, shards: list[Path]) -> None:
    first, second = (
        load_data(shard, data_origin(vae, worker, SIZE), VAE) for worker, shard in zip(SHARING, shards, strict=True)
    )
    assert first.starts.scenes != second.starts.scenes
    assert not torch.equal(first.plain.latents, second.plain.latents)


def test_training_reads_latents_of_mean_zero_and_deviation_one(vae: WanVAE, shards: list[Path]) -> None:
    mean, std = latent_statistics(shards)
    config = replace(VAE, mean=tuple(mean.tolist()), std=tuple(std.tolist()))
    plain = torch.cat(
        [
            load_data(shard, data_origin(vae, worker, SIZE), config).plain.latents
            for worker, shard in zip(SHARING, shards, strict=True)
        ]
    )
    values = plain.float().transpose(0, 2).flatten(1)
    torch.testing.assert_close(values.mean(1), torch.zeros(16), rtol=0, atol=0.02)
    torch.testing.assert_close(values.std(1), torch.ones(16), rtol=0, atol=0.02)


def test_finished_latents_are_kept_for_their_vae_and_refused_for_another(vae: WanVAE, shards: list[Path]) -> None:
    worker, shard = SHARING[0], shards[0]
    written = shard.stat().st_mtime_ns
    assert encode_data(vae, worker, shard.parent, quiet, SIZE) == shard
    assert shard.stat().st_mtime_ns == written
    with pytest.raises(ResumeError, match="another amount of data;"):
        encode_data(vae, worker, shard.parent, quiet, DataSize(2, 2, 2))
    other = build_vae(VAE)
    with torch.no_grad():
        next(other.parameters()).add_(1)
    with pytest.raises(ResumeError, match="another VAE;"):
        encode_data(other, worker, shard.parent, quiet, SIZE)


def test_the_teacher_walks_from_noise_to_the_end_through_every_served_level() -> None:
    tuning = FewStepTuning(TinyModel(TRANSFORMER, TEXT))
    assert len(tuning.sigmas) == len(SAMPLER.denoising_steps)
    assert set(tuning.sigmas) < set(tuning.grid)
    assert (tuning.grid[0], tuning.grid[-1]) == (1.0, 0.0)
    assert all(level > following for level, following in pairwise(tuning.grid))


def test_an_exported_model_loads_and_makes_video(vae: WanVAE, tmp_path: Path) -> None:
    model, folder = TinyModel(TRANSFORMER, TEXT), tmp_path / "new" / "model"
    export(model, vae, VAE, folder)
    loaded = load_model(folder, torch.bfloat16, "cpu")
    assert {file.name for file in folder.iterdir()} == FILES
    assert [file.name for file in folder.parent.iterdir()] == ["model"]
    trained = model.transformer.state_dict()
    assert all(torch.equal(value, trained[name]) for name, value in loaded.transformer.state_dict().items())
    caption = full_caption(random.Random(0), draw_scene(random.Random(0)))
    assert not loaded.unknown_words(caption)
    assert VideoStream(loaded, loaded.encode([caption]), 0).next_frames().shape == (9, 64, 64, 3)


def test_an_export_replaces_a_model_whole_or_leaves_it(
    vae: WanVAE, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, folder = TinyModel(TRANSFORMER, TEXT), tmp_path / "model"
    export(model, vae, VAE, folder)
    before = (folder / "transformer.safetensors").read_bytes()
    with torch.no_grad():
        model.transformer.head.head.weight.add_(1)
    with monkeypatch.context() as patched:
        patched.setattr(exporting, "save_file", _full_disk)
        with pytest.raises(OSError, match="disk is full"):
            export(model, vae, VAE, folder)
    assert (folder / "transformer.safetensors").read_bytes() == before
    export(model, vae, VAE, folder)
    assert (folder / "transformer.safetensors").read_bytes() != before
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


def _full_disk(tensors: dict[str, Tensor], file: Path) -> None:
    raise OSError("disk is full")


def test_a_folder_with_other_files_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    out, work = tmp_path / "out", tmp_path / "work"
    out.mkdir()
    (out / "thesis.txt").write_text("precious")
    with pytest.raises(FileExistsError, match="holds something else than a model"):
        train_tiny(out, work, quiet)
    assert [file.name for file in out.iterdir()] == ["thesis.txt"]
    assert not work.exists()


@pytest.mark.parametrize("processes", [0, 9])
def test_more_processes_than_the_data_feeds_are_refused(tmp_path: Path, processes: int) -> None:
    with pytest.raises(ValueError, match="give 1 to 8"):
        train_tiny(tmp_path / "out", tmp_path / "work", quiet, processes)


def test_a_missing_compiler_is_found_out_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_compiler(function: object) -> Callable[[Tensor], Tensor]:
        def compiled(x: Tensor) -> Tensor:
            raise RuntimeError("g++ not found\nset CXX")

        return compiled

    monkeypatch.setattr(torch, "compile", no_compiler)
    assert compile_fault() == "RuntimeError: g++ not found"


@pytest.mark.timeout(900)  # three processes that import everything, on whatever machine
def test_one_command_trains_all_stages_in_processes_and_goes_on_only_as_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHDYNAMO_DISABLE", "1")  # compiling takes longer than this whole training
    stage = replace(DIT_STAGE, steps=1)
    recipe = Recipe(
        VAE,
        TRANSFORMER,
        TEXT,
        replace(VAE_STAGE, steps=2),
        DataSize(plain=4, switched=4, starts=16),
        replace(stage, name=STARTS.name),
        replace(stage, name=CLIPS.name),
        replace(stage, name="few-step"),
    )
    out, work = tmp_path / "out", tmp_path / "work"
    train_tiny(out, work, quiet, 2, recipe)
    written = {file.name: file.read_bytes() for file in out.iterdir()}
    assert load_model(out, torch.bfloat16, "cpu").config.transformer == TRANSFORMER
    with pytest.raises(ResumeError, match=r"vae\.train\.pt was made with another number of processes;"):
        train_tiny(out, work, quiet, 1, recipe)
    assert {file.name: file.read_bytes() for file in out.iterdir()} == written
