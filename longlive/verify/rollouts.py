"""Cases of the transformer: single forwards, roll-outs, caches, tables, LoRA."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict
from safetensors.torch import load_file
from torch import Tensor

from longlive.checkpoints import load_transformer, read_state_dict
from longlive.config import RolloutConfig, SamplerConfig, TransformerConfig
from longlive.kv_cache import KVCache
from longlive.lora import merge_lora
from longlive.rollout import Rollout
from longlive.rope import RotaryTable
from longlive.sampler import FewStepSampler, to_x0
from longlive.transformer import CausalWanTransformer
from longlive.verify.case import Case, Compare, Pairs

WEIGHTS = ("weights_wan_layout.safetensors", "weights_generator_layout.safetensors")


class GoldenConfig(BaseModel):
    """`config.json` of such a folder; lengths in latent frames."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    dim: int
    num_heads: int
    ffn_dim: int
    num_layers: int
    freq_dim: int
    text_dim: int
    text_len: int
    eps: float
    nfb: int  # frames of a chunk
    local_attn_size: int  # window
    sink_size: int
    timestep_shift: float
    denoising_step_list: tuple[int, ...]
    context_noise: float = 0.0
    switches: tuple[int, ...] = ()
    early_switch: int | None = None
    unaligned_switch: int | None = None
    lora_rank: int = 1
    lora_alpha: float = 1


@dataclass(frozen=True)
class Scenario:
    """How a roll-out case differs from plain generation."""

    mode: Literal["recache", "keep", "clear", "zerofill"] | None = None
    switch: Literal["switches", "early_switch", "unaligned_switch"] = "switches"
    changes: Mapping[str, object] = field(default_factory=dict)  # of the roll-out configuration


RELATIVE = {"positions": "relative"}
SCENARIOS = {
    "A": Scenario(),
    "A_nosink": Scenario(changes={"sink_frames": 0}),
    "A_fullattn": Scenario(changes={"sink_frames": 0, "window_frames": -1}),
    "A_relrope": Scenario(changes=RELATIVE),
    "B_recache_globalsink": Scenario("recache"),
    "B_recache_resetsink": Scenario("recache", changes={"global_sink": False}),
    "B_recache_early": Scenario("recache", "early_switch"),
    "B_recache_unaligned": Scenario("recache", "unaligned_switch"),
    "B_relrope_globalsink": Scenario("recache", changes=RELATIVE),
    "C_keep": Scenario("keep"),
    "D_clear": Scenario("clear"),
    "D_zerofill": Scenario("zerofill"),
}

Layers = list[tuple[Tensor, Tensor]]  # ordered keys and values of every layer


@dataclass
class Recording:
    """What a roll-out case made."""

    latents: Tensor
    final: Layers
    indices: tuple[int, int]  # frames seen, frames held
    switches: list[tuple[int, Layers, Layers]]  # frame, caches before and after


def transformer_cases(folder: Path, dtype: torch.dtype, device: torch.device | str) -> Iterator[Case]:
    """The cases that the folder's files name; weights are loaded when the first of them runs."""
    weights = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if weights is None:
        return
    goldens = _Goldens(folder, weights, dtype, device)
    yield from goldens.cases()


class _Goldens:
    def __init__(self, folder: Path, weights: Path, dtype: torch.dtype, device: torch.device | str) -> None:
        self.folder, self.weights, self.dtype, self.device = folder, weights, dtype, device
        self.config = GoldenConfig.model_validate_json((folder / "config.json").read_bytes())
        self.file = cache(self._load_file)
        self.transformer = cache(self._load_transformer)
        self.merged = cache(self._load_merged)
        self.record = cache(self._record)

    def cases(self) -> Iterator[Case]:
        for name in self.file("single_forward"):
            if match := re.fullmatch(r"(empty|warm)\.(\w+)\.flow", name):
                yield Case(
                    f"{match[1]}.{match[2]}", "single_forward", "forward", partial(self._forward, *match.groups())
                )
        for name in self.file("rollouts"):
            case, _, rest = name.rpartition(".")
            known = case in SCENARIOS
            if rest == "latents":
                yield Case(case, "rollouts", "rollout", partial(self._rollout, case) if known else None)
            elif match := re.fullmatch(r"(\w+)\.final_cache\.indices", name):
                compare = partial(self._final_cache, match[1]) if match[1] in SCENARIOS else None
                yield Case(f"{match[1]}.final_cache", "rollouts", "cache", compare)
        for case, switch in sorted({tuple(name.split(".")[:2]) for name in self.file("recache_state")}):
            compare = partial(self._switch, case, switch) if case in SCENARIOS else None
            yield Case(f"{case}.{switch}", "recache_state", "cache", compare)
        yield from self._lora_cases()
        yield from self._table_cases()

    def _lora_cases(self) -> Iterator[Case]:
        outputs = self.file("lora_outputs")
        for name in outputs:
            # Adapters are always merged here; their outputs beside the weights must come out the same.
            if re.fullmatch(r"(merged|unmerged)\.empty\.\w+\.flow", name):
                form, start, step, _ = name.split(".")
                compare: Compare = partial(self._lora_forward, form, start, step)
                yield Case(f"lora.{form}.{start}.{step}", "lora", "forward", compare)
            elif match := re.fullmatch(r"merged\.(\w+)\.latents", name):
                compare = partial(self._lora_rollout, match[1]) if match[1] in SCENARIOS else None
                yield Case(f"lora.merged.{match[1]}", "lora", "rollout", compare)
        if any(name.startswith("merged.weight.") for name in outputs):
            yield Case("lora.merged.weight", "lora", "forward", self._lora_weights)

    def _table_cases(self) -> Iterator[Case]:
        if "scheduler.sigmas" in self.file("inputs"):
            yield Case("tables.sampler", "tables", "statistic", self._sampler_tables)
        if "rope.freqs_real_first64" in self.file("tables"):
            yield Case("tables.rope", "tables", "statistic", self._rope_tables)
        if all((self.folder / name).is_file() for name in WEIGHTS):
            yield Case("weights.layouts", "weights", "statistic", self._layouts)

    def _load_file(self, name: str) -> dict[str, Tensor]:
        path = self.folder / f"{name}.safetensors"
        return load_file(path) if path.is_file() else {}

    def _load_transformer(self, dtype: torch.dtype | None = None) -> CausalWanTransformer:
        config, state = self.config, read_state_dict(self.weights)
        _, channels, *patch = state["patch_embedding.weight"].shape
        return load_transformer(
            self.weights,
            TransformerConfig(
                dim=config.dim,
                num_heads=config.num_heads,
                ffn_dim=config.ffn_dim,
                num_layers=config.num_layers,
                freq_dim=config.freq_dim,
                text_dim=config.text_dim,
                text_len=config.text_len,
                in_channels=channels,
                out_channels=state["head.head.weight"].shape[0] // math.prod(patch),
                patch_size=(patch[0], patch[1], patch[2]),
                eps=config.eps,
            ),
            dtype or self.dtype,
            self.device,
        )

    def _load_merged(self) -> CausalWanTransformer:
        transformer = self._load_transformer(torch.float32)
        adapter = read_state_dict(self.folder / "lora_weights.safetensors")
        merge_lora(transformer, adapter, self.config.lora_alpha / self.config.lora_rank)
        return transformer.to(self.dtype)

    def _sampler_config(self) -> SamplerConfig:
        return SamplerConfig(timestep_shift=self.config.timestep_shift, denoising_steps=self.config.denoising_step_list)

    def _forward(self, start: str, step: str) -> Pairs:
        goldens = self.file("single_forward")
        names = [f"{start}.{step}.flow", f"{start}.{step}.x0"]
        outputs = self._flow_and_x0(self.transformer(), goldens[f"timestep.{step}"], warm=start == "warm")
        return [(out, goldens[name]) for out, name in zip(outputs, names, strict=True) if name in goldens]

    def _lora_forward(self, form: str, start: str, step: str) -> Pairs:
        goldens, names = self.file("lora_outputs"), [f"{form}.{start}.{step}.{part}" for part in ("flow", "x0")]
        timesteps = self.file("single_forward")[f"timestep.{step}"]
        outputs = self._flow_and_x0(self.merged(), timesteps, warm=False)
        return [(out, goldens[name]) for out, name in zip(outputs, names, strict=True)]

    def _flow_and_x0(
        self, transformer: CausalWanTransformer, timesteps: Tensor, *, warm: bool
    ) -> tuple[Tensor, Tensor]:
        goldens, config = self.file("single_forward"), self.config
        latents = goldens["x"].to(self.device)
        text = transformer.encode_text(self._prompt(0))
        chunks = goldens["warm.context_latents"].to(self.device).split(config.nfb, dim=1) if warm else ()
        memory = KVCache(
            layers=config.num_layers,
            batch=latents.shape[0],
            frames=config.local_attn_size if config.local_attn_size > 0 else (len(chunks) + 1) * config.nfb,
            sink=config.sink_size,
            heads=config.num_heads,
            rotary=transformer.rotary(*latents.shape[-2:]),
            positions="absolute",
            dtype=self.dtype,
        )
        for chunk in chunks:
            memory.begin(range(memory.end, memory.end + chunk.shape[1]))
            transformer(chunk, torch.zeros(chunk.shape[:2], device=self.device), text, memory)
        memory.begin(range(memory.end, memory.end + latents.shape[1]))
        flow = transformer(latents, timesteps.to(self.device), text, memory)
        sampler = FewStepSampler(self._sampler_config())
        sigma = torch.tensor([[sampler.sigma(t) for t in row] for row in timesteps.tolist()], dtype=torch.float64)
        return flow, to_x0(flow, latents, sigma[..., None, None, None].to(self.device))

    def _prompt(self, index: int) -> Tensor:
        return self.file("inputs")[f"prompt_embeds.{index}"].to(self.device)

    def _noise(self, seed: int, chunk: int, step: int, shape: tuple[int, ...]) -> Tensor:
        inputs, size = self.file("inputs"), self.config.nfb
        if (chunk + 1) * size > inputs["noise"].shape[1]:
            return torch.zeros(shape)  # drawn ahead for a chunk that is not in the goldens
        if step == 0:
            return inputs["noise"][:, chunk * size : (chunk + 1) * size]
        return inputs["renoise"][chunk, step - 1].expand(shape)

    def _record(self, case: str, merged: bool = False) -> Recording:
        config, scenario = self.config, SCENARIOS[case]
        _, frames, *latent_shape = self.file("inputs")["noise"].shape
        channels, height, width = latent_shape
        settings = {
            "chunk_frames": config.nfb,
            "window_frames": config.local_attn_size,
            "sink_frames": config.sink_size,
            "context_noise": config.context_noise,
            **scenario.changes,
        }
        rollout = Rollout(
            self.merged() if merged else self.transformer(),
            RolloutConfig.model_validate(settings),
            self._sampler_config(),
            (channels, height, width),
            self._prompt(0),
            seed=0,
            noise=self._noise,
            max_frames=frames,
        )
        pending = self._switches(scenario)
        chunks, switches = [], []
        while rollout.frames < frames:
            while scenario.mode and pending and rollout.frames >= pending[0][0]:
                _, prompt = pending.pop(0)
                before = _ordered(rollout.cache)
                _switch(rollout, self._prompt(prompt), scenario.mode)
                switches.append((rollout.frames, before, _ordered(rollout.cache)))
            chunks.append(rollout.next_chunk())
        memory = rollout.cache
        return Recording(torch.cat(chunks, dim=1), _ordered(memory), (memory.end, memory.fill), switches)

    def _switches(self, scenario: Scenario) -> list[tuple[int, int]]:
        """Frame and prompt number of each switch."""
        if scenario.switch == "switches":
            return [(frame, prompt) for prompt, frame in enumerate(self.config.switches, start=1)]
        frame = getattr(self.config, scenario.switch)
        if frame is None:
            raise ValueError(f"config.json has no {scenario.switch}")
        return [(frame, 1)]

    def _rollout(self, case: str) -> Pairs:
        return [(self.record(case).latents, self.file("rollouts")[f"{case}.latents"])]

    def _lora_rollout(self, case: str) -> Pairs:
        return [(self.record(case, merged=True).latents, self.file("lora_outputs")[f"merged.{case}.latents"])]

    def _lora_weights(self) -> Pairs:
        prefix, weights = "merged.weight.", self.merged().state_dict()
        goldens = self.file("lora_outputs")
        return [(weights[name.removeprefix(prefix)], golden) for name, golden in goldens.items() if prefix in name]

    def _final_cache(self, case: str) -> Pairs:
        recording, goldens = self.record(case), self.file("rollouts")
        tokens = self._tokens()
        indices = torch.tensor([count * tokens for count in recording.indices])
        if indices.tolist() != goldens[f"{case}.final_cache.indices"].tolist():
            raise ValueError(f"the cache ends at {indices.tolist()} tokens")
        return _layer_pairs(goldens, f"{case}.final_cache", recording.final)

    def _switch(self, case: str, switch: str) -> Pairs:
        goldens, prefix = self.file("recache_state"), f"{case}.{switch}"
        frame, before, after = self.record(case).switches[int(switch.removeprefix("switch"))]
        expected = goldens.get(f"{prefix}.effective_frame")
        if expected is not None and int(expected) != frame:
            raise ValueError(f"the switch took effect at frame {frame}, expected {int(expected)}")
        return [
            *_layer_pairs(goldens, f"{prefix}.before", before),
            *_layer_pairs(goldens, f"{prefix}.after", after),
        ]

    def _tokens(self) -> int:
        """Tokens of a latent frame."""
        _, rows, columns = self.transformer().config.patch_size
        height, width = self.file("inputs")["noise"].shape[-2:]
        return (height // rows) * (width // columns)

    def _sampler_tables(self) -> Pairs:
        inputs, sampler = self.file("inputs"), FewStepSampler(self._sampler_config())
        return [
            (sampler.table, inputs["scheduler.sigmas"]),
            (sampler.table * 1000, inputs["scheduler.timesteps"]),
            (torch.tensor(sampler.timesteps[:-1]), inputs["denoising_timesteps"]),
        ]

    def _rope_tables(self) -> Pairs:
        tables = self.file("tables")
        expected = tables["rope.freqs_real_first64"], tables["rope.freqs_imag_first64"]
        count, pairs = expected[0].shape
        axis = pairs // 3
        # Row and column number of a token both run along the diagonal of a square grid.
        table = RotaryTable(2 * pairs, count, count).at(torch.arange(count))
        diagonal = torch.arange(count) * (count + 1)
        return [
            (torch.cat((part[:, 0, 0, : pairs - 2 * axis], part[0, diagonal, 0, pairs - 2 * axis :]), dim=-1), golden)
            for part, golden in zip(table, expected, strict=True)
        ]

    def _layouts(self) -> Pairs:
        plain, prefixed = (read_state_dict(self.folder / name) for name in WEIGHTS)
        if plain.keys() != prefixed.keys():
            raise ValueError(f"the two layouts differ in {sorted(plain.keys() ^ prefixed.keys())[:4]}")
        return [(prefixed[name], tensor) for name, tensor in plain.items()]


def _switch(rollout: Rollout, prompt: Tensor, mode: str) -> None:
    if mode == "zerofill":  # a reading of the reference's reset; no mode of ours
        rollout.switch(prompt, "keep")
        for tensor in (*rollout.cache.keys, *rollout.cache.values):
            tensor.zero_()
    else:
        rollout.switch(prompt, mode)  # type: ignore[arg-type]


def _ordered(memory: KVCache) -> Layers:
    return [memory.ordered(layer) for layer in range(len(memory.keys))]


def _layer_pairs(goldens: dict[str, Tensor], prefix: str, layers: Layers) -> Pairs:
    """Recorded caches are [batch, slots * tokens, heads, head_dim]."""
    pairs: Pairs = []
    for name, golden in goldens.items():
        if match := re.fullmatch(re.escape(prefix) + r"\.([kv])\.(\d+)", name):
            tensor = layers[int(match[2])]["kv".index(match[1])].flatten(1, 2)
            pairs.append((tensor, golden))
    return pairs
