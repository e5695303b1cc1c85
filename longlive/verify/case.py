"""One comparison with recorded numbers, and how near is near enough."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Pairs = list[tuple[Tensor, Tensor]]
Compare = Callable[[], Pairs] | None
Metric = Literal["max", "mean", "relative_rms"]
Kind = Literal["forward", "rollout", "cache", "vae", "text", "wan_vae", "wan_text", "statistic", "table"]

LARGEST_ROLLOUT_ERROR = 0.3  # in bfloat16, beside the bound on the mean

FLOAT32: dict[Kind, float] = {  # largest absolute error
    "forward": 2e-5,
    "rollout": 1e-4,
    "cache": 1e-4,
    "vae": 2e-5,
    "text": 2e-5,
    "wan_vae": 5e-5,
    "wan_text": 5e-5,
    "statistic": 1e-5,
    "table": 1e-6,  # a few times the spacing of float32 numbers: the operands are ratios to the recorded ones
}
BFLOAT16: dict[Kind, float] = {  # relative root-mean-square error; of roll-outs the mean absolute error
    "forward": 0.05,
    "rollout": 0.03,
    "cache": 0.05,
    "vae": 0.03,
    "text": 0.03,
    "wan_vae": 0.05,
    "wan_text": 0.03,
    "statistic": 0.05,
    "table": 1e-6,
}


class NotSupported(Exception):
    """The folder holds something that this version does not compute; the message says what."""


@dataclass(frozen=True)
class Case:
    """A named comparison that has not run yet. `compare` gives (computed, expected) tensors; none: not supported."""

    name: str
    group: str
    kind: Kind
    compare: Compare


@dataclass(frozen=True)
class CaseResult:
    """What came of a case. `error` is the value of `metric`; numbers are none where nothing could be computed."""

    case: str
    metric: Metric
    error: float | None
    tolerance: float
    max_error: float | None
    mean_error: float | None
    passed: bool
    supported: bool
    note: str = ""


def discovered(name: str, group: str, find: Callable[[], Iterator[Case]]) -> Iterator[Case]:
    """The cases that `find` finds; a fault while it looks is one more case, which fails with it under `name`."""
    try:
        yield from find()
    except Exception as fault:
        yield Case(name, group, "statistic", _raising(fault))


def run_case(case: Case, dtype: torch.dtype) -> CaseResult:
    """Runs a case. A fault inside it is a failed case with a note, so that the others still run."""
    exact = dtype == torch.float32
    tolerance = (FLOAT32 if exact else BFLOAT16)[case.kind]
    metric: Metric = "max" if exact else "mean" if case.kind == "rollout" else "relative_rms"

    def failed(note: str, *, supported: bool = True) -> CaseResult:
        return CaseResult(case.name, metric, None, tolerance, None, None, False, supported, " ".join(note.split()))

    if case.compare is None:
        return failed("this version has no such case", supported=False)
    try:
        with torch.inference_mode():
            pairs = [(out.cpu().double(), golden.double()) for out, golden in case.compare()]
    except NotSupported as reason:
        return failed(str(reason), supported=False)
    except Exception as fault:
        return failed(f"{type(fault).__name__}: {fault}")
    if not pairs:
        return failed("the folder holds nothing to compare with")
    if wrong := [(out, golden) for out, golden in pairs if out.shape != golden.shape]:
        out, golden = wrong[0]
        return failed(f"shape {list(out.shape)}, expected {list(golden.shape)}")
    errors = torch.cat([(out - golden).abs().flatten() for out, golden in pairs])
    if not errors.isfinite().all():
        return failed("a number is infinite or none at all")
    size = torch.cat([golden.flatten() for _, golden in pairs]).norm()
    if metric == "relative_rms" and size == 0:
        metric = "max"  # nothing to be relative to
    largest, mean = errors.max().item(), errors.mean().item()
    error = largest if metric == "max" else mean if metric == "mean" else (errors.norm() / size).item()
    passed = error <= tolerance and (metric != "mean" or largest <= LARGEST_ROLLOUT_ERROR)
    note = f"and at most {LARGEST_ROLLOUT_ERROR} anywhere" if metric == "mean" else ""
    return CaseResult(case.name, metric, error, tolerance, largest, mean, passed, True, note)


def _raising(fault: Exception) -> Callable[[], Pairs]:
    def compare() -> Pairs:
        raise fault

    return compare
