from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from longlive.config import VAEConfig
from longlive.decoder import DecoderState
from longlive.vae import WanVAE
from tests.longlive.goldens import full_golden_dir, golden_dir

TOLERANCE = 2e-5
BF16_RELATIVE_RMS = 0.03


def build(config_file: Path, io: dict[str, Tensor]) -> WanVAE:
    sizes = json.loads(config_file.read_text())["vae"]
    return WanVAE(VAEConfig(**sizes, mean=tuple(io["mean"].tolist()), std=tuple(io["std"].tolist())))


def frames_first(video: Tensor) -> Tensor:
    """The Wan set stores `[B, C, T, H, W]`."""
    return video.transpose(1, 2)


def fresh_state(vae: WanVAE, latents: Tensor) -> DecoderState:
    return vae.init_state(latents.shape[0], *latents.shape[-2:], dtype=latents.dtype, device=latents.device)


def relative_rms(got: Tensor, golden: Tensor) -> float:
    return ((got.float() - golden).norm() / golden.norm()).item()


@pytest.fixture(scope="module")
def io() -> dict[str, Tensor]:
    return load_file(golden_dir("wan") / "vae_decoder_io.safetensors")


@pytest.fixture(scope="module")
def vae(io: dict[str, Tensor]) -> WanVAE:
    vae = build(golden_dir("wan") / "config.json", io).requires_grad_(False)
    absent = vae.load_state_dict(load_file(golden_dir("wan") / "vae_decoder_weights.safetensors"), strict=False)
    assert not absent.unexpected_keys
    assert all(key.startswith(("encoder.", "conv1.")) for key in absent.missing_keys)
    return vae


@pytest.fixture(scope="module")
def latents(io: dict[str, Tensor]) -> Tensor:
    return frames_first(io["latents"])


@pytest.fixture(scope="module")
def golden(io: dict[str, Tensor]) -> Tensor:
    return frames_first(io["frames"])


def test_latents_are_denormalised_with_the_reference_rounding(
    vae: WanVAE, io: dict[str, Tensor], latents: Tensor
) -> None:
    assert torch.equal(vae.denormalise(latents), frames_first(io["latents_denorm"]))
    torch.testing.assert_close(vae.normalise(vae.denormalise(latents)), latents, atol=1e-6, rtol=0)


def test_whole_decode_matches_the_golden(vae: WanVAE, latents: Tensor, golden: Tensor) -> None:
    torch.testing.assert_close(vae.decode(latents, clamp=False), golden, atol=TOLERANCE, rtol=0)


def test_decode_clamps_to_the_pixel_range_unless_told_not_to(vae: WanVAE, latents: Tensor, golden: Tensor) -> None:
    assert golden.abs().max() > 1
    torch.testing.assert_close(vae.decode(latents), golden.clamp(-1, 1), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("group", [1, 2, 3])
def test_streamed_decode_matches_the_golden_for_any_grouping(
    vae: WanVAE, io: dict[str, Tensor], latents: Tensor, golden: Tensor, group: int
) -> None:
    state = fresh_state(vae, latents)
    chunks = [vae.decode(chunk, state, group=group, clamp=False) for chunk in latents.split(3, dim=1)]
    torch.testing.assert_close(torch.cat(chunks, dim=1), golden, atol=TOLERANCE, rtol=0)
    assert state.latents_seen == latents.shape[1]
    rms = torch.stack([history.double().square().mean().sqrt() for history in state.history])
    torch.testing.assert_close(rms, io["state_rms"], atol=1e-5, rtol=0)


def test_chunks_of_three_latents_give_9_then_12_frames(vae: WanVAE, latents: Tensor) -> None:
    stream = torch.cat([latents, latents[:, :2]], dim=1)
    state = fresh_state(vae, stream)
    assert [vae.decode(chunk, state).shape[1] for chunk in stream.split(3, dim=1)] == [9, 12, 12]


def test_a_stream_may_start_with_a_single_latent(vae: WanVAE, latents: Tensor, golden: Tensor) -> None:
    state = fresh_state(vae, latents)
    first, second = vae.decode(latents[:, :1], state, clamp=False), vae.decode(latents[:, 1:2], state, clamp=False)
    assert (first.shape[1], second.shape[1]) == (1, 4)
    torch.testing.assert_close(torch.cat([first, second], dim=1), golden[:, :5], atol=TOLERANCE, rtol=0)


def test_a_lost_state_shows(vae: WanVAE, latents: Tensor, golden: Tensor) -> None:
    cold = vae.decode(latents[:, 3:6], fresh_state(vae, latents), clamp=False)
    assert cold.shape[1] == 9
    assert (cold - golden[:, 9:18]).abs().mean() > 0.1

    state = fresh_state(vae, latents)
    vae.decode(latents[:, :3], state)
    for history in state.history:
        history.zero_()
    wiped = vae.decode(latents[:, 3:6], state, clamp=False)
    assert (wiped - golden[:, 9:21]).abs().max() > 0.1


def test_bfloat16_decode_stays_close(io: dict[str, Tensor], latents: Tensor, golden: Tensor) -> None:
    vae = build(golden_dir("wan") / "config.json", io).requires_grad_(False)
    vae.load_state_dict(load_file(golden_dir("wan") / "vae_decoder_weights.safetensors"), strict=False)
    vae.to(torch.bfloat16)
    state = vae.init_state(1, *latents.shape[-2:], dtype=torch.bfloat16, device="cpu")
    streamed = torch.cat([vae.decode(chunk, state, clamp=False) for chunk in latents.split(3, dim=1)], dim=1)
    assert streamed.dtype == torch.bfloat16
    assert relative_rms(streamed, golden) < BF16_RELATIVE_RMS


@pytest.fixture(scope="module")
def encoder_io() -> dict[str, Tensor]:
    return load_file(golden_dir("vae_encoder") / "io.safetensors")


@pytest.fixture(scope="module")
def encoder(encoder_io: dict[str, Tensor]) -> WanVAE:
    vae = build(golden_dir("vae_encoder") / "config.json", encoder_io).requires_grad_(False)
    vae.load_state_dict(load_file(golden_dir("vae_encoder") / "weights.safetensors"), strict=False)
    return vae


def test_encode_matches_the_golden(encoder: WanVAE, encoder_io: dict[str, Tensor]) -> None:
    latents = encoder.encode(encoder_io["pixels"])
    torch.testing.assert_close(latents, encoder_io["latents"], atol=TOLERANCE, rtol=0)
    mean, logvar = encoder.posterior(encoder_io["pixels"])
    assert torch.equal(encoder.normalise(mean), latents)
    assert logvar.shape == mean.shape
    assert not torch.equal(logvar, mean)


@pytest.mark.parametrize("frames", [1, 5])
def test_encode_is_causal(encoder: WanVAE, encoder_io: dict[str, Tensor], frames: int) -> None:
    start = encoder.encode(encoder_io["pixels"][:, :frames])
    whole = encoder.encode(encoder_io["pixels"])
    torch.testing.assert_close(start, whole[:, : start.shape[1]], atol=TOLERANCE, rtol=0)


def test_encode_refuses_a_clip_that_is_no_whole_number_of_latents(encoder: WanVAE) -> None:
    with pytest.raises(ValueError, match=r"1 \+ 4n frames, got 8"):
        encoder.encode(torch.zeros(1, 8, 3, 16, 16))


def test_training_reaches_every_parameter() -> None:
    vae = WanVAE(VAEConfig(dim=4, z_dim=4, mean=(0.0,) * 4, std=(1.0,) * 4))
    pixels = torch.rand(2, 9, 3, 16, 16) * 2 - 1
    mean, logvar = vae.posterior(pixels)
    restored = vae.decode(vae.normalise(mean + torch.exp(logvar / 2)), clamp=False)
    assert restored.shape == pixels.shape
    (restored - pixels).square().mean().backward()
    assert [name for name, p in vae.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_full_size_module_has_the_published_parameters() -> None:
    published = json.loads((golden_dir("keys") / "wan_vae_keys.json").read_text())["keys"]
    with torch.device("meta"):
        vae = WanVAE(VAEConfig())
    assert {key: list(tensor.shape) for key, tensor in vae.state_dict().items()} == published
    # Nothing fills in a constant after a load that assigns tensors to a module built without memory.
    assert not vae.mean.is_meta
    assert not vae.std.is_meta


def test_full_wan_set() -> None:
    folder = full_golden_dir("wan")
    io = load_file(folder / "vae_io.safetensors")
    vae = build(folder / "config.json", io).requires_grad_(False)
    vae.load_state_dict(load_file(folder / "vae_weights.safetensors"))
    latents, state = frames_first(io["latents"]), vae.init_state(1, 4, 6, torch.float32, "cpu")
    for number, chunk in enumerate(latents.split(3, dim=1)):
        golden = frames_first(io[f"frames.chunk{number}"])
        torch.testing.assert_close(vae.decode(chunk, state, clamp=False), golden, atol=TOLERANCE, rtol=0)
    cold = vae.decode(latents[:, 3:6], clamp=False)
    torch.testing.assert_close(cold, frames_first(io["frames.cold_3_6"]), atol=TOLERANCE, rtol=0)
    encoded = vae.encode(frames_first(io["video"]))
    torch.testing.assert_close(encoded, frames_first(io["encoded"]), atol=TOLERANCE, rtol=0)
    bf16 = vae.to(torch.bfloat16).encode(frames_first(io["video"]))
    assert relative_rms(bf16, frames_first(io["encoded"])) < BF16_RELATIVE_RMS


def test_full_longlive_set() -> None:
    folder = full_golden_dir("longlive")
    io = load_file(folder / "vae_io.safetensors")
    vae = build(folder / "vae_t5_config.json", io).requires_grad_(False)
    vae.load_state_dict(load_file(folder / "vae_weights.safetensors"))
    state = fresh_state(vae, io["latents"])
    chunks = [vae.decode(chunk, state) for chunk in io["latents"].split(io["chunk_latents"].tolist(), dim=1)]
    assert [chunk.shape[1] for chunk in chunks] == io["chunk_frames"].tolist()
    torch.testing.assert_close(torch.cat(chunks, dim=1), io["pixels"], atol=TOLERANCE, rtol=0)
    encoded = vae.encode(frames_first(io["encode.pixels"]))
    torch.testing.assert_close(encoded, io["encode.latents"], atol=TOLERANCE, rtol=0)
