"""What every stage of a training promises: where it stops, what it saves, and whose file it goes on from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from longlive.tiny.training import MAX_PROCESSES
from longlive.tiny.training.errors import ResumeError, TrainingError
from longlive.tiny.training.trainer import SAVE_SECONDS, Stage, Trainer, Worker

STAGE = Stage("toy", steps=8, batch=4, adam_lr=0.01, muon_lr=0.02, ema=0.9, warmup=2)
ALONE = Worker(0, 1)
ORIGIN = {"shape of the toy": "square"}


class Stopped(Exception):
    """What kills a run in these tests."""


def make_toy(seed: int = 0) -> nn.Linear:
    torch.manual_seed(seed)
    return nn.Linear(4, 4).bfloat16()


def make_trainer(
    toy: nn.Linear, directory: Path, stage: Stage = STAGE, worker: Worker = ALONE, **options: object
) -> Trainer:
    return Trainer(toy, stage, worker, directory, **{"origin": ORIGIN, "muon": ["weight"], **options})  # type: ignore[arg-type]


def losses(toy: nn.Linear, until: int = STAGE.steps) -> Callable[[int], dict[str, Tensor]]:
    """The toy's task; the run is killed when update `until` is about to begin."""

    def loss_of(step: int) -> dict[str, Tensor]:
        if step == until:
            raise Stopped
        x = torch.randn(16, 4, generator=torch.Generator().manual_seed(ALONE.seed("toy", step))).bfloat16()
        return {"loss": ((toy(x) - x.flip(1)) ** 2).float().mean()}

    return loss_of


def quiet(line: str) -> None:
    pass


def ticking(seconds: float) -> Callable[[], float]:
    """A clock that moves on by `seconds` each time it is read."""

    def times() -> Iterator[float]:
        now = 0.0
        while True:
            yield now
            now += seconds

    return times().__next__


def saved_step(directory: Path) -> int:
    step = torch.load(directory / "toy.train.pt", weights_only=True)["step"]
    assert isinstance(step, int)
    return step


def test_a_stopped_stage_goes_on_to_the_same_weights_bit_for_bit(tmp_path: Path) -> None:
    whole, halved = make_toy(), make_toy()
    (tmp_path / "whole").mkdir()
    make_trainer(whole, tmp_path / "whole").run(losses(whole), quiet)
    with pytest.raises(Stopped):
        make_trainer(halved, tmp_path, clock=ticking(SAVE_SECONDS)).run(losses(halved, until=5), quiet)
    assert saved_step(tmp_path) == 5
    halved = make_toy()
    make_trainer(halved, tmp_path).run(losses(halved), quiet)
    assert torch.equal(whole.weight, halved.weight)
    assert torch.equal(whole.bias, halved.bias)
    assert not torch.equal(whole.weight, make_toy().weight)


@pytest.mark.parametrize("seconds", [7.0, 25.0, 59.0])
def test_a_stopped_run_has_lost_at_most_a_minute_and_an_update(tmp_path: Path, seconds: float) -> None:
    stage, toy = replace(STAGE, steps=100), make_toy()
    with pytest.raises(Stopped):
        make_trainer(toy, tmp_path, stage, clock=ticking(seconds)).run(losses(toy, until=50), quiet)
    assert 0 <= 50 - saved_step(tmp_path) <= SAVE_SECONDS / seconds + 1


def test_the_end_of_a_stage_is_saved_and_not_trained_again(tmp_path: Path) -> None:
    toy, again = make_toy(), make_toy()
    make_trainer(toy, tmp_path).run(losses(toy), quiet)
    make_trainer(again, tmp_path).run(losses(again, until=0), quiet)
    assert saved_step(tmp_path) == STAGE.steps
    assert torch.equal(toy.weight, again.weight)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_gradient_that_is_no_number_ends_the_run_and_is_never_saved(tmp_path: Path, value: float) -> None:
    toy = make_toy()

    def loss_of(step: int) -> dict[str, Tensor]:
        found = losses(toy)(step)
        return {"loss": found["loss"] * value} if step == 3 else found

    with pytest.raises(TrainingError, match=r"stage 'toy'.* update 3"):
        make_trainer(toy, tmp_path, clock=ticking(SAVE_SECONDS)).run(loss_of, quiet)
    assert saved_step(tmp_path) == 3
    again = make_toy()
    make_trainer(again, tmp_path).run(losses(again), quiet)
    assert again.weight.isfinite().all()


def test_a_stage_does_not_go_on_from_a_file_that_was_made_with_anything_else(tmp_path: Path) -> None:
    toy = make_toy()
    with pytest.raises(Stopped):
        make_trainer(toy, tmp_path, clock=ticking(SAVE_SECONDS)).run(losses(toy, until=3), quiet)
    make_trainer(make_toy(), tmp_path)
    with pytest.raises(ResumeError, match="another number of processes;"):
        make_trainer(make_toy(), tmp_path, worker=Worker(0, 2))
    with pytest.raises(ResumeError, match="another length or rate of stage 'toy';"):
        make_trainer(make_toy(), tmp_path, replace(STAGE, steps=9))
    with pytest.raises(ResumeError, match="another shape of the toy;"):
        make_trainer(make_toy(), tmp_path, origin={"shape of the toy": "round"})
    with pytest.raises(ResumeError, match="another start of the weights;"):
        make_trainer(make_toy(seed=1), tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off"])
def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "toy.train.pt").write_bytes(content)
    with pytest.raises(ResumeError, match=r"toy\.train\.pt is damaged; remove it"):
        make_trainer(make_toy(), tmp_path)


def test_no_two_batches_of_a_training_are_drawn_with_one_seed() -> None:
    seeds = [
        Worker(rank, MAX_PROCESSES).seed(stage, step)
        for stage in ("vae", "starts", "clips", "few-step")
        for step in range(2500)
        for rank in range(MAX_PROCESSES)
    ]
    assert len(set(seeds)) == len(seeds)
