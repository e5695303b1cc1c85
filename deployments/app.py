"""The Ray Serve application: which deployments there are, how many replicas, who calls whom."""

from __future__ import annotations

from typing import Any

import torch
from ray import serve
from ray.serve.config import RequestRouterConfig

from deployments.exporter import ExporterReplica
from deployments.generator_replica import GeneratorReplica
from deployments.ingress import Ingress
from deployments.router import PinRouter
from deployments.settings import Settings
from deployments.text_encoder import TextEncoder
from deployments.video_encoder import VideoEncoder
from longlive.model_folder import find_model
from longlive.pipeline import default_precision

# A live viewer holds a call for as long as it watches, so calls are not what limits a replica: slots are.
_CALLS = 10_000
_CPUS = 0.01  # replicas share the cores; what one may do is decided by its slots
_ROUTING: dict[str, Any] = {
    "request_router_class": PinRouter,
    "request_routing_stats_period_s": 0.5,
    "request_routing_stats_timeout_s": 5.0,
}


def build(settings: Settings, redis_url: str, gpus: int) -> serve.Application:
    """The application for these settings, with its sessions in the Redis at `redis_url`, on a cluster with `gpus`.

    Raises CheckpointError if there is no such model.
    """
    device = "cuda" if gpus >= settings.generators else "cpu"
    if settings.dtype is None:
        # Chosen once, for two replicas that choose by timing may not agree.
        config = find_model(settings.model, settings.weights).config
        settings = settings.model_copy(update={"dtype": default_precision(config, torch.device(device))})
    text_encoder = _deployment(TextEncoder).bind(settings)
    video_encoder = _deployment(VideoEncoder, num_replicas=settings.video_encoders).bind()
    generators = _deployment(
        GeneratorReplica,
        name="Generator",
        num_replicas=settings.generators,
        ray_actor_options={"num_cpus": _CPUS, "num_gpus": int(device == "cuda")},
        request_router_config=RequestRouterConfig(**_ROUTING),
    ).bind(settings, redis_url, text_encoder, video_encoder)
    exporter = _deployment(ExporterReplica, name="Exporter").bind(settings, redis_url)
    ingress = serve.ingress()(Ingress)
    return _deployment(ingress, name="Ingress").bind(
        settings, redis_url, generators, text_encoder, video_encoder, exporter
    )


def _deployment(cls: type, **options: Any) -> serve.Deployment:
    common: dict[str, Any] = {
        "max_ongoing_requests": _CALLS,
        "ray_actor_options": {"num_cpus": _CPUS},
        "health_check_period_s": 2.0,
        "health_check_timeout_s": 60.0,
        "graceful_shutdown_timeout_s": 2.0,
        "graceful_shutdown_wait_loop_s": 0.1,
    }
    return serve.deployment(**common | options)(cls)
