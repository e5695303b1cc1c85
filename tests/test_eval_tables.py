"""The paper's tables as commands; what they measure is tested in tests/longlive/evaluation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from longlive.evaluation import window_table
from tests.test_cli import run


def test_eval_switch_tells_each_kind_of_switch_from_the_others_and_draws_them(
    capsys: pytest.CaptureFixture[str], untrained_folder: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "switch.png"
    arguments = ("--seeds", "5:6", "--model", untrained_folder, "--dtype", "fp32", "--json", "--plot", picture)
    code, out, _ = run(capsys, "eval", "switch", *arguments)
    document = json.loads(out)
    assert code == 0
    assert (document["n"], document["seeds"], document["dtype"]) == (1, "5:6", "float32")
    world, *rows = document["rows"]
    assert [row["name"] for row in rows] == ["clear", "keep", "recache"]
    assert [after["changed"] for after in world["after_switch"]] == [1, 1, 1]
    assert world["kept_n"] == 1
    low, high = world["jump_95"]
    assert low <= world["jump"] <= high
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_eval_windows_has_a_row_for_each_window_and_draws_what_is_not_refused(
    capsys: pytest.CaptureFixture[str], untrained_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window_table, "WINDOWS", (3, 6))
    monkeypatch.setattr(window_table, "SECONDS", 6)
    picture = tmp_path / "windows.png"
    arguments = ("--seeds", "0:1", "--model", untrained_folder, "--dtype", "fp32", "--json", "--plot", picture)
    code, out, _ = run(capsys, "eval", "windows", *arguments)
    rows = json.loads(out)["rows"]
    assert code == 0
    assert [(row["window_frames"], row["sink_frames"]) for row in rows] == [(3, 3), (6, 3), (3, 0), (6, 0)]
    assert ["adherence_95" in row for row in rows] == [False, True, True, True]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_eval_long_has_a_row_for_each_mark_and_the_end_over_5_seconds(
    capsys: pytest.CaptureFixture[str], untrained_folder: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "long.png"
    arguments = ("--seeds", "0:1", "--seconds", "11", "--model", untrained_folder, "--dtype", "fp32", "--plot", picture)
    code, out, _ = run(capsys, "eval", "long", *arguments, "--json")
    document = json.loads(out)
    assert code == 0
    assert [row["seconds"] for row in document["rows"]] == [5, 10, 11]
    assert document["end_over_first"]["brightness_n"] == 1
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_eval_interactive_has_a_line_for_each_figure_after_each_switch(
    capsys: pytest.CaptureFixture[str], untrained_folder: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "interactive.png"
    arguments = ("--seeds", "0:1", "--prompts", "3", "--model", untrained_folder, "--dtype", "fp32", "--plot", picture)
    code, out, _ = run(capsys, "eval", "interactive", *arguments)
    said = [line.split() for line in out.splitlines()]
    assert code == 0
    assert [words[1] for words in said if words[0] == "switch"] == ["1", "2"]
    assert sum(words[0] == "overall" and words[-2:] == ["n", "1"] for words in said) >= 2
    assert ["last_over_first"] in said
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--seeds", "8:4"], "--seeds '8:4' is not A:B"),
        (["--plot", "switch.jpg"], "write for example --plot switch.png"),
        (["--plot", "nowhere/switch.png"], "there is no folder nowhere"),
        (["--model", "nothing"], "there is no model 'nothing'"),
    ],
)
def test_what_cannot_be_is_answered_in_a_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    code, out, err = run(capsys, "eval", "switch", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err


def test_a_long_video_is_not_short(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "eval", "long", "--seconds", "6")
    assert (code, out, err) == (2, "", "longlive: a long video has at least 10 seconds, not 6\n")
