"""How many generators there are is an option of the deployment, as the settings say."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

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

    def version(**changes: object) -> str:
        return _version("VideoEncoder", settings.model_copy(update=changes))

    assert version() == version(generators=3, ingresses=2)
    assert version() != version(snapshot_mib=65)
    deployment = _deployment(VideoEncoder, {"VideoEncoder": settings})
    assert deployment._version == version()
    assert deployment.options(num_replicas=2)._version == version(), "Serve keeps it"


def test_another_language_model_replaces_nobody_but_who_asks_it() -> None:
    plain = Settings()
    server = {"llm_url": "http://127.0.0.1:1/v1", "llm_model": "m"}
    keys = [SecretStr("one"), SecretStr("two")]
    asked = [plain, *(plain.model_copy(update=server | {"llm_key": key}) for key in keys)]
    assert len({_version("PromptExpander", settings) for settings in asked}) == 3
    assert len({_version("Generator", settings) for settings in asked}) == 1
