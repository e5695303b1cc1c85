from __future__ import annotations

import subprocess
import sys
from typing import get_args

import pytest
import torch
from torch import Tensor

from longlive.config import DecoderName, ModelConfig
from longlive.model import VideoModel, build_video_model
from longlive.precision import Precision
from tests.support import UNTRAINED

NAMES = get_args(DecoderName)


def frames(model: VideoModel, prompt: Tensor, chunks: int = 2) -> list[Tensor]:
    rollout, state = model.rollout(prompt, seed=1), model.decoder_state()
    return [model.decode(rollout.next_chunk(), state) for _ in range(chunks)]


def prompt(seed: int = 0) -> Tensor:
    text = UNTRAINED.transformer
    return torch.randn(1, text.text_len, text.text_dim, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("decoder", NAMES)
def test_an_untrained_model_makes_the_same_video_every_time(decoder: DecoderName) -> None:
    state = torch.random.get_rng_state()
    first = frames(build_video_model(UNTRAINED, Precision.float32, decoder, "cpu"), prompt())
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(99)
    again = frames(build_video_model(UNTRAINED, Precision.float32, decoder, "cpu"), prompt())
    assert [chunk.shape for chunk in first] == [(1, 9, 3, 64, 64), (1, 12, 3, 64, 64)]
    for one, other in zip(first, again, strict=True):
        assert one.abs().max() <= 1
        assert one.diff(dim=1).any()
        assert torch.equal(one, other)


def test_an_untrained_model_reads_its_prompt() -> None:
    model = build_video_model(UNTRAINED, Precision.float32, "wan", "cpu")
    assert not torch.equal(frames(model, prompt(1))[0], frames(model, prompt(2))[0])


@pytest.mark.parametrize("precision", [Precision.bfloat16, Precision.int8, Precision.int8_weight])
def test_frames_are_float32_whatever_the_model_computes_in(precision: Precision) -> None:
    model = build_video_model(UNTRAINED, precision, "wan", "cpu")
    assert model.dtype == torch.bfloat16
    assert {parameter.dtype for parameter in model.decoder.parameters()} == {torch.bfloat16}
    codes = {weight.dtype for weight in model.transformer.blocks.state_dict().values()}
    assert (torch.int8 in codes) == (precision is not Precision.bfloat16)
    assert [chunk.dtype for chunk in frames(model, prompt())] == [torch.float32, torch.float32]


@pytest.mark.parametrize("decoder", NAMES)
def test_a_full_size_model_without_memory_says_how_large_it_would_be(decoder: DecoderName) -> None:
    model = build_video_model(ModelConfig(name="full"), Precision.bfloat16, decoder, "meta")
    weights = [*model.transformer.parameters(), *model.decoder.parameters(), *model.decoder_state().history]
    assert all(weight.is_meta and weight.dtype == torch.bfloat16 for weight in weights)
    assert 1.418e9 < sum(weight.numel() for weight in model.transformer.parameters()) < 1.420e9


def test_the_core_needs_no_more_than_torch() -> None:
    """A machine with plain torch can measure it."""
    program = "import sys, longlive.model, longlive.stream; print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    )
    assert loaded.isdisjoint({"transformers", "tokenizers", "safetensors", "pydantic", "av", "ray", "fastapi"})
