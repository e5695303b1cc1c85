from __future__ import annotations

import pytest
import torch

from longlive.model import Model
from longlive.pipeline import load_model
from longlive.precision import Precision
from longlive.tiny import evaluation
from longlive.tiny.evaluation import evaluate, evaluate_pair


def test_a_model_does_not_differ_from_itself(untrained: Model) -> None:
    pair = evaluate_pair(untrained, untrained, range(2))
    assert (pair.n, pair.readouts) == (2, 12)
    assert pair.overall == pair.against == evaluate(untrained, range(2)).overall.mean
    assert (pair.difference.low, pair.difference.mean, pair.difference.high) == (0, 0, 0)
    assert set(pair.attributes.values()) == {0}
    assert pair.psnr is None


def test_two_models_are_compared_video_by_video(untrained: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    hits = iter((True, False, True, True, False, False, True, False))  # of the first, of the second, video by video

    def settled(model: Model, caption: str, seed: int) -> torch.Tensor:
        return torch.full((24, 3, 64, 64), 110 if model is untrained else 100, dtype=torch.uint8)

    def matches(frames: torch.Tensor, scene: object) -> dict[str, bool]:
        return dict.fromkeys(evaluation.ATTRIBUTES, next(hits))

    monkeypatch.setattr(evaluation, "_settled", settled)
    monkeypatch.setattr(evaluation, "matches", matches)
    other = Model(**vars(untrained))
    pair = evaluate_pair(untrained, other, range(4))
    assert (pair.overall, pair.against, pair.difference.mean) == (0.75, 0.25, 0.5)
    margin = 1.96 * (1 / 3) ** 0.5 / 2  # of 1, 0, 0, 1: what the pairs differ in, not what each of the two varies
    assert pair.difference.high == pytest.approx(0.5 + margin)
    assert pair.psnr == pytest.approx(28.13, abs=0.01)  # ten levels of 255


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_8_bit_linears_cost_at_most_a_point_of_adherence() -> None:
    plain = load_model("tiny", Precision.bfloat16, "cpu")
    pair = evaluate_pair(load_model("tiny", Precision.int8, "cpu"), plain, range(256))
    assert pair.readouts >= 1000
    assert abs(pair.difference.mean) <= 0.01
