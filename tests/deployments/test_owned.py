"""A session as its owner holds it: what its next chunk costs, what a chunk says of itself, when nobody comes."""

from __future__ import annotations

import itertools
import math
from unittest import mock

import pytest
import torch
from torch import Tensor

from deployments.owned import Limits, Owned, Prompt, Times
from deployments.playout import PlayoutClock
from deployments.recorder import Recorder
from deployments.scheduler import Estimate
from deployments.session import PromptRequested

PROMPT = Prompt(PromptRequested(id="5-0", at=5, prompt_id="p", text="a cube"), torch.zeros(1, 1, 1))


class FakeStream:
    chunk, frame = 1, 9

    def next_frames(self) -> Tensor:
        return torch.zeros(12, 16, 16, 3, dtype=torch.uint8)

    def switch(self, prompt: Tensor) -> None:
        self.prompt = prompt


def owned(paced: bool = True) -> Owned:
    return Owned(
        "s", 1, "0-0", FakeStream(), PlayoutClock(16, 0.0), mock.Mock(spec=Recorder), asked=0.0, paced=paced
    )  # fmt: skip


@pytest.mark.parametrize("paced", [True, False])
def test_a_waiting_prompt_makes_the_next_chunk_dearer_by_a_switch(paced: bool) -> None:
    times = Times(chunk=Estimate(0.1), switch=Estimate(0.03), delivery=Estimate(0.01))
    session = owned(paced)
    plain = session.job(1.0, times)
    session.prompt = PROMPT
    switching = session.job(1.0, times)
    assert plain is not None
    assert switching is not None
    assert (plain.cost, switching.cost) == (0.1, pytest.approx(0.13))


def test_a_chunk_counts_its_switch_among_its_time_on_the_device() -> None:
    clock = itertools.count(10.0, 2.0)
    made = owned().make_chunk(PROMPT, lambda: next(clock))
    assert (made.seconds, made.switch_seconds, made.at) == (4.0, 2.0, 14.0)
    record = made.record(gap_seconds=0.0401)
    assert (record.chunk, record.first_frame, record.frames) == (1, 9, 12)
    assert (record.generated_ms, record.gap_ms) == (4000, 41)
    applied = made.applied(fps=16)
    assert applied is not None
    assert (applied.prompt_id, applied.frame, applied.media_seconds) == ("p", 9, 9 / 16)


def test_a_session_waits_shorter_for_its_first_viewer_than_for_one_that_left() -> None:
    limits = Limits(slots=None, unwatched_seconds=60.0, first_viewer_seconds=30.0)
    session = owned()
    assert session.seconds_left(10.0, limits) == 20.0
    session.playout.enter(10.0)
    assert session.seconds_left(100.0, limits) == math.inf
    session.playout.leave(100.0)
    assert session.seconds_left(110.0, limits) == 50.0


def test_a_session_that_is_over_or_has_enough_waiting_gets_no_chunk() -> None:
    times = Times(Estimate(0.1), Estimate(0.1), Estimate(0.01))
    session = owned(paced=False)
    session.unpublished = 2
    assert session.job(0.0, times) is None
    session.unpublished = 1
    assert session.job(0.0, times) is not None
    session.over = True
    assert session.job(0.0, times) is None
