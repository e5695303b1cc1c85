from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from longlive.config import TransformerConfig
from longlive.errors import InputError
from longlive.pipeline import load_model
from longlive.precision import PLAIN, Precision
from longlive.quantization import LAYERS, LEAST_ROWS, Quantized, quantize, quantize_rows
from longlive.stream import VideoStream
from longlive.transformer import CausalWanTransformer
from tests.longlive.small import CONFIG, prompt, small_rollout, small_transformer
from tests.longlive.test_rollout import DeviceOnly

SCHEMES = list(LAYERS)
EVEN = replace(CONFIG, dim=32, ffn_dim=48)  # all sizes of the blocks' linears are multiples of 16
PER_BLOCK = 10


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def linear(inputs: int, outputs: int, dtype: torch.dtype = torch.float32) -> nn.Linear:
    layer = nn.Linear(inputs, outputs).requires_grad_(False)
    layer.weight.copy_(normal(outputs, inputs, seed=1))
    layer.bias.copy_(normal(outputs, seed=2))
    return layer.to(dtype)


def quantised(precision: Precision) -> CausalWanTransformer:
    transformer = small_transformer(EVEN).to(torch.bfloat16)
    quantize(transformer, precision)
    return transformer


def count(transformer: CausalWanTransformer) -> int:
    return sum(isinstance(module, Quantized) for module in transformer.modules())


def weight_bytes(transformer: CausalWanTransformer) -> int:
    return sum(tensor.nbytes for tensor in transformer.state_dict().values())


@pytest.mark.parametrize("precision", SCHEMES)
def test_the_1_3b_layout_shrinks_from_2_8_gigabytes_to_1_5_and_only_the_blocks_linears_change(
    precision: Precision,
) -> None:
    with torch.device("meta"):
        transformer = CausalWanTransformer(TransformerConfig()).to(torch.bfloat16)
    before = {name: tensor.dtype for name, tensor in transformer.state_dict().items()}
    assert 2.8e9 < weight_bytes(transformer) < 2.9e9
    quantize(transformer, precision)
    assert weight_bytes(transformer) <= 1.5e9
    assert count(transformer) == 300
    assert not any(isinstance(module, nn.Linear) for module in transformer.blocks.modules())
    after = {name: tensor.dtype for name, tensor in transformer.state_dict().items()}
    layers = {name for name, module in transformer.named_modules() if isinstance(module, Quantized)}
    assert before.keys() == {name for name in after if not name.endswith(".scale")}
    assert {name for name in before if before[name] != after[name]} == {f"{name}.weight" for name in layers}
    assert {name for name in before if "emb" in name or "time" in name or "head" in name}.isdisjoint(
        f"{name}.{part}" for name in layers for part in ("weight", "bias")
    )


@pytest.mark.parametrize("precision", PLAIN)
def test_plain_formats_change_nothing(precision: Precision) -> None:
    transformer = small_transformer(EVEN)
    quantize(transformer, precision)
    assert count(transformer) == 0


def test_layers_that_no_8_bit_product_takes_stay_as_they_are() -> None:
    transformer = small_transformer(replace(EVEN, ffn_dim=40))
    quantize(transformer, Precision.int8)
    assert count(transformer) == EVEN.num_layers * (PER_BLOCK - 2)
    assert isinstance(transformer.get_submodule("blocks.0.ffn.0"), nn.Linear)


def int8_error(x: Tensor) -> float:
    """Of rounding to steps of a 127th of a row's largest number: uniform in a step, whose rms is step / sqrt(12)."""
    steps = x.abs().amax(-1) / 127
    return math.sqrt((steps.square().mean() / 12 / x.square().mean()).item())


# Three bits of mantissa: the step between 1 and 2 is 1/8, and the mean square of numbers spread evenly there is 7/3.
FP8_ERROR = math.sqrt(1 / 8**2 / 12 / (7 / 3))


@pytest.mark.parametrize("precision", SCHEMES)
def test_the_error_is_what_rounding_to_8_bits_makes_and_no_more(precision: Precision) -> None:
    plain, x = linear(1024, 256), normal(2, 40, 1024)
    exact = plain(x) - plain.bias
    error = ((LAYERS[precision](plain)(x) - plain.bias - exact).norm() / exact.norm()).item()
    weight, activations = int8_error(plain.weight), int8_error(x)
    expected = {
        Precision.int8: math.hypot(weight, activations),
        Precision.int8_weight: weight,
        Precision.fp8: math.hypot(FP8_ERROR, FP8_ERROR),
    }[precision]
    assert expected < {Precision.fp8: 0.05}.get(precision, 0.025)
    assert 0.8 * expected < error < 1.25 * expected


@pytest.mark.parametrize("precision", SCHEMES)
def test_numbers_that_8_bits_can_hold_are_multiplied_exactly(precision: Precision) -> None:
    largest = 448 if precision is Precision.fp8 else 127
    plain = linear(64, 32)
    x = torch.randint(-15, 16, (3, 20, 64), generator=torch.Generator().manual_seed(0)).float()
    plain.weight.copy_(torch.randint(-15, 16, (32, 64), generator=torch.Generator().manual_seed(1)))
    for tensor in (x, plain.weight):
        tensor[..., 0] = largest
    plain.bias.copy_(plain.bias.round())
    plain.weight /= 32
    assert torch.equal(LAYERS[precision](plain)(x), plain(x))


@pytest.mark.parametrize("precision", SCHEMES)
def test_rows_of_zeros_and_channels_of_zeros_give_the_bias(precision: Precision) -> None:
    plain = linear(32, 48, torch.bfloat16)
    plain.weight[5] = 0
    x = normal(1, 20, 32).to(torch.bfloat16)
    x[:, 3] = 0
    out = LAYERS[precision](plain)(x)
    assert torch.equal(out[0, 3], plain.bias)
    assert torch.equal(out[0, :, 5], plain.bias[5].expand(20))
    assert out.isfinite().all()


@pytest.mark.parametrize("precision", SCHEMES)
def test_a_token_does_not_depend_on_its_neighbours_nor_on_how_many_there_are(precision: Precision) -> None:
    layer = LAYERS[precision](linear(64, 48, torch.bfloat16))
    x = normal(1, 40, 64).to(torch.bfloat16)
    louder = x * 1000
    louder[:, 7] = x[:, 7]
    assert torch.equal(layer(louder)[:, 7], layer(x)[:, 7])
    for rows in (1, LEAST_ROWS - 1):
        torch.testing.assert_close(layer(x[:, 7 : 7 + rows]), layer(x)[:, 7 : 7 + rows], atol=1e-5, rtol=1e-2)


def test_codes_never_pass_the_ends_of_their_format() -> None:
    x = normal(500, 32) * 10 ** torch.linspace(-40, 30, 500)[:, None]
    for code in (torch.int8, torch.float8_e4m3fn):
        codes, scale = quantize_rows(x, code)
        assert (codes.float() * scale).isfinite().all()
        assert ((codes.float() * scale - x).abs() <= x.abs().amax(-1, keepdim=True) * 0.04 + 1e-37).all()
    weight = nn.Linear(32, 500).to(torch.bfloat16).requires_grad_(False)
    weight.weight.copy_(x)
    codes = LAYERS[Precision.int8_weight](weight).weight
    assert codes.abs().max() == 127
    assert ((codes.sign() * x.sign()) >= 0).all()  # 128 would have come back as -128


@pytest.mark.parametrize("precision", SCHEMES)
def test_rollouts_on_8_bits_repeat_themselves_whatever_runs_beside_them(precision: Precision) -> None:
    transformer = quantised(precision)
    assert count(transformer) == EVEN.num_layers * PER_BLOCK

    def steps(seed: int) -> Iterator[Tensor]:
        rollout = small_rollout(transformer, seed, positions="relative")
        for number in range(6):
            if number == 4:
                rollout.switch(prompt(10 + seed))
            yield rollout.next_chunk()

    alone = [list(steps(seed)) for seed in (0, 1)]
    together = list(zip(steps(0), steps(1), strict=True))
    for number, pair in enumerate(together):
        for seed in (0, 1):
            assert torch.equal(pair[seed], alone[seed][number])
            assert pair[seed].isfinite().all()


@pytest.mark.parametrize("precision", SCHEMES)
def test_a_chunk_on_8_bits_does_not_wait_for_the_device(precision: Precision) -> None:
    rollout = small_rollout(quantised(precision), positions="relative", window_frames=24)
    for _ in range(13):
        rollout.next_chunk()
    with DeviceOnly(limit=2 * rollout.cache.keys[0].nbytes) as mode:  # of float32: what rotates the keys is
        rollout.next_chunk()
        assert mode.calls > 50


@pytest.mark.parametrize("precision", SCHEMES)
def test_a_quantised_state_dict_loads_into_a_module_without_memory(precision: Precision) -> None:
    whole = quantised(precision)
    with torch.device("meta"):
        empty = CausalWanTransformer(EVEN).to(torch.bfloat16)
    quantize(empty, precision)
    empty.load_state_dict(whole.state_dict(), assign=True)
    assert torch.equal(small_rollout(empty).next_chunk(), small_rollout(whole).next_chunk())


@pytest.mark.parametrize("precision", SCHEMES)
def test_the_tiny_model_makes_nearly_the_same_video_on_8_bits(precision: Precision) -> None:
    videos = []
    for each in (precision, Precision.bfloat16):
        model = load_model("tiny", each, "cpu")
        assert count(model.transformer) == (60 if each is precision else 0)
        assert model.dtype == torch.bfloat16
        stream = VideoStream(model, model.encode(["a red ball hops in the meadow by day in clear weather"]), 3)
        parts = [stream.next_frames() for _ in range(3)]
        stream.switch(model.encode(["a red ball hops in the meadow at night in the rain"]))
        videos.append(torch.cat([*parts, *(stream.next_frames() for _ in range(2))]).float())
    error = (videos[0] - videos[1]).square().mean().sqrt().item()
    assert 0 < error < 255 / 10 ** (28 / 20)  # 28 dB


def test_fp8_is_refused_where_the_gpu_has_no_products_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "an A100")
    monkeypatch.setattr(CausalWanTransformer, "device", torch.device("cuda"))
    transformer = small_transformer(EVEN)
    with pytest.raises(InputError, match=r"an A100 has no 8-bit .* use int8 or bfloat16"):
        quantize(transformer, Precision.fp8)
    assert count(transformer) == 0
