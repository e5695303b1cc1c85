"""What every decoder promises, whichever it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import pytest
import torch
from torch import Tensor

from longlive.config import DecoderName, VAEConfig
from longlive.decoder import DecoderState
from longlive.model import build_decoder
from longlive.taehv import TAEHVDecoder
from longlive.vae import WanDecoder, WanVAE

Decoder = WanDecoder | TAEHVDecoder

CONFIG = VAEConfig(dim=16, num_res_blocks=1)
NAMES = get_args(DecoderName)
CUTS = [(3, 3, 3), (1,) * 9, (1, 3, 2, 3), (4, 5)]
ROUNDING = 1e-5
BF16_RELATIVE_RMS = 0.03


def make(name: DecoderName) -> Decoder:
    """With random weights, whose picture fills a good part of the pixel range."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        decoder = build_decoder(name, CONFIG).requires_grad_(False)
        weights = [weight for weight in decoder.parameters() if weight.ndim > 3 and weight.shape[1] > 1]
        for weight in weights:
            torch.nn.init.normal_(weight, std=(2 / weight[0].numel()) ** 0.5)
        weights[-1].mul_(0.002 if isinstance(decoder, TAEHVDecoder) else 0.3)
        if isinstance(decoder, TAEHVDecoder):
            decoder.decoder[-1].bias.fill_(0.5)  # grey, the middle of its own range
    return decoder


@pytest.fixture(scope="module", params=NAMES)
def decoder(request: pytest.FixtureRequest) -> Decoder:
    return make(request.param)


def video(seed: int, latents: int = 9) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, latents, CONFIG.z_dim, 4, 6, generator=generator)


def fresh(decoder: Decoder, latents: Tensor, latents_seen: int = 0) -> DecoderState:
    return decoder.init_state(len(latents), *latents.shape[-2:], latents.dtype, latents.device, latents_seen)


def stream(decoder: Decoder, latents: Tensor, cut: Sequence[int], state: DecoderState | None = None) -> list[Tensor]:
    state = state or fresh(decoder, latents)
    return [decoder.decode(chunk, state) for chunk in latents.split(list(cut), dim=1)]


def relative_rms(got: Tensor, golden: Tensor) -> float:
    return ((got.float() - golden).norm() / golden.norm()).item()


def test_the_weights_of_these_tests_make_a_picture(decoder: Decoder) -> None:
    frames = torch.cat(stream(decoder, video(1), [3, 3, 3]), dim=1)
    assert frames.shape[2:] == (3, 32, 48)
    assert frames.std() > 0.1
    assert (frames.abs() < 1).float().mean() > 0.8
    assert frames.diff(dim=1).abs().mean() > 0.02


@pytest.mark.parametrize("cut", CUTS, ids=str)
def test_a_first_latent_gives_one_frame_and_each_later_one_four(decoder: Decoder, cut: tuple[int, ...]) -> None:
    counts = [chunk.shape[1] for chunk in stream(decoder, video(1), cut)]
    assert counts == [1 + 4 * (cut[0] - 1), *(4 * latents for latents in cut[1:])]


@pytest.mark.parametrize("cut", CUTS, ids=str)
def test_a_video_does_not_depend_on_how_it_is_cut_into_calls(decoder: Decoder, cut: tuple[int, ...]) -> None:
    state = fresh(decoder, video(1))
    chunks = stream(decoder, video(1), cut, state)
    torch.testing.assert_close(torch.cat(chunks, dim=1), stream(decoder, video(1), [9])[0], atol=ROUNDING, rtol=0)
    assert state.latents_seen == 9


def test_interleaved_videos_are_bit_equal_to_each_alone(decoder: Decoder) -> None:
    videos = [video(1), video(2)]
    alone = [stream(decoder, latents, [3, 3, 3]) for latents in videos]
    states = [fresh(decoder, latents) for latents in videos]
    for step in range(3):
        for latents, state, expected in zip(videos, states, alone, strict=True):
            assert torch.equal(decoder.decode(latents[:, 3 * step : 3 * step + 3], state), expected[step])


def test_videos_in_one_batch_do_not_mix(decoder: Decoder) -> None:
    videos = [video(1), video(2)]
    together = torch.cat(stream(decoder, torch.cat(videos), [3, 3, 3]), dim=1)
    for latents, frames in zip(videos, together, strict=True):
        alone = torch.cat(stream(decoder, latents, [3, 3, 3]), dim=1)[0]
        torch.testing.assert_close(frames, alone, atol=ROUNDING, rtol=0)


def test_a_copied_state_goes_on_with_the_same_video(decoder: Decoder) -> None:
    latents = video(1)
    state = fresh(decoder, latents)
    decoder.decode(latents[:, :3], state)
    copy = DecoderState([history.clone() for history in state.history], state.latents_seen)
    assert torch.equal(decoder.decode(latents[:, 3:6], state), decoder.decode(latents[:, 3:6], copy))


def test_a_state_keeps_its_memory(decoder: Decoder) -> None:
    state = fresh(decoder, video(1))
    addresses = [history.data_ptr() for history in state.history]
    stream(decoder, video(1), [3, 3, 3], state)
    assert [history.data_ptr() for history in state.history] == addresses
    assert all(history.any() for history in state.history)


def test_a_lost_state_shows(decoder: Decoder) -> None:
    latents = video(1)
    second = stream(decoder, latents, [3, 3, 3])[1]
    assert decoder.decode(latents[:, 3:6], fresh(decoder, latents)).shape[1] == 9

    state = fresh(decoder, latents)
    decoder.decode(latents[:, :3], state)
    for history in state.history:
        history.zero_()
    assert (decoder.decode(latents[:, 3:6], state) - second).abs().max() > 0.1


def test_a_video_in_progress_without_its_past_has_all_its_frames_and_gets_better_with_every_latent(
    decoder: Decoder,
) -> None:
    latents = video(1, latents=24)
    whole = torch.cat(stream(decoder, latents, [3] * 8), dim=1)
    chunks = stream(decoder, latents[:, 3:], [3] * 7, fresh(decoder, latents, latents_seen=3))
    assert [chunk.shape[1] for chunk in chunks] == [12] * 7
    faults = [relative_rms(chunk, golden) for chunk, golden in zip(chunks, whole[:, 9:].split(12, dim=1), strict=True)]
    assert faults[0] > 0.05
    assert faults[1] < faults[0] / 2
    assert faults[2] < faults[0] / 5


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_stays_close(name: DecoderName) -> None:
    golden = torch.cat(stream(make(name), video(1), [3, 3, 3]), dim=1)
    rounded = torch.cat(stream(make(name).to(torch.bfloat16), video(1).bfloat16(), [3, 3, 3]), dim=1)
    assert rounded.dtype == torch.bfloat16
    assert 0 < relative_rms(rounded, golden) < BF16_RELATIVE_RMS


@pytest.mark.parametrize("name", ["wan", "light"])
def test_a_whole_vae_file_has_the_weights_of_its_decoder(name: DecoderName) -> None:
    decoder = make(name)
    vae = WanVAE(decoder.config)
    decoder.load_state_dict(decoder.own_weights(vae.state_dict()))
    assert torch.equal(decoder.decode(video(1), fresh(decoder, video(1))), vae.decode(video(1), fresh(vae, video(1))))
    assert vae.own_weights(vae.state_dict()).keys() == vae.state_dict().keys()
    assert set(decoder.own_weights({**vae.state_dict(), "strange": torch.ones(1)})) - set(decoder.state_dict()) == {
        "strange"
    }


def test_a_light_decoder_needs_a_width_that_can_be_quartered() -> None:
    with pytest.raises(ValueError, match="that 4 divides: 6"):
        build_decoder("light", VAEConfig(dim=6))


@pytest.mark.parametrize(
    ("name", "parameters", "state"),
    # Published: 73.3 M, 4.62 M and 9.84 M parameters; the states at 832x480.
    [("wan", 73_295_603, 944_286_720), ("light", 4_617_611, 236_221_440), ("tiny", 9_844_611, 33_546_240)],
)
def test_sizes_of_the_full_decoders(name: DecoderName, parameters: int, state: int) -> None:
    with torch.device("meta"):
        decoder = build_decoder(name, VAEConfig())
    assert sum(parameter.numel() for parameter in decoder.parameters()) == parameters
    history = decoder.init_state(1, 60, 104, torch.bfloat16, "meta").history
    assert sum(tensor.numel() for tensor in history) == state
