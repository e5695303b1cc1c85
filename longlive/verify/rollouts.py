"""Cases of whole roll-outs: their latents, their caches at the end, and their caches around a prompt switch."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, Literal

import torch
from torch import Tensor

from longlive.config import RolloutConfig
from longlive.rollout import Rollout
from longlive.verify.case import Case, Compare, Pairs
from longlive.verify.folder import CONFIG, GoldenError
from longlive.verify.forwards import adapted_forward
from longlive.verify.subject import Layers, Subject, ordered, tensor


@dataclass(frozen=True)
class Scenario:
    """How a roll-out case differs from plain generation."""

    mode: Literal["recache", "keep", "clear", "zerofill"] | None = None
    switch: Literal["switches", "early_switch", "unaligned_switch"] = "switches"
    changes: Mapping[str, Any] = field(default_factory=dict)  # of the roll-out configuration


RELATIVE = {"positions": "relative"}
SCENARIOS = {
    "A": Scenario(),
    "A_nosink": Scenario(changes={"sink_frames": 0}),
    "A_fullattn": Scenario(changes={"sink_frames": 0, "window_frames": -1}),
    "A_relrope": Scenario(changes=RELATIVE),
    "B_recache_globalsink": Scenario("recache"),
    "B_recache_resetsink": Scenario("recache", changes={"sink_policy": "reset"}),
    "B_recache_early": Scenario("recache", "early_switch"),
    "B_recache_unaligned": Scenario("recache", "unaligned_switch"),
    "B_relrope_globalsink": Scenario("recache", changes=RELATIVE),
    "C_keep": Scenario("keep"),
    "D_clear": Scenario("clear"),
    "D_zerofill": Scenario("zerofill"),
}

LATENTS = re.compile(r"(\w+)\.latents")
FINAL = re.compile(r"(\w+)\.final_cache\.(indices|[kv]\.\d+)")
SWITCH = re.compile(r"(\w+)\.(switch\d+)\.(effective_frame|(before|after)\.[kv]\.\d+)")
ADAPTED_FORWARD = re.compile(r"(merged|unmerged)\.(\w+)\.(\w+)\.(flow|x0)")
ADAPTED_LATENTS = re.compile(r"(merged|unmerged)\.(\w+)\.latents")
MERGED_WEIGHT = "merged.weight."


@dataclass
class Recording:
    """What a roll-out case made."""

    latents: Tensor
    final: Layers
    indices: tuple[int, int]  # frames seen, frames held
    switches: list[tuple[int, Layers, Layers]]  # frame, caches before and after


class RolloutCases:
    """The cases of rollouts, recache_state and lora_outputs. A roll-out that several of them need runs once."""

    def __init__(self, subject: Subject) -> None:
        self.subject, self.folder = subject, subject.folder
        self.record = cache(self._record)

    def rollouts(self) -> Iterator[Case]:
        """Of rollouts.safetensors."""
        names, caches = self.folder.tensors("rollouts"), set()
        for name in names:
            if match := LATENTS.fullmatch(name):
                yield Case(match[1], "rollouts", "rollout", self._known(match[1], self._latents))
            elif not (match := FINAL.fullmatch(name)):
                yield Case(name, "rollouts", "rollout", None)
            elif match[1] not in caches:
                caches.add(match[1])
                yield Case(f"{match[1]}.final_cache", "rollouts", "cache", self._known(match[1], self._final_cache))

    def switches(self) -> Iterator[Case]:
        """Of recache_state.safetensors."""
        found = set()
        for name in self.folder.tensors("recache_state"):
            if match := SWITCH.fullmatch(name):
                found.add((match[1], match[2]))
            else:
                yield Case(name, "recache_state", "cache", None)
        for case, switch in sorted(found):
            yield Case(f"{case}.{switch}", "recache_state", "cache", self._known(case, self._switch, switch))

    def adapted(self) -> Iterator[Case]:
        """Of lora_outputs.safetensors."""
        names = self.folder.tensors("lora_outputs")
        if any(name.startswith(MERGED_WEIGHT) for name in names):
            yield Case("lora.merged.weight", "lora", "forward", self._adapted_weights)
        forwards = set()
        for name in names:
            if name.startswith(MERGED_WEIGHT):
                continue
            if match := ADAPTED_FORWARD.fullmatch(name):
                forwards.add((match[1], match[2], match[3]))
            elif match := ADAPTED_LATENTS.fullmatch(name):
                compare = self._known(match[2], self._adapted_latents, match[1])
                yield Case(f"lora.{match[1]}.{match[2]}", "lora", "rollout", compare)
            else:
                yield Case(f"lora.{name}", "lora", "forward", None)
        for form, start, step in sorted(forwards):
            compare = adapted_forward(self.subject, form, start, step)
            yield Case(f"lora.{form}.{start}.{step}", "lora", "forward", compare)

    def _known(self, case: str, compare: Callable[..., Pairs], *arguments: str) -> Compare:
        return partial(compare, case, *arguments) if case in SCENARIOS else None

    def _latents(self, case: str) -> Pairs:
        return [(self.record(case).latents, self.folder.tensors("rollouts")[f"{case}.latents"])]

    def _adapted_latents(self, case: str, form: str) -> Pairs:
        recording = self.record(case, merged=True)
        return [(recording.latents, self.folder.tensors("lora_outputs")[f"{form}.{case}.latents"])]

    def _adapted_weights(self) -> Pairs:
        weights = self.subject.merged().state_dict()
        return [
            (tensor(weights, name.removeprefix(MERGED_WEIGHT)), golden)
            for name, golden in self.folder.tensors("lora_outputs").items()
            if name.startswith(MERGED_WEIGHT)
        ]

    def _final_cache(self, case: str) -> Pairs:
        recording, goldens = self.record(case), self.folder.tensors("rollouts")
        expected = goldens.get(f"{case}.final_cache.indices")
        indices = [count * self._tokens() for count in recording.indices]
        if expected is not None and indices != expected.tolist():
            raise ValueError(f"the cache ends at {indices} tokens, expected {expected.tolist()}")
        return _layer_pairs(goldens, f"{case}.final_cache", recording.final)

    def _switch(self, case: str, switch: str) -> Pairs:
        goldens, prefix = self.folder.tensors("recache_state"), f"{case}.{switch}"
        number, made = int(switch.removeprefix("switch")), self.record(case).switches
        if number >= len(made):
            raise ValueError(f"the roll-out has {len(made)} switches, none of number {number}")
        frame, before, after = made[number]
        expected = goldens.get(f"{prefix}.effective_frame")
        if expected is not None and int(expected) != frame:
            raise ValueError(f"the switch took effect at frame {frame}, expected {int(expected)}")
        return [
            *_layer_pairs(goldens, f"{prefix}.before", before),
            *_layer_pairs(goldens, f"{prefix}.after", after),
        ]

    def _tokens(self) -> int:
        """Tokens of a latent frame."""
        _, rows, columns = self.subject.transformer().config.patch_size
        height, width = self.subject.input("noise").shape[-2:]
        return (height // rows) * (width // columns)

    def _noise(self, seed: int, chunk: int, step: int, shape: tuple[int, ...]) -> Tensor:
        noise, size = self.subject.input("noise"), self.subject.config.nfb
        if (chunk + 1) * size > noise.shape[1]:
            return torch.zeros(shape)  # drawn ahead for a chunk that is not in the goldens
        if step == 0:
            return noise[:, chunk * size : (chunk + 1) * size]
        return self.subject.input("renoise")[chunk, step - 1].expand(shape)

    def _record(self, case: str, merged: bool = False) -> Recording:
        config, scenario = self.subject.config, SCENARIOS[case]
        _, frames, channels, height, width = self.subject.input("noise").shape
        settings = {
            "chunk_frames": config.nfb,
            "window_frames": config.local_attn_size,
            "sink_frames": config.sink_size,
            "context_noise": config.context_noise,
            **scenario.changes,
        }
        rollout = Rollout(
            self.subject.merged() if merged else self.subject.transformer(),
            RolloutConfig(**settings),
            self.subject.sampler(),
            (channels, height, width),
            self.subject.prompt(0),
            seed=0,
            noise=self._noise,
            max_frames=frames,
        )
        pending = self._pending(scenario)
        chunks, switches = [], []
        while rollout.frames < frames:
            # One switch a chunk, as in the reference: a second one of the same chunk comes with the next chunk.
            if scenario.mode and pending and rollout.frames >= pending[0][0]:
                _, prompt = pending.pop(0)
                before = ordered(rollout.cache)
                _switch(rollout, self.subject.prompt(prompt), scenario.mode)
                switches.append((rollout.frames, before, ordered(rollout.cache)))
            chunks.append(rollout.next_chunk())
        memory = rollout.cache
        return Recording(torch.cat(chunks, dim=1), ordered(memory), (memory.end, memory.fill), switches)

    def _pending(self, scenario: Scenario) -> list[tuple[int, int]]:
        """Frame and prompt number of each switch."""
        if scenario.switch == "switches":
            return [(frame, prompt) for prompt, frame in enumerate(self.subject.config.switches, start=1)]
        frame = getattr(self.subject.config, scenario.switch)
        if frame is None:
            raise GoldenError(f"{CONFIG} has no {scenario.switch}")
        return [(frame, 1)]


def _switch(rollout: Rollout, prompt: Tensor, mode: Literal["recache", "keep", "clear", "zerofill"]) -> None:
    if mode == "zerofill":  # a reading of the reference's reset; no mode of ours
        rollout.switch(prompt, "keep")
        for ring in (*rollout.cache.keys, *rollout.cache.values):
            ring.zero_()
    else:
        rollout.switch(prompt, mode)


def _layer_pairs(goldens: dict[str, Tensor], prefix: str, layers: Layers) -> Pairs:
    """Recorded caches are [batch, slots * tokens, heads, head_dim]."""
    pairs: Pairs = []
    for name, golden in goldens.items():
        if match := re.fullmatch(re.escape(prefix) + r"\.([kv])\.(\d+)", name):
            pairs.append((layers[int(match[2])]["kv".index(match[1])].flatten(1, 2), golden))
    return pairs
