"""The paper's tables as commands; what they measure is tested in tests/longlive/evaluation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

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
