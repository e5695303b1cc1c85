from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor

from longlive.attention import attend
from longlive.config import TransformerConfig
from longlive.transformer import CausalWanTransformer
from tests.longlive.goldens import golden_dir
from tests.longlive.small import CONFIG, LATENT, prompt, small_transformer


class SelfOnly:
    """A memory without positions in which a forward sees nothing but itself."""

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attend(q.flatten(1, 2), k.flatten(1, 2), v.flatten(1, 2)).view_as(q)


def latents(batch: int = 1, frames: int = 3) -> Tensor:
    return torch.randn(batch, frames, *LATENT, generator=torch.Generator().manual_seed(1))


def test_names_and_shapes_are_those_of_the_published_1_3b_model() -> None:
    published = json.loads((golden_dir("keys") / "wan_dit_keys.json").read_text())
    expected = dict(published["non_block_keys"])
    for block in range(published["block_count"]):
        prefix = published["block_prefix"].format(i=block)
        expected |= {prefix + name: shape for name, shape in published["block_keys"].items()}
    with torch.device("meta"):
        transformer = CausalWanTransformer(TransformerConfig())
    assert {name: list(tensor.shape) for name, tensor in transformer.state_dict().items()} == expected
    assert sum(parameter.numel() for parameter in transformer.parameters()) == published["num_parameters"]


def test_absent_text_rows_are_zeros_that_are_attended() -> None:
    transformer = small_transformer()
    padded = torch.nn.functional.pad(prompt(0), (0, 0, 0, CONFIG.text_len - 3))
    short, full = transformer.encode_text(prompt(0)), transformer.encode_text(padded)
    assert all(torch.equal(a, b) for a, b in zip(short.keys, full.keys, strict=True))
    assert short.keys[0].shape[1] == CONFIG.text_len


def test_a_prompt_longer_than_the_model_reads_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 6"):
        small_transformer().encode_text(prompt(0, rows=7))


def test_every_frame_follows_its_own_timestep() -> None:
    transformer = small_transformer()
    text, times = transformer.encode_text(prompt(0)), torch.tensor([[0.0, 500.0, 1000.0]])
    alone = torch.cat(
        [transformer(latents()[:, i : i + 1], times[:, i : i + 1], text, Nothing()) for i in range(3)],
        dim=1,
    )
    together = transformer(latents(), transformer.encode_time(times), text, Nothing())
    torch.testing.assert_close(together, alone)


class Nothing:
    """A memory that answers every frame with its own values."""

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return v


def test_samples_of_a_batch_do_not_see_each_other() -> None:
    transformer = small_transformer()
    text = transformer.encode_text(torch.cat((prompt(0), prompt(1))))
    times, both = torch.full((2, 3), 700.0), latents(batch=2)
    flow = transformer(both, times, text, SelfOnly())
    for sample in range(2):
        own = transformer.encode_text(prompt(sample))
        single = transformer(both[sample : sample + 1], times[:1], own, SelfOnly())
        torch.testing.assert_close(flow[sample : sample + 1], single, atol=1e-5, rtol=1e-5)


def test_gradients_reach_every_parameter() -> None:
    transformer = small_transformer().requires_grad_(True)
    text = transformer.encode_text(prompt(0))
    transformer(latents(), torch.full((1, 3), 700.0), text, SelfOnly()).square().sum().backward()
    assert [name for name, p in transformer.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_fresh_model_predicts_no_flow() -> None:
    transformer = CausalWanTransformer(CONFIG)
    flow = transformer(latents(), torch.full((1, 3), 700.0), transformer.encode_text(prompt(0)), SelfOnly())
    assert not flow.any()
