"""What the chaos benchmark says of viewers: where they stood still, what they missed, whose writes came too late."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chaos import plot
from chaos_faults import FAULTS
from chaos_figures import (
    Arrival,
    Bar,
    back_after,
    crowd,
    differing,
    longest_gap,
    number_faults,
    quantiles_of,
    stale_chunks,
    stale_facts,
    time_gaps,
    with_earlier,
)
from chaos_viewers import Boxes, Recording
from deployments.admission import LOAD, Capacity, Demand, admits
from deployments.entries import Chunk, PromptApplied, SessionLive, SessionMoved, Stalled
from deployments.session import CHUNK_FRAMES, chunk_first_frame, chunk_frames
from deployments.video_config import VideoConfig
from deployments.video_encoder import encode_chunk, init_segment

FPS = 12  # a fragment lasts a second
CONFIG = VideoConfig(width=64, height=64, fps=FPS)


def arrivals(*times: float) -> list[Arrival]:
    return [Arrival(at, chunk, chunk_first_frame(chunk), 12, b"") for chunk, at in enumerate(times, 1)]


def recording(*chunks: int) -> Recording:
    found = Recording(init_segment(CONFIG).data)
    for chunk in chunks:
        first, frames = chunk_first_frame(chunk), chunk_frames(chunk)
        picture = np.full((frames, 64, 64, 3), 20 * chunk, np.uint8)
        data = encode_chunk(CONFIG, picture, chunk=chunk, first_frame=first)
        found.arrivals.append(Arrival(0.0, chunk, first, frames, data))
    return found


@pytest.mark.parametrize(
    ("times", "gap"),
    [
        ((0, 1, 2, 3, 4, 5), 0),
        ((0, 1, 4, 5), 2),  # nothing to show from 2 to 4
        ((0, 0.2, 3, 4, 5), 1.8),  # what came early before the span is no cushion
        ((0, 1, 1.2, 3, 4, 5), 0),  # what comes early in it is played in its time
        ((0, 1, 1.2, 3.5, 4, 5), 0.5),
        ((0, 1, 2), 3),  # from 3 to the end
        ((4.5, 5), 0),
        ((), 5),
    ],
)
def test_a_gap_is_what_a_player_stands_still_that_has_no_cushion_at_first(times: tuple[float, ...], gap: float) -> None:
    assert longest_gap(arrivals(*times), FPS, since=1.0, until=6.0) == pytest.approx(gap)


def test_a_gap_counts_within_its_span_alone() -> None:
    came = arrivals(0, 5, 6, 9)
    assert longest_gap(came, FPS, since=4.0, until=5.5) == pytest.approx(1)
    assert longest_gap(came, FPS, since=6.5, until=8.0) == pytest.approx(1)


def test_a_viewer_is_back_with_the_first_fragment_after_the_fault() -> None:
    assert back_after(arrivals(0, 1, 4, 5), since=1.5) == 2.5
    assert back_after(arrivals(0, 1), since=1.5) is None


@pytest.mark.parametrize(
    ("numbers", "repeated", "missing"),
    [((), 0, 0), ((5, 6, 7), 0, 0), ((0, 1, 4, 5), 0, 2), ((3, 4, 4, 5), 1, 0), ((3, 4, 5, 4, 5, 6), 2, 0)],
)
def test_chunks_that_come_again_and_those_that_never_come_are_counted(
    numbers: tuple[int, ...], repeated: int, missing: int
) -> None:
    faults = number_faults(numbers)
    assert (faults.repeated, faults.missing) == (repeated, missing)


def test_what_was_received_is_decoded_from_start_to_end_with_its_place_in_media_time() -> None:
    whole = recording(0, 1, 2)
    assert whole.frames(FPS) == list(range(33))
    assert whole.time_gaps(whole.frames(FPS)) == 0
    assert Recording(b"").frames(FPS) == []


def test_a_fragment_that_never_came_is_missing_and_no_fault_of_the_timestamps() -> None:
    skipped = recording(1, 2, 4)
    frames = skipped.frames(FPS)
    assert frames == [*range(9, 33), *range(45, 57)]
    assert (time_gaps(frames), skipped.time_gaps(frames), skipped.faults().missing) == (1, 0, 1)


def test_media_time_that_comes_again_is_a_fault_of_the_timestamps() -> None:
    repeated = recording(1, 2, 2, 3)
    assert repeated.time_gaps(repeated.frames(FPS)) == 12
    assert repeated.faults().repeated == 1


def test_of_what_cannot_be_decoded_every_picture_is_missing() -> None:
    broken = recording(0, 1)
    broken.init = b"no start of a video"
    assert broken.time_gaps(broken.frames(FPS)) == 21


def test_an_append_of_an_older_owner_is_one_that_is_not_above_the_last() -> None:
    def appended(*numbers: int) -> int:
        return stale_chunks(Chunk(chunk=n, first_frame=0, frames=12, generated_ms=1) for n in numbers)

    assert appended(3, 4, 5, 6) == 0
    assert appended(3, 4, 6) == 0  # the store was away
    assert appended(3, 4, 5, 5, 6) == 1


def test_a_fact_of_before_the_move_behind_it_is_an_older_owners() -> None:
    moved = SessionMoved(chunk=7, frame=81, media_seconds=5.0, cause="lost")
    early, late = (Stalled(chunk=chunk, gap_ms=100) for chunk in (6, 7))
    applied = PromptApplied(prompt_id="p", text="", chunk=6, frame=69, media_seconds=4.0, latency_ms=1)
    assert stale_facts([SessionLive(), early, applied, moved, late]) == 0
    assert stale_facts([SessionLive(), moved, early, late, applied]) == 2


def test_two_owners_fragments_of_one_chunk_show_where_viewers_got_different_ones() -> None:
    assert differing([{1: b"a", 2: b"b"}, {2: b"b", 3: b"c"}]) == 0
    assert differing([{1: b"a", 2: b"b"}, {2: b"B", 3: b"c"}, {3: b"C"}]) == 2


def row(**other: Any) -> dict[str, Any]:
    nothing = dict.fromkeys(
        ("lost", "media_time_gaps", "repeated_chunks", "missing_chunks", "stale_appends", "zombie_fragments"), 0
    )
    figures = {"gap_seconds": quantiles_of([1.0, 2.0]), "back_seconds": quantiles_of([3.0]), "hit": 2, "damage_said": 0}
    return nothing | figures | other


def test_faults_that_are_measured_anew_replace_those_of_an_earlier_run() -> None:
    def run(commit: str, fps: int, **passed: bool) -> dict[str, Any]:
        faults = {name: {"passed": well} for name, well in passed.items()}
        return {"commit": commit, "results": {"fps": fps, "faults": faults, "passed": all(passed.values())}}

    together = with_earlier(
        run("new", 3, update=True), run("old", 4, update=False, generator=True), ["generator", "update"]
    )
    assert together["commit"] == "new"
    assert together["results"]["passed"]
    assert list(together["results"]["faults"].items()) == [
        ("generator", {"commit": "old", "fps": 4, "passed": True}),
        ("update", {"commit": "new", "fps": 3, "passed": True}),
    ]
    again = with_earlier(run("newer", 5, nothing=True), together, ["nothing", "generator", "update"])
    assert [row["commit"] for row in again["results"]["faults"].values()] == ["newer", "old", "new"]


def test_a_bar_says_which_figures_miss_it() -> None:
    assert Bar("").missed(row()) == []
    for figure in ("lost", "media_time_gaps", "repeated_chunks", "stale_appends", "zombie_fragments", "missing_chunks"):
        assert Bar("").missed(row(**{figure: 1})) == [f"{figure}: 1"]
    assert Bar("", skips=True).missed(row(missing_chunks=3)) == []
    assert Bar("", p95_gap=1.95, longest_gap=2).missed(row()) == []
    assert Bar("", p95_gap=1.9).missed(row()) == ["gap p95: 1.95 s, at most 1.9 s"]
    assert Bar("", longest_gap=1.9).missed(row()) == ["gap max: 2.0 s, at most 1.9 s"]
    assert Bar("", back=2.5).missed(row()) == ["back max: 3.0 s, at most 2.5 s"]
    assert Bar("", says_damage=True).missed(row(damage_said=1)) == ["damage_said: 1 of 2"]
    assert Bar("", longest_gap=2).missed(row(gap_seconds=None, back_seconds=None, lost=2)) == ["lost: 2"]


@pytest.mark.parametrize("chunk_seconds", [0.002, 0.05, 0.1, 0.2, 0.5, 3.0])
def test_half_of_a_generator_carries_the_crowd_and_the_other_half_one_as_large(chunk_seconds: float) -> None:
    found = crowd(chunk_seconds, wanted=8, slowest_fps=4, fps=16)
    assert 4 <= found.fps <= 16
    if found.sessions > 1:
        assert found.share <= 0.5
        capacity = Capacity(chunk_seconds, fps=16, frames=CHUNK_FRAMES)
        assert admits(capacity, [Demand(found.fps)] * (2 * found.sessions - 1), Demand(found.fps))


def test_the_frame_rate_is_lowered_as_far_as_eight_need_it() -> None:
    assert crowd(LOAD / 2 * 12 / 8 / 10, 8, 4, 16).fps == 10
    assert crowd(LOAD / 2 * 12 / 8 / 10, 8, 4, 16).sessions == 8
    assert crowd(0.5, 8, 4, 16).sessions == 2  # no slower than that
    assert crowd(0.02, 8, 4, 16).sessions == 15  # it carries more as it is


def test_boxes_come_out_whole_however_the_bytes_come_in() -> None:
    video = recording(0, 1).init + b"".join(arrival.data for arrival in recording(0, 1).arrivals)
    boxes = Boxes()
    found = [box for at in range(0, len(video), 7) for box in boxes.feed(video[at : at + 7])]
    assert [kind for kind, _ in found] == [b"ftyp", b"moov", b"moof", b"mdat", b"moof", b"mdat"]
    assert b"".join(box for _, box in found) == video


def test_the_gaps_are_drawn_beside_their_bars(tmp_path: Path) -> None:
    faults = {
        name: {"fault": fault.title, "gaps": [0.5, 1.0], "gap_seconds": quantiles_of([0.5, 1.0])}
        for name, fault in FAULTS.items()
    }
    faults["proxy"] |= {"gaps": [], "gap_seconds": None}
    plot({"faults": faults, "sessions": 8, "fps": 6}, tmp_path / "chaos.png")
    assert (tmp_path / "chaos.png").stat().st_size > 10_000
