"""Whether a figure that was looked at again and again grows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def trend(hours: Sequence[float], values: Sequence[float]) -> dict[str, float | list[float]]:
    """First against last sixth of at least two values (ten minutes of an hour), and the slope: 95 % interval."""
    sixth = max(1, len(values) // 6)
    y, x = np.array(values, float), np.array(hours, float)
    centred = x - x.mean()
    slope = float((centred * y).sum() / (centred**2).sum())
    residual = y - y.mean() - slope * centred
    margin = 1.96 * math.sqrt(float((residual**2).sum()) / max(1, len(y) - 2) / float((centred**2).sum()))
    return {
        "first_sixth": round(float(y[:sixth].mean()), 4),
        "last_sixth": round(float(y[-sixth:].mean()), 4),
        "min": round(float(y.min()), 4),
        "max": round(float(y.max()), 4),
        "slope_per_hour": round(slope, 4) + 0.0,  # no "-0.0"
        "slope_per_hour_95": [round(slope - margin, 4) + 0.0, round(slope + margin, 4) + 0.0],
    }
