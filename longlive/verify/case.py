"""One comparison with recorded numbers, and how near is near enough."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Pairs = list[tuple[Tensor, Tensor]]
Compare = Callable[[], Pairs] | None
Metric = Literal["max", "mean", "relative_rms"]
Kind = Literal["forward", "rollout", "cache", "vae", "text", "wan_vae", "wan_text", "statistic"]

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
}


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


def run_case(case: Case, dtype: torch.dtype) -> CaseResult:
    """Runs a case. A fault inside it is a failed case with a note, so that the others still run."""
    exact = dtype == torch.float32
    tolerance = (FLOAT32 if exact else BFLOAT16)[case.kind]
    metric: Metric = "max" if exact else "mean" if case.kind == "rollout" else "relative_rms"

    def failed(note: str, *, supported: bool) -> CaseResult:
        return CaseResult(case.name, metric, None, tolerance, None, None, False, supported, note)

    if case.compare is None:
        return failed("this version has no such case", supported=False)
    try:
        with torch.inference_mode():
            pairs = [(out.cpu().double(), golden.double()) for out, golden in case.compare()]
    except Exception as fault:
        return failed(f"{type(fault).__name__}: {fault}", supported=True)
    if wrong := [(out, golden) for out, golden in pairs if out.shape != golden.shape]:
        out, golden = wrong[0]
        return failed(f"shape {list(out.shape)}, expected {list(golden.shape)}", supported=True)
    errors = torch.cat([(out - golden).abs().flatten() for out, golden in pairs])
    size = torch.cat([golden.flatten() for _, golden in pairs]).norm()
    largest, mean = errors.max().item(), errors.mean().item()
    error = {"max": largest, "mean": mean, "relative_rms": (errors.norm() / size).item()}[metric]
    passed = error <= tolerance and (metric != "mean" or largest <= LARGEST_ROLLOUT_ERROR)
    note = f"and at most {LARGEST_ROLLOUT_ERROR} anywhere" if metric == "mean" else ""
    return CaseResult(case.name, metric, error, tolerance, largest, mean, passed, True, note)
