"""The Ray Serve application: which deployments there are, how many replicas, who calls whom."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from ray import serve
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy, RequestRouterConfig

from deployments import autoscaling
from deployments.draining import HEALTH_CHECK_SECONDS
from deployments.duty import STOP_SECONDS
from deployments.exporter import ExporterReplica
from deployments.generator_replica import GeneratorReplica
from deployments.ingress import LEAVING_SECONDS, Ingress
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


def build(
    settings: Settings, redis_url: str, snapshots_url: str, gpus: int, running: int | None = None
) -> serve.Application:
    """The application for these settings, with its sessions in the Redis at `redis_url`, on a cluster with `gpus`.

    What live sessions go on from is kept at `snapshots_url`, a Redis or an fsspec URL. `running`: generators that there
    are already, where a service that runs is updated. Raises CheckpointError if there is no such model.
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
        **_generators(settings, running),
        ray_actor_options={"num_cpus": _CPUS, "num_gpus": int(device == "cuda")},
        health_check_period_s=HEALTH_CHECK_SECONDS,
        graceful_shutdown_timeout_s=STOP_SECONDS,
    ).bind(settings, redis_url, snapshots_url, text_encoder, video_encoder)
    exporter = _deployment(ExporterReplica, name="Exporter").bind(settings, redis_url)
    ingress = serve.ingress()(Ingress)
    return _deployment(
        ingress,
        name="Ingress",
        num_replicas=settings.ingresses,
        health_check_period_s=HEALTH_CHECK_SECONDS,
        graceful_shutdown_timeout_s=LEAVING_SECONDS,
    ).bind(settings, redis_url, snapshots_url, generators, text_encoder, video_encoder, exporter)


def _generators(settings: Settings, running: int | None) -> dict[str, Any]:
    """How many, and where sessions go: options, for a change of the arguments would replace every replica."""
    least, most = settings.generator_range
    if least == most:
        return {"num_replicas": most, "request_router_config": RequestRouterConfig(**_ROUTING)}
    with warnings.catch_warnings():  # of `metrics_interval_s`: what shall replace it has no effect yet
        warnings.simplefilter("ignore", DeprecationWarning)
        scaling = AutoscalingConfig(
            min_replicas=least,
            initial_replicas=min(most, max(least, settings.generators if running is None else running)),
            max_replicas=most,
            upscale_delay_s=autoscaling.UP_SECONDS,
            downscale_delay_s=autoscaling.DOWN_SECONDS,
            downscale_to_zero_delay_s=autoscaling.EMPTY_SECONDS,
            metrics_interval_s=autoscaling.METRICS_SECONDS,
            look_back_period_s=autoscaling.LOOK_BACK_SECONDS,
            policy=AutoscalingPolicy(policy_function="deployments.autoscaling:Autoscaling"),
        )
    routing = RequestRouterConfig(**_ROUTING, request_router_kwargs={"pack": True})
    return {"autoscaling_config": scaling, "request_router_config": routing}


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
