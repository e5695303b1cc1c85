from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from longlive.config import VAEConfig
from longlive.taehv import TAEHVConfig, TAEHVDecoder

SMALL = TAEHVConfig(z_dim=4, widths=(10, 8, 6, 5))
BLOCKS = (3, 4, 5, 9, 10, 11, 15, 16, 17)
DOUBLINGS = (6, 12, 18)
GROWTHS = (7, 13, 19)
RELUS = (2, 21)
CONVOLUTIONS = (1, 8, 14, 20, 22)


def literal_clip(weights: Mapping[str, Tensor], latents: Tensor) -> Tensor:
    """Frames [T, 3, H, W] in -1..1 of the latents [F, C, h, w], by the published description alone.

    One latent at a time goes through the numbered layers, and one frame after the other through those behind a growth.
    """
    before: dict[int, Tensor] = {}

    def convolve(name: str, frame: Tensor, padding: int = 1) -> Tensor:
        return F.conv2d(frame[None], weights[f"{name}.weight"], weights.get(f"{name}.bias"), padding=padding)[0]

    def run(frame: Tensor, layer: int) -> Iterator[Tensor]:
        if layer > CONVOLUTIONS[-1]:
            yield frame
            return
        if layer == 0:
            frame = 3 * torch.tanh(frame / 3)
        elif layer in CONVOLUTIONS:
            frame = convolve(f"decoder.{layer}", frame)
        elif layer in RELUS:
            frame = frame.clamp(min=0)
        elif layer in DOUBLINGS:
            frame = frame.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)
        elif layer in BLOCKS:
            x = torch.cat([frame, before.get(layer, torch.zeros_like(frame))])
            before[layer] = frame
            for number in (0, 2, 4):
                x = convolve(f"decoder.{layer}.conv.{number}", x.clamp(min=0) if number else x)
            frame = (x + frame).clamp(min=0)
        elif layer in GROWTHS:
            for part in convolve(f"decoder.{layer}.conv", frame, padding=0).split(len(frame)):
                yield from run(part, layer + 1)
            return
        yield from run(frame, layer + 1)

    frames = [frame for latent in latents for frame in run(latent, 0)]
    return torch.stack(frames[3:]).clamp(0, 1) * 2 - 1


def random_weights(config: TAEHVConfig) -> dict[str, Tensor]:
    """Such that the picture is neither black nor white nor flat; float64, in which rounding hides nothing."""
    generator = torch.Generator().manual_seed(5)
    weights = {}
    for name, weight in TAEHVDecoder(config).state_dict().items():
        spread = 0.02 if weight.ndim == 1 else (2 / weight[0].numel()) ** 0.5
        weights[name] = torch.randn(weight.shape, generator=generator, dtype=torch.float64) * spread
    weights["decoder.22.weight"] *= 0.004
    weights["decoder.22.bias"] += 0.5
    return weights


def latents(config: TAEHVConfig, count: int = 7) -> Tensor:
    generator = torch.Generator().manual_seed(6)
    return 2 * torch.randn(1, count, config.z_dim, 3, 5, generator=generator, dtype=torch.float64)


def loaded(config: TAEHVConfig, weights: Mapping[str, Tensor]) -> TAEHVDecoder:
    decoder = TAEHVDecoder(config).requires_grad_(False).double()
    decoder.load_state_dict(decoder.own_weights(weights))
    return decoder


def decode(decoder: TAEHVDecoder, video: Tensor, cut: Sequence[int]) -> Tensor:
    state = decoder.init_state(1, *video.shape[-2:], video.dtype, "cpu")
    return torch.cat([decoder.decode(chunk, state) for chunk in video.split(list(cut), dim=1)], dim=1)


@pytest.mark.parametrize("cut", [(7,), (3, 3, 1), (1,) * 7, (2, 1, 4)], ids=str)
def test_frames_are_those_of_the_published_description(cut: tuple[int, ...]) -> None:
    weights, video = random_weights(SMALL), latents(SMALL)
    expected = literal_clip(weights, video[0])
    assert expected.shape == (25, 3, 24, 40)
    assert (expected.abs() < 1).float().mean() > 0.8
    assert expected.std() > 0.1
    torch.testing.assert_close(decode(loaded(SMALL, weights), video, cut)[0], expected, atol=1e-12, rtol=0)


def test_growth_weights_with_more_rows_than_frames_keep_their_last_ones() -> None:
    """As the published file has them: each of its levels can double the frames, and the first one need not."""
    weights = random_weights(SMALL)
    weights["decoder.7.conv.weight"] = torch.cat([torch.ones(10, 10, 1, 1), weights["decoder.7.conv.weight"]])
    video = latents(SMALL)
    assert torch.equal(
        decode(loaded(SMALL, weights), video, [7]), decode(loaded(SMALL, random_weights(SMALL)), video, [7])
    )


def test_the_encoder_of_a_published_file_is_not_needed() -> None:
    weights = random_weights(SMALL)
    whole = {**weights, "encoder.0.weight": torch.ones(4, 3, 3, 3), "encoder.0.bias": torch.ones(4)}
    assert TAEHVDecoder(SMALL).own_weights(whole).keys() == weights.keys()


def test_the_full_size_module_has_the_published_parameters() -> None:
    with torch.device("meta"):
        decoder = TAEHVDecoder(TAEHVConfig.beside(VAEConfig()))
    widths = {3: 256, 9: 128, 15: 64}
    expected = {
        "decoder.1.weight": [256, 16, 3, 3],
        "decoder.1.bias": [256],
        "decoder.7.conv.weight": [256, 256, 1, 1],
        "decoder.8.weight": [128, 256, 3, 3],
        "decoder.13.conv.weight": [256, 128, 1, 1],
        "decoder.14.weight": [64, 128, 3, 3],
        "decoder.19.conv.weight": [128, 64, 1, 1],
        "decoder.20.weight": [64, 64, 3, 3],
        "decoder.22.weight": [3, 64, 3, 3],
        "decoder.22.bias": [3],
    }
    for first, width in widths.items():
        for block in range(first, first + 3):
            for number, inputs in ((0, 2 * width), (2, width), (4, width)):
                expected[f"decoder.{block}.conv.{number}.weight"] = [width, inputs, 3, 3]
                expected[f"decoder.{block}.conv.{number}.bias"] = [width]
    assert {name: list(weight.shape) for name, weight in decoder.state_dict().items()} == expected


def test_a_smaller_vae_has_a_smaller_decoder_beside_it() -> None:
    config = TAEHVConfig.beside(VAEConfig(dim=24))
    assert (config.widths, config.growth) == ((64, 32, 16, 16), (1, 2, 2))


def test_a_vae_of_another_stride_has_no_tiny_decoder() -> None:
    with pytest.raises(ValueError, match="3 times, this VAE 2 times"):
        TAEHVConfig.beside(VAEConfig(dim_mult=(1, 2, 4), temporal_downsample=(True, True)))


@pytest.mark.parametrize("widths", [(8, 8, 8), (8, 8, 0, 8)])
def test_widths_that_fit_no_levels_are_refused(widths: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="one more than the levels"):
        TAEHVConfig(widths=widths)
