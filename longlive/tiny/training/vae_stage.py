"""Stage 1: the tiny Wan VAE, on short clips drawn afresh for every update."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from longlive.config import VAEConfig
from longlive.config_file import to_json
from longlive.tiny.renderer import render
from longlive.tiny.training.trainer import Stage, Trainer, Worker
from longlive.tiny.world import Clip, draw_change, draw_scene
from longlive.vae import WanVAE

VAE = VAEConfig(dim=16, num_res_blocks=1)
STAGE = Stage("vae", steps=1500, batch=4, adam_lr=2e-3, muon_lr=0.02, warmup=20, decay_from=0.2)
# Clips of one length would leave the decoder with zero history all along: every third update sees twice as many frames.
SHORT, LONG = 9, 17
KL_WEIGHT = 3e-4


def draw_pixels(seed: int, count: int, frames: int) -> Tensor:
    """Training clips `[count, frames, 3, 64, 64]` in [-1, 1]; every fourth one shows a switch."""
    rng = random.Random(seed)
    clips = []
    for i in range(count):
        scene = draw_scene(rng)
        after = draw_change(rng, scene, rng.randint(1, 4)) if i % 4 == 0 else None
        clips.append(render(Clip(scene, rng.getrandbits(32), after, rng.randint(0, frames - 1)), frames))
    return torch.stack(clips).float() / 127.5 - 1


def build_vae(config: VAEConfig) -> WanVAE:
    """A bfloat16 VAE at its start: residual branches add nothing, convolutions in the layout that is fast on CPUs."""
    torch.manual_seed(1)
    vae = WanVAE(config)
    for name, module in vae.named_modules():
        if isinstance(module, nn.Conv3d | nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        if name.endswith("residual.6") or name.endswith("middle.1.proj"):
            nn.init.zeros_(module.weight)
    return channels_last(vae.bfloat16())


def channels_last(vae: WanVAE) -> WanVAE:
    for module in vae.modules():
        if isinstance(module, nn.Conv3d):
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last_3d)
        elif isinstance(module, nn.Conv2d):
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
    return vae


def convolutions(vae: WanVAE) -> list[str]:
    """What Muon moves: all kernels but the first and the last (five times fewer updates than with AdamW alone)."""
    ends = ("encoder.conv1.weight", "decoder.head.2.weight")
    return [name for name, p in vae.named_parameters() if p.ndim >= 4 and p.shape[1:].numel() > 1 and name not in ends]


def vae_loss(vae: WanVAE, pixels: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """Weighted L1 and L2, gradients of the picture, and a small KL term. What moves counts threefold: it is little."""
    mean, logvar = vae.posterior(pixels)
    mean, logvar = mean.float(), logvar.float().clamp(-12, 6)
    latents = mean + torch.randn(mean.shape, generator=generator) * (0.5 * logvar).exp()
    decoded = vae.decode(vae.normalise(latents), clamp=False).float()
    moving = (pixels - pixels.mean(1, keepdim=True)).abs().amax(2, keepdim=True) > 0.15
    weight = 1 + 2 * moving.float()
    error = decoded - pixels
    loss = (weight * (error.abs() + 4 * error**2)).mean()
    for axis in (-1, -2):
        loss = loss + F.l1_loss(decoded.diff(dim=axis), pixels.diff(dim=axis))
    kl = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).mean()
    psnr = -10 * torch.log10((error.detach().clamp(-2, 2) ** 2).mean() / 4)
    return {"loss": loss + KL_WEIGHT * kl, "kl": kl, "psnr": psnr}


def train_vae(
    worker: Worker, directory: Path, report: Callable[[str], None], stage: Stage = STAGE, config: VAEConfig = VAE
) -> WanVAE:
    """A trained VAE whose own latents are not normalised yet (mean 0, std 1 in its configuration)."""
    plain = replace(config, mean=(0.0,) * config.z_dim, std=(1.0,) * config.z_dim)
    vae = build_vae(plain)

    def loss_of(step: int) -> dict[str, Tensor]:
        seed = worker.seed(stage.name, step)
        count, frames = (stage.batch // 2, LONG) if step % 3 == 0 else (stage.batch, SHORT)
        return vae_loss(vae, draw_pixels(seed, count, frames), torch.Generator().manual_seed(seed))

    origin = {"VAE configuration": to_json(plain)}
    Trainer(vae, stage, worker, directory, origin, convolutions(vae)).run(loss_of, report)
    return vae
