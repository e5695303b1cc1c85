"""How many generators there are is an option of the deployment, as the settings say."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.app import _deployment, _generators, _version
from deployments.autoscaling import Autoscaling
from deployments.router import PinRouter
from deployments.settings import Settings
from deployments.video_encoder import VideoEncoder


def test_a_fixed_number_of_generators_is_not_scaled_and_sessions_spread() -> None:
    options = _generators(Settings(generators=3), None)
    assert options["num_replicas"] == 3
    assert "autoscaling_config" not in options
    assert options["request_router_config"].get_request_router_class() is PinRouter
    assert options["request_router_config"].request_router_kwargs == {}


@pytest.mark.parametrize(("running", "initial"), [(None, 2), (5, 5), (0, 0), (9, 6)])
def test_a_range_of_generators_is_scaled_and_an_update_keeps_those_that_run(running: int | None, initial: int) -> None:
    settings = Settings(generators=2, min_generators=0, max_generators=6)
    options: dict[str, Any] = _generators(settings, running)
    assert "num_replicas" not in options
    scaling = options["autoscaling_config"]
    assert (scaling.min_replicas, scaling.initial_replicas, scaling.max_replicas) == (0, initial, 6)
    assert scaling.policy.get_policy() is Autoscaling
    assert options["request_router_config"].request_router_kwargs == {"pack": True}


def test_a_replica_is_replaced_for_other_settings_and_not_for_another_number_of_them() -> None:
    settings = Settings(generators=2)
    assert _version(settings) == _version(settings.model_copy(update={"generators": 3, "ingresses": 2}))
    assert _version(settings) != _version(settings.model_copy(update={"snapshot_mib": 65}))
    deployment = _deployment(VideoEncoder, {"VideoEncoder": settings})
    assert deployment._version == _version(settings)
    assert deployment.options(num_replicas=2)._version == _version(settings), "Serve keeps it"
