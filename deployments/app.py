"""The Ray Serve application: which deployments there are, how many replicas, who calls whom."""

from __future__ import annotations

from typing import Any

from ray import serve
from ray.serve.config import RequestRouterConfig

from deployments.generator_replica import GeneratorReplica
from deployments.ingress import Ingress
from deployments.router import PinRouter
from deployments.settings import Settings
from deployments.text_encoder import TextEncoder
from deployments.video_encoder import VideoEncoder

# A live viewer holds a call for as long as it watches, so calls are not what limits a replica: slots are.
_CALLS = 10_000
_ROUTING: dict[str, Any] = {
    "request_router_class": PinRouter,
    "request_routing_stats_period_s": 0.5,
    "request_routing_stats_timeout_s": 5.0,
}


def build(settings: Settings, redis_url: str) -> serve.Application:
    """The application for these settings, with its sessions in the Redis at `redis_url`."""
    text_encoder = _deployment(TextEncoder).bind(settings)
    video_encoder = _deployment(VideoEncoder, num_replicas=settings.video_encoders).bind()
    generators = _deployment(
        GeneratorReplica,
        num_replicas=settings.generators,
        request_router_config=RequestRouterConfig(**_ROUTING),
    ).bind(settings, redis_url, text_encoder, video_encoder)
    ingress = serve.ingress()(Ingress)
    return _deployment(ingress, name="Ingress").bind(settings, redis_url, generators, text_encoder, video_encoder)


def _deployment(cls: type, **options: Any) -> serve.Deployment:
    return serve.deployment(
        max_ongoing_requests=_CALLS,
        ray_actor_options={"num_cpus": 0.01},
        health_check_period_s=2.0,
        health_check_timeout_s=60.0,
        graceful_shutdown_timeout_s=2.0,
        graceful_shutdown_wait_loop_s=0.1,
        **options,
    )(cls)
