"""A session as its owner holds it: what its next chunk costs, what a chunk says of itself, when nobody comes."""

from __future__ import annotations

import itertools
import math
import time
from typing import Any
from unittest import mock

import pytest
import torch
from generator_rig import FakeVideoStream

from deployments.entries import PromptRequested
from deployments.keeper import Keeper
from deployments.owned import Owned
from deployments.parts import Limits, Times
from deployments.playout import PlayoutClock
from deployments.prompt_plan import Prompt
from deployments.recorder import Recorder
from deployments.scheduler import Estimate
from deployments.session import chunk_first_frame
from deployments.video_config import VideoConfig

VIDEO = VideoConfig(width=16, height=16, fps=16)
EMBEDDINGS = torch.zeros(1, 1, 1)
TIMES = Times(chunk=Estimate(0.1), usual=Estimate(0.1), switch=Estimate(0.03), delivery=Estimate(0.01))


def asked(at_frame: int | None = None) -> PromptRequested:
    now = round(time.time() * 1000)
    return PromptRequested(id=f"{now - 5000}-0", at=now - 5000, prompt_id="p", text="a cube", at_frame=at_frame)


def owned(chunk: int = 1, **how: Any) -> Owned:
    stream = FakeVideoStream(EMBEDDINGS, 0)
    stream.chunk = chunk
    clock, recorder, keeper = PlayoutClock(16, 0.0), mock.Mock(spec=Recorder), mock.Mock(spec=Keeper)
    return Owned("s", 1, stream, clock, recorder, keeper, mock.Mock(), VIDEO, chunk, asked=0.0, **how)


@pytest.mark.parametrize("live", [True, False])
def test_a_prompt_makes_the_chunk_that_it_begins_with_dearer_by_a_switch(live: bool) -> None:
    session = owned(live=live)
    plain = session.job(1.0, TIMES)
    session.plan.add(asked(), session.next_chunk)
    session.plan.read("p", EMBEDDINGS)
    switching = session.job(1.0, TIMES)
    assert plain is not None
    assert switching is not None
    assert (plain.cost, switching.cost) == (0.1, pytest.approx(0.13))


def test_a_video_that_another_generator_has_played_so_far_waits_only_for_words_that_were_said_to_apply() -> None:
    session = owned(chunk=7, moved=True)
    session.plan.add(asked(), session.next_chunk)
    assert session.job(0.0, TIMES) is not None
    session.told_applied = asked().prompt_id
    assert session.job(0.0, TIMES) is None


def test_a_session_has_time_until_its_next_chunk_is_due() -> None:
    session = owned()
    assert session.slack(5.0) == math.inf, "nothing was ever out"
    session.playout.enter(5.0)
    session.playout.publish(0, 5.0)
    assert session.slack(5.25) == 9 / 16 - 0.25
    session.unpublished = 1
    assert session.slack(5.25) == -math.inf, "the next one is on its way"
    assert owned(live=False).slack(5.0) == math.inf


def test_a_render_waits_for_its_script_and_a_live_video_only_at_its_start() -> None:
    for live in (True, False):
        session = owned(live=live)
        session.plan.add(asked(), session.next_chunk)
        assert session.job(0.0, TIMES) is None
        session.next_chunk += 1
        session.plan.add(asked(), session.next_chunk)
        assert (session.job(0.0, TIMES) is None) == (not live)


def test_a_chunk_counts_its_switch_among_its_time_on_the_device() -> None:
    clock = itertools.count(10.0, 2.0)
    made = owned().make_chunk(Prompt(asked(), EMBEDDINGS), lambda: next(clock))
    assert (made.seconds, made.switch_seconds, made.at) == (4.0, 2.0, 14.0)
    record = made.record(gap_seconds=0.0401, slack_seconds=0.0)
    assert (record.chunk, record.first_frame, record.frames) == (1, 9, 12)
    assert (record.generated_ms, record.gap_ms, record.slack_ms) == (4000, 41, 0)
    assert made.record(gap_seconds=0.0, slack_seconds=None).slack_ms is None
    applied = made.applied(fps=16, late_seconds=0.0)
    assert applied is not None
    assert (applied.prompt_id, applied.frame, applied.media_seconds) == ("p", 9, 9 / 16)


def test_a_prompts_latency_counts_from_its_request_or_from_the_time_it_was_asked_for() -> None:
    now = owned().make_chunk(Prompt(asked(), EMBEDDINGS), time.monotonic).applied(fps=16, late_seconds=0.0)
    timed = owned().make_chunk(Prompt(asked(at_frame=9), EMBEDDINGS), time.monotonic).applied(fps=16, late_seconds=0.2)
    assert now is not None
    assert timed is not None
    assert now.latency_ms >= 5000
    assert timed.latency_ms == 200


def test_a_session_waits_shorter_for_its_first_viewer_than_for_one_that_left() -> None:
    limits = Limits(slots=None, unwatched_seconds=60.0, first_viewer_seconds=30.0)
    session = owned()
    assert session.seconds_left(10.0, limits) == 20.0
    session.playout.enter(10.0)
    assert session.seconds_left(100.0, limits) == math.inf
    session.playout.leave(100.0)
    assert session.seconds_left(110.0, limits) == 50.0
    assert owned(live=False).seconds_left(1e9, limits) == math.inf, "a render needs no viewers"


@pytest.mark.parametrize("live", [True, False])
def test_a_session_that_is_over_or_has_enough_waiting_gets_no_chunk(live: bool) -> None:
    session = owned(live=live)
    session.unpublished = 2
    assert session.job(0.0, TIMES) is None
    session.unpublished = 1
    assert session.job(0.0, TIMES) is not None
    session.over = True
    assert session.job(0.0, TIMES) is None


@pytest.mark.parametrize("seconds", [0.01, 0.5625, 1.0, 2.1, 30.0])
def test_a_video_ends_with_the_first_chunk_that_reaches_its_length(seconds: float) -> None:
    session = owned(chunk=0, live=False, max_seconds=seconds)
    while session.job(0.0, TIMES) is not None:
        assert chunk_first_frame(session.next_chunk) / 16 < seconds
        session.next_chunk += 1
    assert session.finished
    assert chunk_first_frame(session.next_chunk) / 16 >= seconds


def test_a_session_pauses_between_chunks_but_not_before_its_first() -> None:
    session = owned(chunk=0, starting=True)
    session.pausing = "requested"
    assert session.job(0.0, TIMES) is not None
    session.next_chunk += 1
    assert session.stands
    assert session.job(0.0, TIMES) is None
    back = owned(chunk=5, resumed=True)
    back.pausing = "requested"
    assert back.stands


def test_a_video_that_goes_on_is_wanted_at_once_like_a_new_one() -> None:
    job = owned(chunk=5, resumed=True).job(0.0, TIMES)
    assert job is not None
    assert job.eager


@pytest.mark.parametrize(("seconds", "chunks"), [(0.001, 1), (9 / 16, 1), (0.57, 2), (21 / 16, 2)])
def test_a_video_is_no_shorter_than_asked_and_never_without_a_frame(seconds: float, chunks: int) -> None:
    session = owned(chunk=0, max_seconds=seconds)
    made = 0
    while not session.finished:
        session.next_chunk += 1
        made += 1
    assert made == chunks
