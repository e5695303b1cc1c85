from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from longlive.clip import Clip, Latents, Seconds, Switch, Time, schedule
from longlive.config import ModelConfig, RolloutConfig
from longlive.errors import InputError
from longlive.model import Model
from longlive.pipeline import generate, proceed
from longlive.stream import VideoStream
from tests.support import UNTRAINED

BALL, CUBE, DONUT = "a red ball moves left in the desert", "a blue cube hops on the sea at night", "a pink donut"
FRAMEWISE = replace(UNTRAINED, rollout=RolloutConfig(positions="relative", chunk_frames=1))


def chunks(
    config: ModelConfig, length: Time, times: list[Time], start: int = 0, *, whole: bool = False
) -> tuple[int, list[int]]:
    """Frames of a clip, and the chunks that its switches take effect with."""
    switches = [Switch(at, f"prompt {n}") for n, at in enumerate(times)]
    plan = schedule(config, length, switches, start, whole=whole)
    return plan.frames, sorted(plan.prompts)


@pytest.mark.parametrize(
    ("config", "length", "frames", "whole"),
    [
        (UNTRAINED, Latents(120), 477, 477),
        (UNTRAINED, Latents(240), 957, 957),
        (UNTRAINED, Latents(1), 1, 9),
        (UNTRAINED, Latents(4), 13, 21),
        (UNTRAINED, Seconds(1), 16, 21),
        (FRAMEWISE, Latents(4), 13, 13),
        (FRAMEWISE, Seconds(1), 16, 17),
    ],
)
def test_a_length_in_latent_frames_or_seconds_is_exact_unless_whole_chunks_are_wanted(
    config: ModelConfig, length: Time, frames: int, whole: int
) -> None:
    assert chunks(config, length, [])[0] == frames
    assert chunks(config, length, [], whole=True)[0] == whole


def test_a_switch_in_latent_frames_is_rounded_up_to_a_chunk() -> None:
    times: list[Time] = [Latents(at) for at in (40, 80, 120, 160, 200)]
    assert chunks(UNTRAINED, Latents(240), times) == (957, [14, 27, 40, 54, 67])
    assert chunks(FRAMEWISE, Latents(240), times) == (957, [40, 80, 120, 160, 200])
    assert [chunks(UNTRAINED, Latents(12), [Latents(at)])[1] for at in (0, 1, 3, 4, 9)] == [[0], [1], [1], [2], [3]]


def test_a_switch_in_seconds_and_one_in_the_latent_frame_of_that_time_are_the_same() -> None:
    for latent in range(1, 40):
        at = Seconds((1 + 4 * (latent - 1)) / 16)
        assert chunks(UNTRAINED, Seconds(12), [at])[1] == chunks(UNTRAINED, Seconds(12), [Latents(latent)])[1]


def test_times_count_from_where_a_video_goes_on() -> None:
    assert chunks(UNTRAINED, Seconds(3), [Seconds(0), Seconds(1)], start=5) == (48, [5, 7])
    assert chunks(UNTRAINED, Latents(12), [Latents(0), Latents(4)], start=5) == (48, [5, 7])
    assert chunks(UNTRAINED, Seconds(1), [], start=5, whole=True) == (24, [])


def test_of_switch_frames_in_one_chunk_the_later_waits_for_the_next_as_in_the_reference() -> None:
    plan = schedule(UNTRAINED, Latents(60), [Switch(Latents(at), f"from {at}") for at in (40, 41, 42, 50)])
    assert plan.prompts == {14: "from 40", 15: "from 41", 16: "from 42", 17: "from 50"}
    with pytest.raises(InputError, match="would not show"):
        schedule(UNTRAINED, Latents(45), [Switch(Latents(at), "x") for at in (41, 42)])


@pytest.mark.parametrize(
    ("length", "at", "said"),
    [
        (Latents(0), None, "cannot last 0 latent frames"),
        (Seconds(float("nan")), None, "give a number above 0"),
        (Latents(10**400), None, r"cannot last 1.0*e\+400 latent frames; give a number above 0, up to 1e\+12"),
        (Seconds(1e13), None, r"up to 1e\+12"),
        (Latents(30), Latents(30), "outside of the clip"),
        (Latents(30), Latents(-1), "outside of the clip"),
        (Latents(30), Latents(28), "give a time up to 27 latent frames, or a longer clip"),
    ],
)
def test_a_clip_that_cannot_be_is_refused(length: Time, at: Time | None, said: str) -> None:
    with pytest.raises(InputError, match=said):
        schedule(UNTRAINED, length, [] if at is None else [Switch(at, CUBE)])


def test_a_video_past_the_end_of_absolute_positions_is_refused_with_the_longest_that_is_possible() -> None:
    rollout = RolloutConfig(positions="absolute", max_positions=32)
    config = replace(UNTRAINED, rollout=rollout)
    assert schedule(config, Latents(30)).frames == 117
    assert schedule(config, Seconds(117 / 16)).frames == 117
    with pytest.raises(InputError, match=r"end at 32; ask for at most 30 latent frames, 7\.3125 s, or .*rebase"):
        schedule(config, Latents(31))
    with pytest.raises(InputError, match=r"at most 6 latent frames, 1\.5 s"):
        schedule(config, Seconds(1.6), start=8)
    with pytest.raises(InputError, match="end at 32; let it count anew"):
        schedule(config, Seconds(1), start=10)
    assert schedule(replace(config, rollout=replace(rollout, at_limit="rebase")), Latents(31)).frames == 121
    assert schedule(replace(config, rollout=replace(rollout, positions="relative")), Latents(31)).frames == 121


def test_a_clip_switches_as_a_rollout_does_that_is_switched_by_hand(untrained: Model) -> None:
    switches = (Switch(Latents(4), CUBE), Switch(Latents(9), DONUT))
    made = torch.cat(list(generate(untrained, Clip(BALL, Latents(15), switches, seed=3))))
    rollout, state = untrained.rollout(untrained.encode([BALL]), 3), untrained.decoder_state()
    pieces = []
    for frame in range(0, 15, 3):
        if frame == 6:  # 4, rounded up to a chunk
            rollout.switch(untrained.encode([CUBE]))
        if frame == 9:
            rollout.switch(untrained.encode([DONUT]))
        pieces.append(untrained.decode(rollout.next_chunk(), state)[0])
    by_hand = torch.cat(pieces).add(1).mul(127.5).round().to(torch.uint8).permute(0, 2, 3, 1)
    assert torch.equal(made, by_hand)


def test_a_stream_that_proceeds_twice_by_whole_chunks_shows_what_it_shows_at_once(untrained: Model) -> None:
    def stream() -> VideoStream:
        return VideoStream(untrained, untrained.encode([BALL]), seed=1)

    at_once = torch.cat(list(proceed(untrained, stream(), Latents(12))))
    going = stream()
    parts = [*proceed(untrained, going, Seconds(1), whole=True), *proceed(untrained, going, Latents(6))]
    assert torch.equal(torch.cat(parts), at_once)
