"""Distribution matching distillation (DMD, sections 3.2 and 4.2) as LongLive uses it (reference sheet, section 9)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from longlive.sampler import renoise
from longlive.training.scores import predict_clean, predict_flow
from longlive.transformer import CausalWanTransformer, TextContext


@dataclass(frozen=True)
class NoiseLevels:
    """Levels at which scores are compared: timesteps drawn evenly, shifted towards noise, kept off both ends."""

    shift: float = 5.0
    least: float = 0.02
    most: float = 0.98

    def draw(self, batch: int, generator: torch.Generator) -> Tensor:
        """Sigma [batch], float64 on the generator's device; one level for all frames of a clip."""
        even = torch.randint(1000, (batch,), generator=generator, device=generator.device).double() / 1000
        return (self.shift * even / (1 + (self.shift - 1) * even)).clamp(self.least, self.most)


@dataclass(frozen=True)
class Prompted:
    """What a clip is to show, and what it is pushed away from, as one model reads it."""

    asked: TextContext
    unasked: TextContext | None = None


@torch.no_grad()
def guided(model: CausalWanTransformer, noisy: Tensor, sigma: Tensor, prompt: Prompted, guidance: float) -> Tensor:
    """The clean prediction under the prompt, `guidance` times its difference to the unasked one further on."""
    clean = predict_clean(model, noisy, sigma, prompt.asked)
    if prompt.unasked is None or guidance == 0:
        return clean
    return clean + guidance * (clean - predict_clean(model, noisy, sigma, prompt.unasked))


def matching_gradient(clean: Tensor, real: Tensor, fake: Tensor) -> Tensor:
    """Where a clip is to move: from what the teacher sees in it to what the critic does (DMD, equation 7), over the
    mean distance of clip and teacher, so that each clip weighs the same. All [B, F, C, H, W]; 0 where that is none.
    """
    distance = (clean - real).abs().mean(dim=(1, 2, 3, 4), keepdim=True)
    return torch.nan_to_num((fake - real) / distance, nan=0.0, posinf=0.0, neginf=0.0)


def matching_loss(clean: Tensor, gradient: Tensor, trained: Tensor) -> Tensor:
    """A loss whose gradient in `clean` is `gradient`, up to the mean over what is `trained` (bool, broadcasts)."""
    clean = clean.double()
    target = (clean - gradient.double()).detach()
    mask = trained.expand_as(clean)
    return 0.5 * (clean - target)[mask].square().mean()


def critic_loss(critic: CausalWanTransformer, clean: Tensor, noise: Tensor, sigma: Tensor, text: TextContext) -> Tensor:
    """Flow matching of the critic on what the student makes now: it learns the student's own distribution."""
    clean = clean.detach()
    noisy = renoise(clean, noise, sigma.view(-1, 1, 1, 1, 1))
    return (predict_flow(critic, noisy, sigma, text).float() - (noise - clean).float()).square().mean()
