"""A video may be as long as one likes: nothing of it piles up, and nothing counts towards an end."""

from __future__ import annotations

import gc

from torch import Tensor

from longlive.model import Model
from longlive.rope import RotaryTable
from longlive.stream import VideoStream
from tests.longlive.small import CONFIG, LATENT, small_rollout, small_transformer

CHUNKS = 200


def live_bytes() -> int:
    """Of all tensors that can still be reached."""
    tensors = [thing for thing in gc.get_objects() if issubclass(type(thing), Tensor)]
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


def test_a_stream_of_hundreds_of_chunks_holds_no_more_than_one_of_ten(untrained: Model) -> None:
    stream = VideoStream(untrained, untrained.encode(["a red ball"]), seed=0)
    frames = sum(len(stream.next_frames()) for _ in range(10))
    gc.collect()
    held = live_bytes()
    frames += sum(len(stream.next_frames()) for _ in range(CHUNKS - 10))
    gc.collect()
    assert live_bytes() == held
    assert frames == stream.frame == 9 + 12 * (CHUNKS - 1)


class WatchedTable(RotaryTable):
    """Remembers which time positions it was asked for."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__(CONFIG.head_dim, height // 2, width // 2)
        self.asked: set[int] = set()

    def at(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        self.asked.update(frames.tolist())
        return super().at(frames)


def positions(kind: str, chunks: int) -> list[int]:
    """The time positions that the last of some chunks is made with, in a window of 6 frames."""
    transformer, table = small_transformer(), WatchedTable(*LATENT[1:])
    transformer.rotary = lambda height, width: table  # type: ignore[method-assign]
    rollout = small_rollout(transformer, positions=kind)
    for _ in range(chunks):
        table.asked.clear()
        rollout.next_chunk()
    return sorted(table.asked)


def test_far_into_a_video_relative_positions_are_those_of_the_first_full_window() -> None:
    assert positions("relative", 3) == positions("relative", CHUNKS) == [0, 1, 2, 3, 4, 5]


def test_absolute_positions_go_on_with_the_video() -> None:
    assert positions("absolute", 3) == [4, 5]
    assert positions("absolute", CHUNKS) == [2 * CHUNKS - 2, 2 * CHUNKS - 1]
