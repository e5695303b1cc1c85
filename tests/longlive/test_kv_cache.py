from __future__ import annotations

import pytest
import torch
from torch import Tensor

from longlive.kv_cache import KVCache, Positions
from longlive.rope import RotaryTable, rotate
from tests.longlive.moving_window import MovingWindow, softmax_attention

HEADS, TOKENS, HEAD_DIM = 2, 2, 12
TABLE = RotaryTable(HEAD_DIM, 1, TOKENS)


def make_cache(
    frames: int, sink: int, positions: Positions, batch: int = 1, dtype: torch.dtype = torch.float32
) -> KVCache:
    return KVCache(
        layers=1,
        batch=batch,
        frames=frames,
        sink=sink,
        heads=HEADS,
        rotary=TABLE,
        positions=positions,
        dtype=dtype,
    )


def random_qkv(frames: int, batch: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v = torch.randn(3, batch, frames, TOKENS, HEADS, HEAD_DIM)
    return q, k, v


def assert_same(cache: KVCache, window: MovingWindow) -> None:
    keys, values = cache.ordered(0)
    torch.testing.assert_close(keys[:, : cache.fill], window.keys[:, : window.local_end])
    torch.testing.assert_close(values[:, : cache.fill], window.values[:, : window.local_end])
    assert (cache.end, cache.fill) == (window.global_end, window.local_end)


@pytest.mark.parametrize("positions", ["absolute", "relative"])
@pytest.mark.parametrize(
    ("window", "sink", "chunk"), [(9, 3, 3), (12, 3, 3), (9, 0, 3), (7, 1, 2), (10, 3, 3), (6, 4, 2), (5, 3, 2)]
)
@pytest.mark.parametrize("rewrite_sink", [False, True])
def test_window_sink_and_rewrites_follow_the_reference(
    window: int, sink: int, chunk: int, positions: Positions, rewrite_sink: bool
) -> None:
    torch.manual_seed(0)
    cache, literal = make_cache(window, sink, positions), MovingWindow(window, sink, positions, TABLE, HEADS)
    for number in range(9):
        frames = range(number * chunk, (number + 1) * chunk)
        for _ in range(3):
            q, k, v = random_qkv(chunk)
            cache.begin(frames)
            torch.testing.assert_close(cache.attend(0, q, k, v), literal.run(frames.start, q, k, v))
        assert_same(cache, literal)
        if number in (1, 4, 7):  # a recache: the reference computes the whole window, the cache what can change
            span = range(frames.stop - cache.fill, frames.stop)
            q, k, v = random_qkv(len(span))
            expected = literal.run(span.start, q, k, v, rewrite_sink=rewrite_sink)
            part = cache.rewritable(keep_sink=not rewrite_sink)
            cache.begin(part, keep_sink=not rewrite_sink)
            tail = slice(len(span) - len(part), None)
            torch.testing.assert_close(cache.attend(0, q[:, tail], k[:, tail], v[:, tail]), expected[:, tail])
            assert_same(cache, literal)


def test_after_a_clear_the_next_frames_become_the_sink_and_may_be_rewritten() -> None:
    cache = make_cache(6, 2, "absolute")
    for frames in (range(0, 2), range(2, 4)):
        cache.begin(frames)
        cache.attend(0, *random_qkv(2))
    cache.clear()
    assert (cache.fill, cache.end) == (0, 4)
    assert not cache.ordered(0)[1].any()
    for _ in range(2):
        q, k, v = random_qkv(2)
        cache.begin(range(4, 6))
        cache.attend(0, q, k, v)
        assert torch.equal(cache.ordered(0)[1][:, :2], v)
    assert cache.rewritable(keep_sink=True) == range(4, 6)
    for start in (6, 8, 10):
        cache.begin(range(start, start + 2))
        cache.attend(0, *random_qkv(2))
    assert torch.equal(cache.ordered(0)[1][:, :2], v)
    assert cache.rewritable(keep_sink=True) == range(8, 12)


@pytest.mark.parametrize("positions", ["absolute", "relative"])
@pytest.mark.parametrize(("past", "sink"), [(1, True), (3, True), (2, False), (None, True), (0, False)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_pass_may_attend_to_a_part_and_leave_nothing(
    positions: Positions, past: int | None, sink: bool, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    cache = make_cache(6, 2, positions, batch=2, dtype=dtype)
    stored: list[tuple[Tensor, Tensor]] = []
    for start in (0, 2, 4, 6):
        q, k, v = (part.to(dtype) for part in random_qkv(2, batch=2))
        cache.begin(range(start, start + 2))
        cache.attend(0, q, k, v)
        stored += [(k[:, i : i + 1], v[:, i : i + 1]) for i in range(2)]
    before = cache.ordered(0)
    q, k, v = (part.to(dtype) for part in random_qkv(3, batch=2))
    cache.begin(range(8, 11), store=False, past=past, sink=sink)
    out = cache.attend(0, q, k, v)

    kept = [0, 1, *range(4, 8)]  # frames 2 and 3 have left
    numbers = [*(kept[:2] if sink else []), *(kept[2:] if past is None else kept[2:][4 - min(past, 4) :])]
    keys = torch.cat([*(stored[number][0] for number in numbers), k], dim=1)
    values = torch.cat([*(stored[number][1] for number in numbers), v], dim=1)
    times = torch.arange(len(numbers) + 3) if positions == "relative" else torch.tensor([*numbers, 8, 9, 10])
    rotation, own = TABLE.at(times), TABLE.at(times[-3:])
    expected = softmax_attention(rotate(q, *own).float(), rotate(keys, *rotation).float(), values.float())
    torch.testing.assert_close(out.float(), expected, atol=1e-5 if dtype == torch.float32 else 0.05, rtol=0)
    assert all(torch.equal(a, b) for a, b in zip(before, cache.ordered(0), strict=True))
    assert (cache.end, cache.fill) == (8, 6)


def test_relative_positions_do_not_grow_with_the_video() -> None:
    torch.manual_seed(0)
    inputs = [random_qkv(2) for _ in range(4)]
    outputs: dict[Positions, list[Tensor]] = {"relative": [], "absolute": []}
    for positions in outputs:
        cache = make_cache(6, 2, positions)
        for number in range(64):
            cache.begin(range(2 * number, 2 * number + 2))
            outputs[positions].append(cache.attend(0, *inputs[number % 4]))
    torch.testing.assert_close(outputs["relative"][63], outputs["relative"][7])
    assert not torch.allclose(outputs["absolute"][63], outputs["absolute"][7], atol=1e-3)  # the sink is further away


@pytest.mark.parametrize("frames", [range(3, 5), range(0, 1), range(1, 9)])
def test_frames_that_neither_continue_nor_end_the_video_are_refused(frames: range) -> None:
    cache = make_cache(6, 2, "absolute")
    cache.begin(range(0, 2))
    with pytest.raises(ValueError, match="do not"):
        cache.begin(frames)
