"""Stages 3 and 4: the DiT and the text encoder together, by teacher forcing on clips of five chunks.

First the first chunk alone, which everything else hangs on and which is cheap; then a mixture of plain clips, clips
with a switch (context under the new prompt, as a recache leaves it), and first chunks.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from longlive.config import TextEncoderConfig, TransformerConfig
from longlive.config_file import to_json
from longlive.text_encoder import TextEncoder, build_text_encoder
from longlive.tiny.captions import TEXT_LEN, build_tokenizer, full_caption, partial_caption
from longlive.tiny.training.block_causal import CHUNK, BlockCausalMemory, Pattern
from longlive.tiny.training.latents import CHUNKS, LatentClips, LatentData
from longlive.tiny.training.trainer import Stage, Trainer, Worker
from longlive.tiny.training.work_file import Origin
from longlive.tiny.world import ATTRIBUTES, SIZE, Scene
from longlive.transformer import CausalWanTransformer, TextContext

TRANSFORMER = TransformerConfig(
    dim=192, num_heads=6, ffn_dim=512, num_layers=6, freq_dim=128, text_dim=128, text_len=TEXT_LEN
)
TEXT = TextEncoderConfig(vocab_size=160, dim=128, dim_attn=128, dim_ffn=256, num_heads=4, num_layers=2)
STARTS = Stage("starts", steps=1400, batch=48, adam_lr=2e-3, muon_lr=0.02, ema=0.99, decay_from=0.8)
CLIPS = Stage("clips", steps=2300, batch=10, adam_lr=2e-3, muon_lr=0.02, ema=0.995, decay_from=0.5)
COPIES = 2
SHIFT = 3.0
PURE_NOISE = 0.15  # share of samples that start from nothing
CONTEXT_NOISE = 0.2
PARTIAL = 0.3  # share of captions that leave something unsaid
MIXTURE = {"plain": 0.5, "switch": 0.38, "start": 0.12}


class TinyModel(nn.Module):
    """Transformer and text encoder, trained together."""

    def __init__(self, transformer: TransformerConfig = TRANSFORMER, text: TextEncoderConfig = TEXT) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.text_config = text
        self.transformer = CausalWanTransformer(transformer)
        self.text_encoder = build_text_encoder(text, "cpu")
        self.tokenizer = build_tokenizer()
        self.table = self.transformer.rotary(SIZE // 8, SIZE // 8)
        self.bfloat16().train()

    def muon_names(self) -> list[str]:
        """Hidden matrices of the blocks."""
        return [n for n, p in self.named_parameters() if n.startswith("transformer.blocks.") and p.ndim == 2]

    def origin(self) -> Origin:
        return {
            "transformer configuration": to_json(self.transformer.config),
            "text encoder configuration": to_json(self.text_config),
        }

    def prompt(self, captions: Sequence[str]) -> TextContext:
        reader = TextEncoder(self.text_encoder, self.tokenizer, TEXT_LEN)
        return self.transformer.encode_text(reader.encode_ids(*reader.tokenize(captions)))


def caption(rng: random.Random, scene: Scene, before: Scene | None = None) -> str:
    """A caption of the scene; a partial one names at least what differs from the scene `before`."""
    if rng.random() >= PARTIAL:
        return full_caption(rng, scene)
    said = set(before.changed(scene)) if before else {rng.choice(list(ATTRIBUTES))}
    share = rng.choice((0.0, 0.3, 0.6))
    said |= {name for name in ATTRIBUTES if rng.random() < share}
    return partial_caption(rng, scene, tuple(said or {"kind"}))


def draw_sigma(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Noise levels in (0, 1], shifted towards noise."""
    u = torch.rand(shape, generator=generator)
    sigma = SHIFT * u / (1 + (SHIFT - 1) * u)
    return torch.where(torch.rand(shape, generator=generator) < PURE_NOISE, torch.ones_like(sigma), sigma).clamp_min(
        0.005
    )


def teacher_forcing_loss(
    model: TinyModel, latents: Tensor, prompt: TextContext, pattern: Pattern, generator: torch.Generator
) -> Tensor:
    """Flow-matching loss `[copies, chunks]` of the pattern's noised chunks; `latents` [B, F, 16, 8, 8] clean."""
    batch = len(latents)
    chunks = latents.float().unflatten(1, (-1, CHUNK))
    target = chunks[:, pattern.first : pattern.last + 1].repeat(1, pattern.copies, 1, 1, 1, 1)
    noise = torch.randn(target.shape, generator=generator)
    sigma = draw_sigma((batch, target.shape[1], 1, 1, 1, 1), generator)
    noisy = torch.lerp(target, noise, sigma)
    context = chunks[:, : pattern.clean]
    level = CONTEXT_NOISE * torch.rand((batch, pattern.clean, 1, 1, 1, 1), generator=generator)
    level *= torch.rand((batch, 1, 1, 1, 1, 1), generator=generator) < 0.5
    context = torch.lerp(context, torch.randn(context.shape, generator=generator), level)
    times = torch.cat((torch.zeros(batch, pattern.clean), 1000 * sigma.view(batch, -1)), 1).repeat_interleave(CHUNK, 1)
    sequence = torch.cat((context, noisy), 1).flatten(1, 2)
    flow = model.transformer(sequence, times, prompt, BlockCausalMemory(pattern, model.table))
    flow = flow.unflatten(1, (-1, CHUNK))[:, pattern.clean :].float()
    error = (flow - (noise - target)) ** 2
    return error.mean(dim=(0, 2, 3, 4, 5)).view(pattern.copies, -1)


def pick(rng: random.Random, clips: LatentClips, count: int) -> tuple[Tensor, list[Scene], list[Scene]]:
    """Drawn clips: latents, scenes before and scenes after the switch."""
    rows = rng.sample(range(len(clips)), count)
    return clips.latents[rows], [clips.scenes[r] for r in rows], [clips.after[r] for r in rows]


def start_loss(model: TinyModel, data: LatentData, batch: int, seed: int) -> Tensor:
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    latents, scenes, _ = pick(rng, data.starts, batch)
    prompt = model.prompt([caption(rng, scene) for scene in scenes])
    return teacher_forcing_loss(model, latents, prompt, Pattern(0, 0, 0, 0, 1), generator)


def plain_loss(model: TinyModel, data: LatentData, batch: int, seed: int) -> Tensor:
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    latents, scenes, _ = pick(rng, data.plain, batch)
    prompt = model.prompt([caption(rng, scene) for scene in scenes])
    return teacher_forcing_loss(model, latents, prompt, Pattern(CHUNKS - 1, 0, 0, CHUNKS - 1, COPIES), generator)


def switch_loss(model: TinyModel, data: LatentData, batch: int, seed: int) -> Tensor:
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    border = rng.randint(1, CHUNKS - 1)
    latents, before, after = pick(rng, data.switched[border - 1], batch)
    prompt = model.prompt([caption(rng, new, old) for old, new in zip(before, after, strict=True)])
    pattern = Pattern(CHUNKS - 1, border, border, CHUNKS - 1, COPIES)
    return teacher_forcing_loss(model, latents, prompt, pattern, generator)


def train_starts(
    model: TinyModel,
    data: LatentData,
    worker: Worker,
    directory: Path,
    report: Callable[[str], None],
    stage: Stage = STARTS,
) -> None:
    """Stage 3: first chunks alone."""
    trainer = Trainer(model, stage, worker, directory, {**data.origin, **model.origin()}, model.muon_names())
    trainer.run(
        lambda step: {"loss": start_loss(model, data, stage.batch, worker.seed(stage.name, step)).mean()}, report
    )


def train_clips(
    model: TinyModel,
    data: LatentData,
    worker: Worker,
    directory: Path,
    report: Callable[[str], None],
    stage: Stage = CLIPS,
) -> None:
    """Stage 4: the mixture. Which kind a step trains is the same in all processes."""
    trainer = Trainer(model, stage, worker, directory, {**data.origin, **model.origin()}, model.muon_names())

    def loss_of(step: int) -> dict[str, Tensor]:
        seed = worker.seed(stage.name, step)
        match random.Random(step).choices(list(MIXTURE), list(MIXTURE.values()))[0]:
            case "plain":
                loss = plain_loss(model, data, stage.batch, seed)
                return {"loss": loss.mean(), "first": loss[:, 0].mean(), "last": loss[:, -1].mean()}
            case "switch":
                loss = switch_loss(model, data, stage.batch, seed).mean()
                return {"loss": loss, "switch": loss}
            case _:
                loss = start_loss(model, data, STARTS.batch, seed).mean()
                return {"loss": loss, "start": loss}

    trainer.run(loss_of, report)
