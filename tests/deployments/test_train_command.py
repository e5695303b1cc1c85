"""`longlive train tiny` around its training: what it hands on, and how its ends are told."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deployments import cli
from longlive.tiny.training import errors
from longlive.tiny.training import run as training


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: object) -> tuple[int, str]:
    """Exit status and stderr of `longlive train tiny ARGUMENTS`."""
    monkeypatch.setattr(sys, "argv", ["longlive", "train", "tiny", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    return int(exit_.value.code or 0), capsys.readouterr().err


def ending(error: Exception) -> Callable[..., None]:
    def train(*_: object) -> None:
        raise error

    return train


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ResumeError("vae.train.pt was made with another number of processes"), 2),
        (FileExistsError("out holds something else than a model"), 2),
        (errors.TrainingError("a gradient is no finite number"), 1),
    ],
)
def test_a_training_that_cannot_go_on_ends_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception, code: int
) -> None:
    monkeypatch.setattr(training, "train_tiny", ending(error))
    assert run(capsys, monkeypatch, "--work", tmp_path / "work") == (code, f"longlive: {error}\n")


def test_the_recipe_is_two_processes_on_any_machine_and_at_most_eight(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls: list[tuple[object, ...]] = []
    monkeypatch.setattr(training, "train_tiny", lambda *arguments: calls.append(arguments))
    out, work = tmp_path / "out", tmp_path / "work"
    assert run(capsys, monkeypatch, "--out", out, "--work", work)[0] == 0
    assert run(capsys, monkeypatch, "--out", out, "--work", work, "--processes", 8)[0] == 0
    assert [(folder, stopped, processes) for folder, stopped, _, processes in calls] == [(out, work, 2), (out, work, 8)]
    code, err = run(capsys, monkeypatch, "--out", out, "--work", work, "--processes", 9)
    assert (code, len(calls)) == (2, 2)
    assert "'--processes'" in err
