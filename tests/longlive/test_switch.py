from __future__ import annotations

import pytest
import torch
from torch import Tensor

from longlive.rollout import Rollout
from longlive.switch import MODES, Blend, Clear, Keep, Recache, SwitchMode, SwitchName, blend
from longlive.transformer import CausalWanTransformer
from tests.longlive.small import prompt, small_rollout, small_transformer


@pytest.fixture(scope="module")
def transformer() -> CausalWanTransformer:
    return small_transformer()


def after(rollout: Rollout, count: int) -> Tensor:
    return torch.cat([rollout.next_chunk() for _ in range(count)], dim=1)


def begun(transformer: CausalWanTransformer, chunks: int = 4, **changes: object) -> Rollout:
    rollout = small_rollout(transformer, **changes)
    after(rollout, chunks)
    return rollout


def test_a_blend_over_one_chunk_is_a_recache(transformer: CausalWanTransformer) -> None:
    blended, recached = begun(transformer), begun(transformer)
    blended.switch(prompt(9), Blend(chunks=1))
    recached.switch(prompt(9), Recache())
    assert torch.equal(after(blended, 3), after(recached, 3))


def test_a_blend_recaches_each_chunk_under_the_next_step_between_the_prompts(
    transformer: CausalWanTransformer,
) -> None:
    blended, by_hand = begun(transformer), begun(transformer)
    blended.switch(prompt(9), Blend(chunks=4))
    for step in range(1, 7):
        if step <= 4:
            by_hand.switch(prompt(0).lerp(prompt(9), step / 4))
        torch.testing.assert_close(blended.next_chunk(), by_hand.next_chunk())


def test_a_switch_ends_a_blend_where_it_is(transformer: CausalWanTransformer) -> None:
    interrupted, by_hand = begun(transformer), begun(transformer)
    interrupted.switch(prompt(9), Blend(chunks=4))
    by_hand.switch(prompt(0).lerp(prompt(9), 0.25))
    torch.testing.assert_close(interrupted.next_chunk(), by_hand.next_chunk())
    interrupted.switch(prompt(5), Blend(chunks=2))
    for share in (0.5, 1.0):
        by_hand.switch(prompt(0).lerp(prompt(9), 0.25).lerp(prompt(5), share))
        torch.testing.assert_close(interrupted.next_chunk(), by_hand.next_chunk())
    torch.testing.assert_close(after(interrupted, 2), after(by_hand, 2))


def test_a_mode_s_sink_policy_goes_before_the_rollout_s(transformer: CausalWanTransformer) -> None:
    reset_here, reset_always = begun(transformer), begun(transformer, sink_policy="reset")
    kept = begun(transformer)
    reset_here.switch(prompt(9), Recache(sink="reset"))
    reset_always.switch(prompt(9))
    kept.switch(prompt(9))
    first = after(reset_here, 2)
    assert torch.equal(first, after(reset_always, 2))
    assert (first - after(kept, 2)).abs().max() > 1e-3


@pytest.mark.parametrize(("name", "mode"), [("recache", Recache()), ("keep", Keep()), ("clear", Clear())])
def test_a_mode_goes_by_its_name(transformer: CausalWanTransformer, name: str, mode: SwitchMode) -> None:
    assert MODES[name] == mode  # type: ignore[index]
    named, given = begun(transformer), begun(transformer)
    named.switch(prompt(9), name)  # type: ignore[arg-type]
    given.switch(prompt(9), mode)
    assert torch.equal(named.next_chunk(), given.next_chunk())


def test_every_mode_ends_at_the_new_prompt_alone() -> None:
    for mode in (*MODES.values(), Blend(chunks=7)):
        assert mode.steps()[-1].share == 1


def test_prompts_of_different_lengths_are_mixed_as_if_absent_rows_were_zeros() -> None:
    short, long = prompt(0, rows=2), prompt(1, rows=5)
    mixed = blend(short, long, 0.25)
    assert mixed.shape == long.shape
    torch.testing.assert_close(mixed[:, :2], 0.75 * short + 0.25 * long[:, :2])
    torch.testing.assert_close(mixed[:, 2:], 0.25 * long[:, 2:])
    assert blend(short, long, 1) is long


def test_a_blend_over_no_chunk_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one chunk, not 0"):
        Blend(chunks=0)


@pytest.mark.parametrize("mode", [*MODES])
def test_a_video_that_has_not_begun_begins_with_the_new_prompt_in_every_mode(
    transformer: CausalWanTransformer, mode: SwitchName
) -> None:
    switched, begun_with_it = small_rollout(transformer, seed=0), small_rollout(transformer, seed=1)
    begun_with_it.seed = 0
    switched.switch(prompt(1), mode)
    assert torch.equal(after(switched, 3), after(begun_with_it, 3))
