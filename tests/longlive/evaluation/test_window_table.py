from __future__ import annotations

import pytest

from longlive.evaluation import window_table
from longlive.evaluation.trial import film
from longlive.evaluation.window_table import WindowTrial, row, with_window
from longlive.model import Model
from longlive.stream import VideoStream


def test_videos_differ_with_the_window_and_with_the_sink_as_soon_as_it_is_full(untrained: Model) -> None:
    prompt = untrained.encode(["a red ball"])

    def video(window: int, sink: int) -> list[int]:
        return film(VideoStream(with_window(untrained, window, sink), prompt, 1), 45).flatten().tolist()

    assert video(6, 0) == video(6, 0)
    assert video(6, 0) != video(9, 0)
    assert video(6, 3) != video(6, 0)


def test_a_row_has_a_figure_of_each_video() -> None:
    made = row(9, 3, [WindowTrial(1.0, 2.0, 50), WindowTrial(0.5, None, 70)])
    assert made.adherence is not None
    assert made.drift is not None
    assert made.chunk_ms is not None
    assert (made.adherence.mean, made.adherence.n) == (0.75, 2)
    assert (made.drift.mean, made.drift.n) == (2, 1)
    assert made.chunk_ms.mean == 60


def test_a_combination_that_the_engine_refuses_is_told_with_its_reason(
    untrained: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window_table, "WINDOWS", (3, 6))
    monkeypatch.setattr(window_table, "SINKS", (3,))
    monkeypatch.setattr(window_table, "SECONDS", 6)
    made: list[None] = []
    table = window_table.window_table(untrained, range(1), lambda: made.append(None))
    refused, fine = table.rows
    assert len(made) == 2
    assert refused.adherence is None
    assert refused.refused is not None
    assert "must be -1 or hold the sink and a chunk" in refused.refused
    assert fine.refused is None
    assert fine.adherence is not None
    assert fine.chunk_ms is not None
    assert fine.chunk_ms.mean > 0
