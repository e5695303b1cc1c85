from __future__ import annotations

import psutil
import pytest
import torch

from deployments.measurement import CPU_SHARE, measure
from longlive.memory_plan import plan_memory
from longlive.model import Model
from longlive.precision import Precision


def test_a_session_costs_what_was_planned_and_replicas_share_what_is_free(untrained: Model) -> None:
    cost = measure(untrained, replicas=2)
    planned = plan_memory(untrained.config, Precision.of(untrained.dtype), "wan").session
    assert cost.session_bytes == pytest.approx(planned, rel=0.05)
    assert cost.chunk_seconds > 0
    assert 0 < cost.free_bytes <= CPU_SHARE * psutil.virtual_memory().total / 2
    assert not torch.is_inference_mode_enabled()
