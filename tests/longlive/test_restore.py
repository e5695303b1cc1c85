"""Roll-outs that go on from their state, and roll-outs that run out of positions."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from longlive.config import RolloutConfig, SamplerConfig, TransformerConfig
from longlive.errors import InputError
from longlive.noise import chunk_noise
from longlive.rollout import Rollout
from longlive.rollout_state import RolloutState
from longlive.switch import Recache, SwitchName
from longlive.transformer import CausalWanTransformer
from tests.longlive.small import CONFIG, LATENT, prompt, small_rollout, small_transformer

DEEP = TransformerConfig(
    **{**{name: getattr(CONFIG, name) for name in CONFIG.__dataclass_fields__}, "num_layers": 5}  # type: ignore[arg-type]
)


@pytest.fixture(scope="module")
def transformer() -> CausalWanTransformer:
    return small_transformer()


def after(rollout: Rollout, count: int) -> Tensor:
    made = [rollout.next_chunk() for _ in range(count)]
    return torch.cat(made, dim=1) if made else torch.empty(0)


def close(made: Tensor, expected: Tensor) -> None:
    """Equal up to rounding: keys lie in another order in a ring that was filled anew."""
    torch.testing.assert_close(made, expected, atol=1e-4, rtol=1e-4)


def restored(transformer: CausalWanTransformer, state: RolloutState, **changes: object) -> Rollout:
    rollout = small_rollout(transformer, **changes)
    rollout.restore(state)
    return rollout


@pytest.mark.parametrize("positions", ["absolute", "relative"])
@pytest.mark.parametrize("mode", [None, "recache", "keep", "clear", "blend"])
@pytest.mark.parametrize("later", [0, 1, 2, 5])
def test_a_late_switch_and_a_restore_give_what_an_uninterrupted_rollout_gives(
    transformer: CausalWanTransformer, positions: str, mode: SwitchName | None, later: int
) -> None:
    """Two layers look back two windows, of which a state holds enough for all that is left of them to matter little."""
    rollout = small_rollout(transformer, positions=positions)
    after(rollout, 4)
    if mode:
        rollout.switch(prompt(5), mode)
    after(rollout, later)
    other = restored(transformer, rollout.state(), positions=positions)
    assert (other.chunk, other.frames) == (rollout.chunk, rollout.frames)
    close(after(other, 3), after(rollout, 3))


def test_a_restore_right_after_a_recache_is_exact_however_deep_the_model() -> None:
    deep = small_transformer(DEEP)
    rollout = small_rollout(deep)
    after(rollout, 6)
    approximate = restored(deep, rollout.state())
    rollout.switch(prompt(5))
    exact = restored(deep, rollout.state())
    approximate.switch(prompt(5))
    expected = after(rollout, 3)
    close(after(exact, 3), expected)
    torch.testing.assert_close(after(approximate, 3), expected, atol=1e-2, rtol=1e-2)


def test_a_sink_that_an_early_recache_wrote_says_that_it_is_approximate(transformer: CausalWanTransformer) -> None:
    rollout = small_rollout(transformer)
    after(rollout, 2)
    rollout.switch(prompt(5))
    state = rollout.state()
    assert state.sink is not None
    assert state.sink.exact
    close(after(restored(transformer, state), 1), after(rollout, 1))
    after(rollout, 1)
    state = rollout.state()
    assert state.sink is not None
    assert not state.sink.exact
    # Close all the same: the sink's own frames are the greater part of what its keys came from.
    approximate, uninterrupted = after(restored(transformer, state), 2), after(rollout, 2)
    error = (approximate - uninterrupted).norm() / uninterrupted.norm()
    assert 1e-5 < error < 0.1


@pytest.mark.parametrize(("sink", "size"), [(2, 2), (3, 3), (0, 2), (1, 1), (4, 2), (3, 2), (1, 2)])
@pytest.mark.parametrize("sink_policy", ["keep", "reset"])
def test_every_geometry_can_be_restored_at_every_chunk(
    transformer: CausalWanTransformer, sink: int, size: int, sink_policy: str
) -> None:
    changes = {
        "chunk_frames": size,
        "sink_frames": sink,
        "window_frames": sink + 2 * size + 1,
        "sink_policy": sink_policy,
    }
    rollout = small_rollout(transformer, **changes)
    for chunk in range(9):
        if chunk in (2, 6):
            rollout.switch(prompt(chunk))
        state = rollout.state()
        other = restored(transformer, state, **changes)
        assert (other.cache.fill, other.cache.end) == (rollout.cache.fill, rollout.cache.end)
        expected = rollout.next_chunk()
        exact = state.sink is None or state.sink.exact
        tolerance = 1e-2 if exact else 0.3
        assert (other.next_chunk() - expected).norm() <= tolerance * expected.norm(), chunk
        # What is written down of a restored roll-out is what was written down of the first.
        first, second = rollout.state(), other.state()
        assert [made.frames for made in first.passes] == [made.frames for made in second.passes]


@pytest.mark.parametrize(("sink", "size"), [(2, 2), (4, 2), (3, 1), (3, 2), (2, 3)])
def test_a_sink_says_that_it_is_exact_where_it_is_and_only_there(
    transformer: CausalWanTransformer, sink: int, size: int
) -> None:
    changes = {"chunk_frames": size, "sink_frames": sink, "window_frames": sink + 2 * size}
    rollout = small_rollout(transformer, **changes)
    for _ in range(7):
        rollout.next_chunk()
        state = rollout.state()
        assert state.sink is not None
        slots = state.sink.latents.shape[1]
        (keys, _), (again, _) = rollout.cache.ordered(1), restored(transformer, state, **changes).cache.ordered(1)
        assert state.sink.exact or sink != size
        assert torch.allclose(keys[:, :slots], again[:, :slots], atol=1e-4) == state.sink.exact


def test_two_restores_of_one_state_are_equal_bit_by_bit(transformer: CausalWanTransformer) -> None:
    rollout = small_rollout(transformer)
    after(rollout, 5)
    state = rollout.state()
    one, two = restored(transformer, state), restored(transformer, state)
    after(rollout, 2)
    assert torch.equal(after(one, 4), after(two, 4))


def test_a_state_goes_on_with_the_noise_of_the_rollout_that_takes_it(transformer: CausalWanTransformer) -> None:
    rollout = small_rollout(transformer)
    after(rollout, 5)
    same, forked = small_rollout(transformer), small_rollout(transformer)
    forked.seed = 77
    same.restore(rollout.state())
    forked.restore(rollout.state())
    expected = rollout.next_chunk()
    close(same.next_chunk(), expected)
    assert (forked.next_chunk() - expected).abs().max() > 1e-2


def test_the_state_of_another_policy_is_refused(transformer: CausalWanTransformer) -> None:
    rollout = small_rollout(transformer)
    with pytest.raises(ValueError, match="a roll-out of WindowPolicy"):
        rollout.restore(replace(rollout.state(), policy="WindowPolicy"))


def test_where_absolute_positions_end_a_rollout_says_so_and_what_to_do(transformer: CausalWanTransformer) -> None:
    rollout = small_rollout(transformer, max_positions=10)
    after(rollout, 5)
    for _ in range(2):
        with pytest.raises(InputError, match=r"frame 10 would be past the 10 positions .* relative .* 'rebase'"):
            rollout.next_chunk()
    assert rollout.frames == 10
    small_rollout(transformer, max_positions=10, positions="relative")
    after(small_rollout(transformer, max_positions=10, positions="relative"), 6)


def test_counting_anew_never_passes_the_limit_and_goes_on_for_ever(transformer: CausalWanTransformer) -> None:
    rollout = small_rollout(transformer, max_positions=10, at_limit="rebase")
    offsets = set()
    for number in range(40):
        if number == 20:
            rollout.switch(prompt(3), "clear")
        latents = rollout.next_chunk()
        assert latents.isfinite().all()
        assert rollout.frames - rollout.cache.offset <= 10
        offsets.add(rollout.cache.offset)
    assert len(offsets) > 5


def test_without_a_sink_counting_anew_changes_nothing_since_only_distances_count(
    transformer: CausalWanTransformer,
) -> None:
    endless = small_rollout(transformer, sink_frames=0)
    limited = small_rollout(transformer, sink_frames=0, max_positions=12, at_limit="rebase")
    for rollout in (endless, limited):
        after(rollout, 6)
        rollout.switch(prompt(4))  # so that what the window holds follows from its own latents alone
    assert limited.cache.offset == 0
    close(after(limited, 1), after(endless, 1))
    assert limited.cache.offset > 0


def test_after_counting_anew_a_video_is_as_far_from_its_sink_as_when_its_window_was_first_left(
    transformer: CausalWanTransformer,
) -> None:
    def same_noise(seed: int, chunk: int, step: int, shape: tuple[int, ...]) -> Tensor:
        return chunk_noise(seed, 0, step, shape)

    def rollout(**changes: object) -> Rollout:
        like = small_rollout(transformer, **changes)
        sampler = SamplerConfig(denoising_steps=(1000, 500))
        return Rollout(transformer, like.config, sampler, LATENT, prompt(0), 0, noise=same_noise)

    young = rollout()
    after(young, 4)  # 8 frames: the sink, and the 6 that the state holds
    state = young.state()
    assert state.sink is not None
    late = 10
    passes = [
        made
        if made.frames.stop <= 2
        else replace(made, frames=range(made.frames.start + late, made.frames.stop + late))
        for made in state.passes
    ]
    far = rollout(max_positions=11, at_limit="rebase")
    far.restore(replace(state, chunk=state.chunk + late // 2, passes=tuple(passes)))
    close(after(far, 1), after(young, 1))
    assert far.cache.offset == late


def test_a_restored_rollout_counts_positions_as_the_one_it_was_taken_of(transformer: CausalWanTransformer) -> None:
    changes = {"max_positions": 12, "at_limit": "rebase"}
    rollout = small_rollout(transformer, **changes)
    after(rollout, 8)
    assert rollout.cache.offset > 0
    other = restored(transformer, rollout.state(), **changes)
    close(after(other, 6), after(rollout, 6))
    assert other.cache.offset == rollout.cache.offset


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"at_limit": "rebase", "max_positions": 17}, "must hold the sink, the window and a chunk, 18 frames"),
        ({"at_limit": "rebase", "window_frames": -1}, "needs a limited window"),
        ({"max_positions": 0}, "max_positions must be above 0"),
    ],
)
def test_limits_that_cannot_work_are_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        RolloutConfig(**changes)  # type: ignore[arg-type]


def test_a_reset_sink_survives_a_restore(transformer: CausalWanTransformer) -> None:
    rollout = small_rollout(transformer)
    after(rollout, 6)
    rollout.switch(prompt(5), Recache(sink="reset"))
    state = rollout.state()
    assert state.sink is not None
    assert state.sink.frames == range(6, 8)
    close(after(restored(transformer, state), 2), after(rollout, 2))


def test_a_rollout_that_restores_itself_is_as_one_that_is_new(transformer: CausalWanTransformer) -> None:
    used = small_rollout(transformer)
    after(used, 5)
    state = used.state()
    after(used, 2)
    used.restore(state)
    assert torch.equal(after(used, 3), after(restored(transformer, state), 3))


class Faulty:
    """A transformer that fails at one of its forwards, as a device does that is out of memory."""

    def __init__(self, transformer: CausalWanTransformer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = -1
        forward = transformer.forward

        def fails(*args: object) -> Tensor:
            self.left -= 1
            if self.left == -1:
                raise MemoryError("out of memory")
            return forward(*args)  # type: ignore[arg-type]

        monkeypatch.setattr(transformer, "forward", fails)

    def fail_at(self, forward: int) -> None:
        self.left = forward


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("where", ["chunk", "switch", "restore"])
def test_after_a_failure_in_the_middle_a_rollout_only_takes_a_state(
    transformer: CausalWanTransformer, monkeypatch: pytest.MonkeyPatch, at: int, where: str
) -> None:
    rollout = small_rollout(transformer)
    after(rollout, 4)
    state = rollout.state()
    expected = after(restored(transformer, state), 2)
    faulty = Faulty(transformer, monkeypatch)
    faulty.fail_at(0 if where == "switch" else at)
    fails = {
        "chunk": rollout.next_chunk,
        "switch": lambda: rollout.switch(prompt(5)),
        "restore": lambda: rollout.restore(state),
    }
    with pytest.raises(MemoryError):
        fails[where]()
    for use in (rollout.next_chunk, rollout.state, lambda: rollout.switch(prompt(5))):
        with pytest.raises(RuntimeError, match="restore it from an earlier state"):
            use()
    rollout.restore(state)
    assert torch.equal(after(rollout, 2), expected)


@pytest.mark.parametrize("shape", [(1, 3, 7), (1, 9, 10), (2, 3, 10), (3, 10)])
def test_a_prompt_that_is_none_changes_nothing(transformer: CausalWanTransformer, shape: tuple[int, ...]) -> None:
    rollout, untouched = small_rollout(transformer), small_rollout(transformer)
    for each in (rollout, untouched):
        after(each, 3)
        each.switch(prompt(5), "blend")
    with pytest.raises(InputError, match="are no prompt of this model"):
        rollout.switch(torch.randn(shape), "keep")
    with pytest.raises(InputError, match="there is no switch mode 'fade'; take one of recache, keep, clear, blend"):
        rollout.switch(prompt(6), "fade")  # type: ignore[arg-type]
    assert torch.equal(after(rollout, 5), after(untouched, 5))


def test_what_a_caller_does_with_a_chunk_does_not_reach_the_state(transformer: CausalWanTransformer) -> None:
    rollout = small_rollout(transformer)
    with torch.inference_mode():
        for _ in range(2):
            rollout.next_chunk().zero_()
    state = rollout.state()
    assert state.sink is not None
    assert state.sink.latents.abs().min() > 0
    assert state.latents.abs().min() > 0


def test_a_restore_reads_each_prompt_once_for_its_passes(
    transformer: CausalWanTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollout = small_rollout(transformer)
    after(rollout, 5)
    rollout.switch(prompt(5), "keep")
    after(rollout, 2)
    other, read = small_rollout(transformer), []
    encode_text = transformer.encode_text
    monkeypatch.setattr(transformer, "encode_text", lambda embeds: read.append(embeds) or encode_text(embeds))
    state = rollout.state()
    assert len(state.passes) > 3
    other.restore(state)
    other.next_chunk()
    assert len(read) == 2  # those of the passes; one of them is the one to go on with
