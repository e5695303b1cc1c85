"""The clips of streaming long tuning: every frame is new once, and a switch falls between clips."""

from __future__ import annotations

import random

import pytest

from longlive.training.streaming import Streaming, SupervisedClip


def test_the_papers_lengths() -> None:
    clips = Streaming().clips(39)
    assert clips[:4] == [
        SupervisedClip(range(21)),
        SupervisedClip(range(18, 39), 3),
        SupervisedClip(range(36, 57), 3, switched=True),
        SupervisedClip(range(54, 75), 3, switched=True),
    ]
    assert clips[-1].frames == range(216, 237), "another would end behind frame 240"
    assert [frame for clip in clips for frame in clip.new] == list(range(237))
    assert list(Streaming().switches()) == list(range(21, 202, 18))


def test_without_a_switch_all_clips_have_the_first_prompt() -> None:
    assert not any(clip.switched for clip in Streaming(max_frames=60).clips())


def test_a_switch_is_drawn_where_clips_follow_it() -> None:
    drawn = {Streaming(max_frames=80).draw_switch(random.Random(seed)) for seed in range(50)}
    assert drawn == {21, 39}
    assert Streaming(max_frames=40).draw_switch(random.Random(0)) == 21
    assert Streaming(max_frames=21).draw_switch(random.Random(0)) is None


@pytest.mark.parametrize(
    ("lengths", "fault"),
    [
        ({"clip_frames": 20}, "clip_frames must be chunks of 3 frames, not 20"),
        ({"overlap_frames": 21}, "longer than its overlap"),
        ({"max_frames": 20}, "fit into max_frames, 20"),
        ({"overlap_frames": -3}, "overlap_frames must be chunks"),
    ],
)
def test_lengths_that_cannot_be_are_refused(lengths: dict[str, int], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Streaming(**lengths)


def test_a_switch_within_a_clip_is_refused() -> None:
    with pytest.raises(ValueError, match="no clip begins at frame 22; clips end at 21, 39"):
        Streaming(max_frames=60).clips(22)
