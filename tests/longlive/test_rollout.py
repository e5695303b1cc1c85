from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from longlive.config import RolloutConfig, SamplerConfig
from longlive.noise import chunk_noise
from longlive.policy import ChunkPolicy, ForwardPass
from longlive.rollout import Rollout
from longlive.sampler import FewStepSampler
from longlive.switch import SwitchName
from longlive.transformer import CausalWanTransformer
from tests.longlive.moving_window import LiteralMemory
from tests.longlive.small import LATENT, prompt, small_rollout, small_transformer

SAMPLER = SamplerConfig(denoising_steps=(1000, 500))
HOST_SYNCS = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal.default", "masked_select", "unique")


@pytest.fixture(scope="module")
def transformer() -> CausalWanTransformer:
    return small_transformer()


class DeviceOnly(TorchDispatchMode):
    """Refuses what makes a host wait for its device, and every new tensor of at least `limit` bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit
        self.calls = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = str(func)
        if any(word in name for word in HOST_SYNCS):
            raise AssertionError(f"{name} makes the host wait")
        known = {t.untyped_storage().data_ptr() for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            storage = tensor.untyped_storage() if isinstance(tensor, Tensor) else None
            if storage is not None and storage.data_ptr() not in known and storage.nbytes() >= self.limit:
                raise AssertionError(f"{name} allocates {storage.nbytes()} bytes for {tuple(tensor.shape)}")
        self.calls += 1
        return out


def chunks(rollout: Rollout, count: int) -> list[Tensor]:
    return [rollout.next_chunk() for _ in range(count)]


@pytest.mark.parametrize("positions", ["absolute", "relative"])
def test_a_steady_chunk_and_a_recache_neither_wait_for_the_device_nor_allocate_a_cache(
    transformer: CausalWanTransformer, positions: str
) -> None:
    rollout = small_rollout(transformer, positions=positions, window_frames=24)
    chunks(rollout, 14)
    rollout.switch(prompt(1))
    chunks(rollout, 1)
    layer = rollout.cache.keys[0]
    with DeviceOnly(limit=layer.nbytes) as mode:
        chunks(rollout, 2)
        assert mode.calls > 50
    # A recache makes hidden states of a whole window; what is forbidden is a second cache beside the first.
    with DeviceOnly(limit=2 * layer.nbytes) as mode:
        rollout.switch(prompt(2))
        assert mode.calls > 50


def test_the_guard_of_a_step_sees_syncs_and_allocations() -> None:
    with DeviceOnly(limit=1000), pytest.raises(AssertionError, match="makes the host wait"):
        torch.ones(3).sum().item()
    with DeviceOnly(limit=1000), pytest.raises(AssertionError, match="allocates 4000 bytes"):
        torch.ones(3).expand(1000, 3)[:, 0].clone()


@pytest.mark.parametrize("mode", ["recache", "keep", "clear"])
@pytest.mark.parametrize("positions", ["absolute", "relative"])
def test_alternating_rollouts_give_what_each_gives_alone(
    transformer: CausalWanTransformer, mode: SwitchName, positions: str
) -> None:
    def steps(seed: int) -> Iterator[Tensor]:
        rollout = small_rollout(transformer, seed, positions=positions)
        for number in range(7):
            if number == 4 + seed:
                rollout.switch(prompt(10 + seed), mode)
            yield rollout.next_chunk()

    alone = [list(steps(seed)) for seed in (0, 1)]
    together = list(zip(steps(0), steps(1), strict=True))
    for number, pair in enumerate(together):
        for seed in (0, 1):
            assert torch.equal(pair[seed], alone[seed][number])
    assert not torch.equal(alone[0][0], alone[1][0])


def test_memory_stays_the_same_however_long_the_video(transformer: CausalWanTransformer) -> None:
    def tensors(value: object, seen: set[int]) -> int:
        if id(value) in seen or isinstance(value, CausalWanTransformer):
            return 0
        seen.add(id(value))
        if isinstance(value, Tensor):
            return value.untyped_storage().nbytes()
        if isinstance(value, dict):
            return sum(tensors(item, seen) for item in value.values())
        if isinstance(value, list | tuple):
            return sum(tensors(item, seen) for item in value)
        return tensors(vars(value), seen) if hasattr(value, "__dict__") else 0

    rollout = small_rollout(transformer, positions="relative")
    chunks(rollout, 6)
    early = tensors(rollout, set())
    chunks(rollout, 30)
    assert tensors(rollout, set()) == early > 0


@pytest.mark.parametrize("mode", ["recache", "keep", "clear"])
def test_a_switch_changes_the_next_chunk_and_nothing_before(
    transformer: CausalWanTransformer, mode: SwitchName
) -> None:
    plain, switched = small_rollout(transformer), small_rollout(transformer)
    for before, same in zip(chunks(plain, 4), chunks(switched, 4), strict=True):
        assert torch.equal(before, same)
    switched.switch(prompt(9), mode)
    assert (plain.next_chunk() - switched.next_chunk()).abs().max() > 1e-3


def test_the_modes_of_a_switch_differ(transformer: CausalWanTransformer) -> None:
    nexts = []
    for mode in ("recache", "keep", "clear"):
        rollout = small_rollout(transformer)
        chunks(rollout, 4)
        rollout.switch(prompt(9), mode)
        nexts.append(rollout.next_chunk())
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert (nexts[i] - nexts[j]).abs().max() > 1e-3


def test_a_switch_to_the_same_prompt_by_recache_is_legal_at_any_chunk(transformer: CausalWanTransformer) -> None:
    for at in range(6):
        rollout = small_rollout(transformer)
        chunks(rollout, at)
        rollout.switch(prompt(0))
        assert rollout.next_chunk().isfinite().all()
        assert (rollout.chunk, rollout.frames) == (at + 1, 2 * at + 2)


def test_before_the_first_chunk_a_switch_replaces_the_prompt(transformer: CausalWanTransformer) -> None:
    rollout = small_rollout(transformer, seed=0)
    rollout.switch(prompt(1))
    other = small_rollout(transformer, seed=1)
    other.seed = 0
    assert torch.equal(rollout.next_chunk(), other.next_chunk())


def test_an_unlimited_window_needs_a_length(transformer: CausalWanTransformer) -> None:
    with pytest.raises(ValueError, match="max_frames"):
        small_rollout(transformer, window_frames=-1)


def test_a_video_past_the_length_of_an_unlimited_window_is_refused(transformer: CausalWanTransformer) -> None:
    config = RolloutConfig(chunk_frames=2, window_frames=-1, sink_frames=0)
    rollout = Rollout(transformer, config, SAMPLER, LATENT, prompt(0), 0, max_frames=5)
    chunks(rollout, 2)
    with pytest.raises(ValueError, match="past max_frames, 5"):
        rollout.next_chunk()


def test_the_chunk_policy_denoises_in_order_and_then_stores_the_clean_chunk() -> None:
    passes = ChunkPolicy(chunk_frames=3, steps=4).passes(2)
    assert [step.steps for step in passes] == [(index,) * 3 for index in range(5)]
    assert all(step.frames == range(6, 9) and step.store for step in passes)


def literal_video(like: Rollout, count: int, switches: Mapping[int, int], mode: SwitchName) -> Tensor:
    """Sections 3 to 5 of the reference sheet, step by step, with the configuration, seed and model of a roll-out."""
    transformer, config = like.transformer, like.config
    memory = LiteralMemory(transformer, config.window_frames, config.sink_frames, config.positions, *LATENT[1:])
    size, sampler = config.chunk_frames, FewStepSampler(SAMPLER)
    text, video = transformer.encode_text(prompt(like.seed)), torch.empty(1, 0, *LATENT)

    def forward(latents: Tensor, start: int, timestep: float) -> Tensor:
        memory.start = start
        return transformer(latents, torch.full(latents.shape[:2], timestep), text, memory)

    for chunk in range(count):
        start = chunk * size
        if chunk in switches:
            text = transformer.encode_text(prompt(switches[chunk]))
            held = memory.layers[0].local_end
            if mode == "clear":
                for layer in memory.layers:
                    layer.clear()
            elif mode == "recache" and held:
                memory.rewrite_sink = config.sink_policy == "reset"
                forward(video[:, -held:], start - held, 0.0)
                memory.rewrite_sink = False
        latents = chunk_noise(like.seed, chunk, 0, (1, size, *LATENT))
        for step, timestep in enumerate(sampler.timesteps[:-1]):
            clean = latents - timestep / 1000 * forward(latents, start, timestep)
            if step + 1 < sampler.steps:
                level = sampler.timesteps[step + 1] / 1000
                latents = (1 - level) * clean + level * chunk_noise(like.seed, chunk, step + 1, tuple(clean.shape))
        forward(clean, start, 0.0)
        video = torch.cat((video, clean), dim=1)
    return video


@pytest.mark.parametrize("positions", ["absolute", "relative"])
@pytest.mark.parametrize("mode", ["recache", "keep", "clear"])
@pytest.mark.parametrize(
    ("window", "sink", "size", "sink_policy"),
    [
        (6, 2, 2, "keep"),
        (6, 2, 2, "reset"),
        (7, 3, 2, "keep"),
        (9, 3, 3, "keep"),
        (6, 0, 2, "keep"),
        (8, 4, 3, "keep"),
        (5, 1, 2, "reset"),
    ],
)
def test_windows_sinks_and_repeated_switches_follow_the_reference_read_literally(
    transformer: CausalWanTransformer,
    positions: str,
    mode: SwitchName,
    window: int,
    sink: int,
    size: int,
    sink_policy: str,
) -> None:
    rollout = small_rollout(
        transformer,
        positions=positions,
        chunk_frames=size,
        window_frames=window,
        sink_frames=sink,
        sink_policy=sink_policy,
    )
    switches = {1: 5, 4: 6, 6: 7}
    expected = literal_video(rollout, 9, switches, mode)
    made = []
    for chunk in range(9):
        if chunk in switches:
            rollout.switch(prompt(switches[chunk]), mode)
        made.append(rollout.next_chunk())
    torch.testing.assert_close(torch.cat(made, dim=1), expected, atol=1e-4, rtol=1e-4)


class WindowPolicy:
    """Chunks at different noise levels in one pass, as Rolling Forcing does it: a test that the seam is wide enough."""

    steps, size = 2, 2

    def passes(self, chunk: int) -> Sequence[ForwardPass]:
        frames = range(self.size * chunk, self.size * (chunk + 2))
        window = ForwardPass(frames, (1, 1, 0, 0), store=False, past=2)
        clean = ForwardPass(frames[: self.size], (self.steps,) * self.size)
        start = ForwardPass(frames[: self.size], (0,) * self.size, store=False)
        return [start, window, clean] if chunk == 0 else [window, clean]


def test_another_policy_needs_neither_another_transformer_nor_another_cache(
    transformer: CausalWanTransformer,
) -> None:
    template = small_rollout(transformer, positions="relative")
    rollout = Rollout(
        transformer,
        template.config,
        SAMPLER,
        LATENT,
        prompt(0),
        0,
        policy=WindowPolicy(),
    )
    made = torch.cat(chunks(rollout, 8), dim=1)
    assert made.shape == (1, 16, *LATENT)
    assert made.isfinite().all()
    assert rollout.cache.end == 16


def test_a_window_too_small_for_its_sink_and_a_chunk_is_refused() -> None:
    with pytest.raises(ValueError, match="must be -1 or hold"):
        RolloutConfig(window_frames=5, sink_frames=3, chunk_frames=3)
