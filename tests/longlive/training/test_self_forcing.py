"""The student's roll-out under training: what serving computes, with gradients at each exit and only there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from longlive.config import RolloutConfig, SamplerConfig
from longlive.training.self_forcing import ExitPolicy, SelfForcing, drawn_exits
from longlive.transformer import CausalWanTransformer
from tests.longlive.small import LATENT, prompt, small_rollout, small_transformer

STEPS = (1000, 500)
CONFIG = {"chunk_frames": 2, "window_frames": 6, "sink_frames": 2}


def training(
    transformer: CausalWanTransformer, exit_of: Callable[[int], int] = lambda chunk: len(STEPS) - 1, **changes: Any
) -> SelfForcing:
    config = RolloutConfig(**CONFIG | changes)
    return SelfForcing(transformer, config, SamplerConfig(denoising_steps=STEPS), LATENT, prompt(0), 0, exit_of)


@pytest.mark.parametrize("positions", ["absolute", "relative"])
def test_window_sink_and_recache_are_those_of_serving(positions: str) -> None:
    transformer = small_transformer()
    served, trained = small_rollout(transformer, positions=positions), training(transformer, positions=positions)
    for number, chunks in enumerate((5, 3)):  # the window slides, then the cache is computed anew, and it slides again
        if number:
            served.switch(prompt(1))
            trained.switch(prompt(1))
        expected = torch.cat([served.next_chunk() for _ in range(chunks)], dim=1)
        torch.testing.assert_close(trained.clip(chunks).detach(), expected, rtol=1e-4, atol=1e-5)


def test_a_chunk_ends_with_the_clean_prediction_of_its_exit() -> None:
    transformer = small_transformer()
    served = small_rollout(transformer)
    one_step = SamplerConfig(denoising_steps=STEPS[:1])
    config = RolloutConfig(**CONFIG)
    expected = SelfForcing(transformer, config, one_step, LATENT, prompt(0), 0, lambda chunk: 0).clip(3).detach()
    trained = training(transformer, lambda chunk: 0).clip(3).detach()
    torch.testing.assert_close(trained, expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(trained[:, :2], served.next_chunk()), "serving goes on to the last step"


def test_the_gradient_is_that_of_the_exit_alone() -> None:
    """A weight that is moved by a little moves the clip as its gradient says, where all before the exit stays."""
    transformer = small_transformer()
    weight = transformer.blocks[1].ffn[2].weight.requires_grad_(True)
    direction = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
    forced = training(transformer)
    forced.clip(2)
    passes: list[tuple[Tensor, ...]] = []
    inner = CausalWanTransformer.forward

    def watched(self: CausalWanTransformer, latents: Tensor, time: Any, text: Any, memory: Any) -> Tensor:
        if torch.is_grad_enabled():
            passes.append((latents, time, text, memory))
        return inner(self, latents, time, text, memory)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CausalWanTransformer, "forward", watched)
        clip = forced.clip(1)
    clip.sum().backward()
    assert len(passes) == 1
    assert weight.grad is not None
    told = (weight.grad * direction).sum().item()
    latents, time, text, memory = passes[0]
    step, flows = 1e-2, []
    with torch.no_grad():
        for sign in (1, -1):
            weight += sign * step * direction
            flows.append(transformer(latents, time, text, memory).sum().item())
            weight -= sign * step * direction
    sigma = forced._sampler.sigmas[1]
    assert told == pytest.approx(-sigma * (flows[0] - flows[1]) / (2 * step), rel=2e-2)


def test_other_chunks_are_constants() -> None:
    transformer = small_transformer()
    for parameter in transformer.parameters():
        parameter.requires_grad_(True)
    forced = training(transformer)
    first = forced.clip(1)
    later = forced.clip(2)
    first.sum().backward()  # the graph of a clip is its own: nothing later keeps it, or needs it
    later[:, :2].sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in transformer.parameters())


def test_a_clip_is_made_by_the_weights_that_there_are_by_then() -> None:
    transformer = small_transformer()
    trained = training(transformer)
    trained.clip(2)
    with torch.no_grad():
        transformer.text_embedding[2].bias += 0.5
        transformer.time_embedding[2].bias += 0.5
    other = training(transformer)  # has read nothing under the old weights
    other.clip(2)
    ours, theirs = trained.rollout.cache, other.rollout.cache
    for kept, copy in zip(ours.keys + ours.values, theirs.keys + theirs.values, strict=True):
        copy.copy_(kept)
    torch.testing.assert_close(trained.clip(1).detach(), other.clip(1).detach())


def test_all_chunks_of_a_clip_have_one_exit_and_clips_have_all_of_them() -> None:
    exits = drawn_exits(3, 4, lambda chunk: chunk // 7)
    clips = [{exits(chunk) for chunk in range(7 * clip, 7 * clip + 7)} for clip in range(60)]
    assert all(len(clip) == 1 for clip in clips)
    assert set.union(*clips) == {0, 1, 2, 3}
    assert [exits(chunk) for chunk in range(20)] == [drawn_exits(3, 4, lambda chunk: chunk // 7)(c) for c in range(20)]


def test_an_exit_that_is_no_step_is_refused() -> None:
    with pytest.raises(ValueError, match="chunk 2 ends with step 2; there are steps 0 to 1"):
        ExitPolicy(2, 2, lambda chunk: chunk).passes(2)
