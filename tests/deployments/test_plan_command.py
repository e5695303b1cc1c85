from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.test_cli import run


def test_plan_says_how_many_sessions_fit_without_the_weights(capsys: pytest.CaptureFixture[str]) -> None:
    code, said, _ = run(capsys, "plan", "--model", "longlive-1.3b", "--gpu-memory", "141GB", "--dtype", "bf16")
    assert code == 0
    assert said.startswith("longlive-1.3b, bfloat16, wan decoder: 23 sessions fit in 141.0 GB\n")
    lines = [line.strip() for line in said.splitlines()]
    assert any(line.startswith("transformer") and line.endswith("2.838") for line in lines)
    assert any(line.startswith("keys and values of the window") and line.endswith("3.450") for line in lines)


def test_plan_in_json_is_in_bytes_and_adds_up(capsys: pytest.CaptureFixture[str]) -> None:
    code, said, _ = run(
        capsys, "plan", "--model", "longlive-1.3b", "--gpu-memory", "80GiB", "--dtype", "int8", "--decoder", "tiny",
        "--text-encoder", "--json",
    )  # fmt: skip
    assert code == 0
    document = json.loads(said)
    assert (document["dtype"], document["decoder"], document["memory"]) == ("int8", "tiny", 80 * 2**30)
    size = document["bytes"]
    assert size["weights"] == size["transformer"] + size["decoder"] + size["text_encoder"]
    assert size["text_encoder"] == pytest.approx(11.4e9, rel=0.01)
    assert size["session"] == size["kv_cache"] + size["prompt"] + size["decoder_state"] + size["rest"]
    left = document["memory"] - size["weights"] - size["workspace"] - size["reserved"]
    assert 0 <= left - document["sessions"] * size["session"] < size["session"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--gpu-memory", "141"), "write it like 141GB"),
        (("--gpu-memory", "8GB", "--model", "longlive-1.3b"), "take a larger GPU, or a smaller --dtype or --decoder"),
        (("--gpu-memory", "141GB", "--model", "longlive-13b"), "longlive-1.3b"),
        (("--gpu-memory", "141GB", "--dtype", "int4"), "int8"),
        (("--gpu-memory", "141GB", "--decoder", "huge"), "light"),
        (("--gpu-memory", "141GB", "--decoder", "tiny"), "no decoder 'tiny'"),
        ((), "gpu-memory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_planned_is_one_line_that_says_what_to_change(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], says: str
) -> None:
    code, said, error = run(capsys, "plan", *arguments)
    assert (code, said, error.count("\n")) == (2, "", 1)
    assert says in error


@pytest.mark.parametrize("decoder", ["wan", "light"])  # 12.954 GB and 8.404 GB: the second is not to be rounded down
def test_the_memory_that_is_said_to_be_needed_is_enough(capsys: pytest.CaptureFixture[str], decoder: str) -> None:
    asked = ("plan", "--model", "longlive-1.3b", "--decoder", decoder, "--gpu-memory")
    code, _, error = run(capsys, *asked, "0.1GB")
    needed = re.search(r"one needs ([\d.]+) GB", error)
    assert code == 2
    assert needed is not None
    code, said, _ = run(capsys, *asked, f"{needed[1]}GB")
    assert code == 0
    assert f"in {needed[1]} GB" in said


def test_a_model_of_ones_own_is_planned_from_its_configuration_alone(
    capsys: pytest.CaptureFixture[str], untrained_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text((untrained_folder / "config.json").read_text())
    code, said, _ = run(capsys, "plan", "--model", tmp_path, "--gpu-memory", "1GiB")
    assert code == 0
    assert said.startswith("untrained, bfloat16, wan decoder: ")
