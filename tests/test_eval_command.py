from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.test_cli import run


def test_eval_compares_two_number_formats_video_by_video(
    capsys: pytest.CaptureFixture[str], untrained_folder: Path
) -> None:
    arguments = ("eval", "tiny", "--seeds", "5:7", "--model", untrained_folder, "--dtype", "int8", "--against", "bf16")
    code, out, _ = run(capsys, *arguments, "--json")
    document = json.loads(out)
    assert code == 0
    assert (document["dtype"], document["against_dtype"]) == ("int8", "bfloat16")
    assert (document["n"], document["readouts"]) == (2, 12)
    difference = 100 * (document["overall"] - document["against"])
    assert document["difference_points"] == pytest.approx(difference)
    low, high = document["difference_points_95"]
    assert low <= difference <= high
    assert document["psnr_db"] > 20
    _, out, _ = run(capsys, *arguments)
    assert ["against_dtype", "bfloat16"] in [line.split() for line in out.splitlines()]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["eval", "tiny", "--dtype", "int4"], "int8-weight"),
        (["eval", "tiny", "--against", "half"], "'half' is not one of float32, bfloat16, int8"),
        (["eval", "tiny", "--against", "bf16", "--switch", "keep"], "leave --switch out"),
        (["verify", "goldens", "--dtype", "int8"], "'int8' is not one of float32, bfloat16, fp32, bf16"),
    ],
)
def test_a_number_format_that_is_not_there_is_answered_with_those_that_are(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err
