"""Distribution matching against a computation by hand, and the critic against flow matching written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from longlive.training.distribution_matching import (
    NoiseLevels,
    Prompted,
    critic_loss,
    guided,
    matching_gradient,
    matching_loss,
)
from longlive.training.scores import WholeClip
from longlive.transformer import CausalWanTransformer, TextContext
from tests.longlive.small import LATENT, prompt, small_transformer

FRAMES = 4


def drawn(seed: int) -> Tensor:
    return torch.randn(2, FRAMES, *LATENT, generator=torch.Generator().manual_seed(seed))


def text(model: CausalWanTransformer, seed: int) -> TextContext:
    return model.encode_text(torch.cat([prompt(seed), prompt(seed + 1)]))


def test_the_gradient_is_the_one_computed_by_hand() -> None:
    teacher, critic = small_transformer(), small_transformer()
    with torch.no_grad():
        critic.head.head.bias += 0.3
    clean, noise, sigma, guidance = drawn(0), drawn(1), torch.tensor([0.3, 0.8], dtype=torch.float64), 3.0
    noisy = torch.stack([(1 - s) * x + s * n for s, x, n in zip(sigma.float(), clean, noise, strict=True)])
    teachers = Prompted(text(teacher, 5), text(teacher, 8))
    real = guided(teacher, noisy, sigma, teachers, guidance)
    fake = guided(critic, noisy, sigma, Prompted(text(critic, 5)), 0.0)
    clips = clean.clone().requires_grad_(True)
    trained = torch.ones(1, FRAMES, 1, 1, 1, dtype=torch.bool)
    trained[:, 0] = False
    matching_loss(clips, matching_gradient(clean, real, fake), trained).backward()

    def clean_by_hand(model: CausalWanTransformer, row: int, seed: int) -> Tensor:
        memory = WholeClip(model.rotary(*LATENT[1:]), FRAMES)
        times = torch.full((1, FRAMES), 1000 * sigma[row].item())
        flow = model(noisy[row : row + 1], times, model.encode_text(prompt(seed + row)), memory)
        return noisy[row] - sigma[row].float() * flow[0]

    assert clips.grad is not None
    count = clean[:, 1:].numel()
    for row in range(2):
        asked, unasked = clean_by_hand(teacher, row, 5), clean_by_hand(teacher, row, 8)
        wanted = asked + guidance * (asked - unasked)
        by_hand = (clean_by_hand(critic, row, 5) - wanted) / (clean[row] - wanted).abs().mean()
        torch.testing.assert_close(clips.grad[row, 1:], by_hand[1:] / count, rtol=1e-4, atol=1e-8)
        assert (clips.grad[row, 0] == 0).all(), "frames that are not trained have none"


def test_a_clip_that_is_where_the_teacher_wants_it_stays() -> None:
    clean = drawn(0)
    assert (matching_gradient(clean, clean, clean) == 0).all()
    assert (matching_gradient(clean, clean, clean + 1) == 0).all(), "no division by no distance"


def test_following_the_gradient_brings_a_clip_to_the_teacher() -> None:
    clip, real = drawn(0), drawn(1)
    trained = torch.ones(1, 1, 1, 1, 1, dtype=torch.bool)
    before = (clip - real).abs().mean()
    for _ in range(50):
        clip.requires_grad_(True)
        loss = matching_loss(clip, matching_gradient(clip.detach(), real, clip.detach()), trained)
        [gradient] = torch.autograd.grad(loss, clip)
        clip = clip.detach() - 0.02 * clip.numel() * gradient
    assert (clip - real).abs().mean() < 0.5 * before


def test_the_critic_learns_the_flow_to_what_the_student_makes() -> None:
    critic = small_transformer()
    clean, noise, sigma = drawn(0).requires_grad_(True), drawn(1), torch.tensor([0.3, 0.8], dtype=torch.float64)
    loss = critic_loss(critic, clean, noise, sigma, text(critic, 5))
    memory, parts = WholeClip(critic.rotary(*LATENT[1:]), FRAMES), []
    for row in range(2):
        noisy = (1 - sigma[row].float()) * clean[row] + sigma[row].float() * noise[row]
        times = torch.full((1, FRAMES), 1000 * sigma[row].item())
        flow = critic(noisy[None], times, critic.encode_text(prompt(5 + row)), memory)[0]
        parts.append((flow - (noise[row] - clean[row])).square().mean())
    torch.testing.assert_close(loss, torch.stack(parts).mean().detach(), rtol=1e-4, atol=1e-6)
    assert not loss.requires_grad, "the student is not trained by it"


def test_levels_are_drawn_towards_noise_and_off_both_ends() -> None:
    levels = NoiseLevels().draw(4000, torch.Generator().manual_seed(0))
    assert (levels.min(), levels.max()) == (pytest.approx(0.02), pytest.approx(0.98))
    assert levels.dtype is torch.float64
    assert levels.median() == pytest.approx(5 * 0.5 / 3, abs=0.02)
