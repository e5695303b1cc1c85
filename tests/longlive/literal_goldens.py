"""Writes folders laid out like the reference's goldens, unlike ours in every size, from the rules read literally."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from longlive.config import TextEncoderConfig, TransformerConfig, VAEConfig
from longlive.kv_cache import Positions
from longlive.text_encoder import build_text_encoder, publish_umt5_keys
from longlive.transformer import CausalWanTransformer
from longlive.vae import WanVAE
from tests.longlive.moving_window import LiteralMemory
from tests.longlive.small import small_transformer

DIT = TransformerConfig(
    dim=128, num_heads=2, ffn_dim=96, num_layers=2, freq_dim=12, text_dim=10, text_len=5, in_channels=4, out_channels=4
)
CHANNELS, HEIGHT, WIDTH, TOKENS = 4, 4, 6, 6
CHUNK, WINDOW, SINK, FRAMES = 2, 7, 1, 14
STEPS, SHIFT = (1000, 600, 200), 3.0
SETTINGS = {
    "dim": DIT.dim,
    "num_heads": DIT.num_heads,
    "ffn_dim": DIT.ffn_dim,
    "num_layers": DIT.num_layers,
    "freq_dim": DIT.freq_dim,
    "text_dim": DIT.text_dim,
    "text_len": DIT.text_len,
    "eps": DIT.eps,
    "nfb": CHUNK,
    "local_attn_size": WINDOW,
    "sink_size": SINK,
    "timestep_shift": SHIFT,
    "denoising_step_list": STEPS,
    "warp_denoising_step": False,
    "switches": [5, 9],
    "early_switch": 2,
    "unaligned_switch": 3,
    "lora_rank": 2,
    "lora_alpha": 6,
}
VAE = VAEConfig(
    dim=4, z_dim=4, dim_mult=(1, 2, 2), temporal_downsample=(True, True), mean=(0.1, 0.2, -0.1, 0.0), std=(1.5,) * 4
)
T5 = TextEncoderConfig(
    vocab_size=20, dim=12, dim_attn=8, dim_ffn=10, num_heads=2, num_layers=2, num_buckets=8, max_distance=20
)


def write_whole_folder(folder: Path) -> None:
    """Everything that the LongLive goldens hold, in both layouts of the weights."""
    transformer = small_transformer(DIT)
    goldens = _Transformer(transformer)
    weights = transformer.state_dict()
    _save(folder, "weights_wan_layout", weights)
    _save(folder, "weights_generator_layout", {f"model.{name}": weight for name, weight in weights.items()})
    _save(folder, "inputs", goldens.inputs)
    _save(folder, "single_forward", goldens.forwards())
    rollouts, switches = goldens.rollouts()
    _save(folder, "rollouts", rollouts)
    _save(folder, "recache_state", switches)
    adapter, outputs = _adapted(goldens)
    _save(folder, "lora_weights", adapter)
    _save(folder, "lora_outputs", outputs)
    _save(folder, "tables", _tables())
    (folder / "config.json").write_text(json.dumps(SETTINGS))
    _write_components(folder, "vae_t5_config.json", wan=False)


def write_wan_components(folder: Path) -> None:
    """What the Wan component goldens hold."""
    _write_components(folder, "config.json", wan=True)


@dataclass
class Literal:
    """A roll-out: its latents, its memory at the end, and the memory before and after each switch."""

    latents: Tensor
    memory: LiteralMemory
    switches: list[tuple[int, dict[str, Tensor], dict[str, Tensor]]]


class _Transformer:
    def __init__(self, transformer: CausalWanTransformer) -> None:
        self.transformer = transformer
        self.generator = torch.Generator().manual_seed(5)
        levels = 1 - torch.arange(1000, dtype=torch.float64) / 1000
        self.sigmas = SHIFT * levels / (1 + (SHIFT - 1) * levels)
        self.inputs = {
            "noise": self.random(1, FRAMES, CHANNELS, HEIGHT, WIDTH),
            "renoise": self.random(FRAMES // CHUNK, len(STEPS) - 1, CHUNK, CHANNELS, HEIGHT, WIDTH),
            **{f"prompt_embeds.{i}": self.random(1, DIT.text_len, DIT.text_dim) for i in range(3)},
            "scheduler.sigmas": self.sigmas.float(),
            "scheduler.timesteps": (1000 * self.sigmas).float(),
            "scheduler.training_weights": torch.ones(1000),
            "denoising_timesteps": torch.tensor(STEPS, dtype=torch.float32),
        }

    def random(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator)

    def memory(self, window: int = WINDOW, sink: int = SINK, positions: Positions = "absolute") -> LiteralMemory:
        return LiteralMemory(self.transformer, window, sink, positions, HEIGHT, WIDTH)

    def sigma(self, timestep: float) -> float:
        return self.sigmas[(1000 * self.sigmas - timestep).abs().argmin()].item()

    def clean(self, flow: Tensor, noisy: Tensor, timesteps: Tensor) -> Tensor:
        sigma = torch.tensor([[self.sigma(t) for t in row] for row in timesteps.tolist()], dtype=torch.float64)
        return (noisy.double() - sigma[..., None, None, None] * flow.double()).float()

    def forward(
        self, memory: LiteralMemory, latents: Tensor, start: int, timesteps: float | Tensor, prompt: int
    ) -> Tensor:
        memory.start = start
        times = torch.as_tensor(timesteps).expand(latents.shape[:2])
        text = self.transformer.encode_text(self.inputs[f"prompt_embeds.{prompt}"])
        return self.transformer(latents, times, text, memory)

    def forwards(self) -> dict[str, Tensor]:
        x, context = self.random(1, CHUNK, CHANNELS, HEIGHT, WIDTH), self.random(1, 8, CHANNELS, HEIGHT, WIDTH)
        out = {"x": x, "warm.context_latents": context}
        for step, times in (("t0", [[0.0, 0.0]]), ("t2", [[600.0, 600.0]]), ("mixed", [[880.0, 40.0]])):
            out[f"timestep.{step}"] = timesteps = torch.tensor(times)
            for start in ("empty", "warm"):
                memory, first = self.memory(), 0
                for chunk in context.split(CHUNK, dim=1) if start == "warm" else ():
                    self.forward(memory, chunk, first, 0.0, 0)
                    first += CHUNK
                out[f"{start}.{step}.flow"] = flow = self.forward(memory, x, first, timesteps, 0)
                out[f"{start}.{step}.x0"] = self.clean(flow, x, timesteps)
                if (start, step) == ("warm", "mixed"):
                    layer = memory.layers[1]
                    out["acts.warm.mixed.cache_v.1"] = layer.values[:, -CHUNK:].flatten(1, 2)
        text = self.transformer.text_embedding(self.inputs["prompt_embeds.0"])
        return out | {"acts.warm.mixed.text_embedding": text}

    def rollouts(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        twice, relative = [(5, 1), (9, 2)], self.memory(positions="relative")
        made = {
            "A": self.rollout(self.memory(), [], ""),
            "A_nosink": self.rollout(self.memory(sink=0), [], ""),
            "A_fullattn": self.rollout(self.memory(FRAMES, 0), [], ""),
            "A_relrope": self.rollout(self.memory(positions="relative"), [], ""),
            "B_recache_globalsink": self.rollout(self.memory(), twice, "recache"),
            "B_recache_resetsink": self.rollout(self.memory(), twice, "reset"),
            "B_recache_early": self.rollout(self.memory(), [(2, 1)], "recache"),
            "B_recache_unaligned": self.rollout(self.memory(), [(3, 1)], "recache"),
            "B_relrope_globalsink": self.rollout(relative, twice, "recache"),
            "C_keep": self.rollout(self.memory(), twice, "keep"),
            "D_clear": self.rollout(self.memory(), twice, "clear"),
            "D_zerofill": self.rollout(self.memory(), twice, "zerofill"),
        }
        rollouts = {f"{case}.latents": literal.latents for case, literal in made.items()}
        for case in ("A", "B_relrope_globalsink"):
            rollouts |= {f"{case}.final_cache.{name}": part for name, part in _layers(made[case].memory).items()}
        rollouts["A.final_cache.indices"] = torch.tensor([FRAMES * TOKENS, WINDOW * TOKENS])
        switches = {}
        for case in ("B_recache_globalsink", "B_recache_resetsink", "B_recache_early"):
            for number, (frame, before, after) in enumerate(made[case].switches):
                prefix = f"{case}.switch{number}"
                switches[f"{prefix}.effective_frame"] = torch.tensor([frame])
                switches |= {f"{prefix}.before.{name}": part for name, part in before.items()}
                switches |= {f"{prefix}.after.{name}": part for name, part in after.items()}
        return rollouts, switches

    def rollout(self, memory: LiteralMemory, switches: list[tuple[int, int]], mode: str) -> Literal:
        pending, prompt = list(switches), 0
        video, recorded = torch.empty(1, 0, CHANNELS, HEIGHT, WIDTH), []
        for start in range(0, FRAMES, CHUNK):
            if pending and start >= pending[0][0]:
                _, prompt = pending.pop(0)
                before, held = _layers(memory), memory.layers[0].local_end
                if mode in ("recache", "reset"):
                    memory.rewrite_sink = mode == "reset"
                    self.forward(memory, video[:, -held:], start - held, 0.0, prompt)
                    memory.rewrite_sink = False
                for layer in memory.layers if mode in ("clear", "zerofill") else ():
                    if mode == "clear":
                        layer.clear()
                    else:
                        layer.keys.zero_()
                        layer.values.zero_()
                recorded.append((start, before, _layers(memory)))
            latents = self.inputs["noise"][:, start : start + CHUNK]
            for step, timestep in enumerate(STEPS):
                flow = self.forward(memory, latents, start, float(timestep), prompt)
                clean = self.clean(flow, latents, torch.full(latents.shape[:2], float(timestep)))
                if step + 1 < len(STEPS):
                    level = self.sigma(STEPS[step + 1])
                    latents = (1 - level) * clean + level * self.inputs["renoise"][start // CHUNK, step]
            self.forward(memory, clean, start, 0.0, prompt)
            video = torch.cat((video, clean), dim=1)
        return Literal(video, memory, recorded)


def _layers(memory: LiteralMemory) -> dict[str, Tensor]:
    parts = {}
    for number, layer in enumerate(memory.layers):
        parts[f"k.{number}"], parts[f"v.{number}"] = layer.keys.flatten(1, 2), layer.values.flatten(1, 2)
    return {name: part.clone() for name, part in parts.items()}


def _adapted(plain: _Transformer) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    adapter, outputs = {}, {}
    goldens = _Transformer(small_transformer(DIT))
    for name in ("blocks.0.self_attn.q", "blocks.1.ffn.0"):
        weight = goldens.transformer.get_submodule(name).weight
        down, up = 0.3 * plain.random(2, weight.shape[1]), 0.3 * plain.random(weight.shape[0], 2)
        adapter |= {f"base_model.model.{name}.lora_A.weight": down, f"base_model.model.{name}.lora_B.weight": up}
        with torch.no_grad():
            weight += 3 * up @ down
        outputs[f"merged.weight.{name}.weight"] = weight.clone()
    forwards = goldens.forwards()
    outputs["merged.warm.mixed.flow"] = forwards["warm.mixed.flow"]
    outputs |= {f"unmerged.empty.mixed.{part}": forwards[f"empty.mixed.{part}"] for part in ("flow", "x0")}
    outputs["merged.C_keep.latents"] = goldens.rollout(goldens.memory(), [(5, 1), (9, 2)], "keep").latents
    return adapter, outputs


def _tables() -> dict[str, Tensor]:
    pairs = DIT.dim // DIT.num_heads // 2
    spatial = pairs // 3
    angles = torch.zeros(9, pairs, dtype=torch.float64)
    for place in range(9):
        for column in range(pairs):
            sizes = (pairs - 2 * spatial, spatial, spatial)
            axis = 0 if column < sizes[0] else 1 + (column - sizes[0]) // spatial
            within = column - sum(sizes[:axis])
            angles[place, column] = place * 10000 ** (-within / sizes[axis])
    positions, half = torch.tensor([0.0, 200.0, 937.5]), DIT.freq_dim // 2
    rates = torch.tensor([10000 ** (-i / half) for i in range(half)], dtype=torch.float64)
    phases = positions.double()[:, None] * rates
    return {
        "rope.freqs_real_first9": angles.cos(),
        "rope.freqs_imag_first9": angles.sin(),
        "sinusoidal.positions": positions,
        "sinusoidal.embedding": torch.cat((phases.cos(), phases.sin()), dim=1),
    }


@torch.no_grad()
def _write_components(folder: Path, config: str, *, wan: bool) -> None:
    vae_settings, t5_settings = asdict(VAE), asdict(T5)
    del vae_settings["mean"], vae_settings["std"]
    t5_settings |= {"vocab": t5_settings.pop("vocab_size"), "len": 9, "lens": [9, 4]}
    (folder / config).write_text(json.dumps({"vae": vae_settings, "t5": t5_settings}))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        vae, encoder = WanVAE(VAE), build_text_encoder(T5, "cpu")
        latents, video = torch.randn(1, 5, 4, 3, 2), torch.rand(1, 9, 3, 12, 8) * 2 - 1
    _save(folder, "vae_weights", vae.state_dict())
    _save(folder, "t5_weights", publish_umt5_keys(encoder.state_dict()))
    frames, statistics = vae.decode(latents, clamp=not wan), {"mean": vae.mean.flatten(), "std": vae.std.flatten()}
    ids = torch.tensor([[5, 6, 7, 8, 9, 10, 11, 12, 1], [13, 14, 15, 1, 0, 0, 0, 0, 0]])
    mask = (ids != 0).long()
    hidden = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
    text = {"ids": ids, "mask": mask, "prompt_embeds": hidden * mask[..., None]}
    if wan:
        numbers = {
            "latents": latents,
            "latents_denorm": latents / (1 / vae.std) + vae.mean,
            "frames": frames,
            "frames.chunk0": frames[:, :5],
            "frames.chunk1": frames[:, 5:],
            "frames.cold_2_4": vae.decode(latents[:, 2:4], clamp=False),
            "video": video,
            "encoded": vae.encode(video),
        }
        distance = torch.arange(-30, 31)
        _save(folder, "vae_io", {name: part.transpose(1, 2) for name, part in numbers.items()} | statistics)
        buckets = torch.tensor([_bucket(int(d)) for d in distance])
        lengths = {"hidden": hidden, "lens": mask.sum(1), "distance": distance, "bucket": buckets}
        _save(folder, "t5_io", text | lengths)
    else:
        numbers = {
            "latents": latents,
            "pixels": frames,
            "chunk_latents": torch.tensor([2, 3]),
            "chunk_frames": torch.tensor([5, 12]),
            "encode.pixels": video.transpose(1, 2),
            "encode.latents": vae.encode(video),
        }
        _save(folder, "vae_io", numbers | statistics)
        _save(folder, "t5_io", text | {"output_raw": hidden})


def _bucket(distance: int) -> int:
    """Half of the buckets for each direction; of these half for one distance each, the others ever wider."""
    half = T5.num_buckets // 2
    exact, far = half // 2, abs(distance)
    if far >= exact:
        octave = math.log(far / exact) / math.log(T5.max_distance / exact)
        far = min(half - 1, exact + int(octave * (half - exact)))
    return far + half * (distance > 0)


def _save(folder: Path, name: str, tensors: dict[str, Tensor]) -> None:
    copies = {key: part.detach().clone().contiguous() for key, part in tensors.items()}
    save_file(copies, folder / f"{name}.safetensors")
