"""The Ray Serve application: which deployments there are, how many replicas, who calls whom."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from functools import cache
from pathlib import Path
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
from deployments.prompt_expander import PromptExpander
from deployments.router import PinRouter
from deployments.settings import Settings
from deployments.text_encoder import TextEncoder
from deployments.video_encoder import VideoEncoder
from longlive.model_folder import find_model
from longlive.pipeline import default_precision
from longlive.precision import Precision

# A live viewer holds a call for as long as it watches, so calls are not what limits a replica: slots are.
_CALLS = 10_000
PARTS = ("TextEncoder", "PromptExpander", "VideoEncoder", "Exporter", "Generator", "Ingress")
"""The deployments, in the order in which they are updated."""

_COUNTS = ("generators", "min_generators", "max_generators", "ingresses", "video_encoders")
_OF_THE_PROMPT_AGENT = ("llm", "llm_python", "llm_url", "llm_model", "llm_key", "llm_dialect", "prompt_profile")
_CPUS = 0.01  # replicas share the cores; what one may do is decided by its slots
_ROUTING: dict[str, Any] = {
    "request_router_class": PinRouter,
    "request_routing_stats_period_s": 0.5,
    "request_routing_stats_timeout_s": 5.0,
}


def build(
    parts: Mapping[str, Settings],
    redis_url: str,
    snapshots_url: str,
    gpus: int,
    running: int | None = None,
) -> serve.Application:
    """The application, with its sessions in the Redis at `redis_url`, on a cluster with `gpus`.

    `parts` has the settings of each of PARTS. Where a service that runs is updated, the replicas of a part whose
    settings are the same go on; `running`: generators that there are already. What live sessions go on from is kept at
    `snapshots_url`, a Redis or an fsspec URL. Raises CheckpointError if there is no such model.
    """
    device = "cuda" if gpus >= parts["Generator"].generators else "cpu"
    parts = {part: _with_dtype(wanted, device) for part, wanted in parts.items()}
    text_encoder = _deployment(TextEncoder, parts).bind(parts["TextEncoder"])
    prompt_expander = _deployment(PromptExpander, parts).bind(parts["PromptExpander"])
    encoders = parts["VideoEncoder"].video_encoders
    video_encoder = _deployment(VideoEncoder, parts, num_replicas=encoders).bind()
    generators = _deployment(
        GeneratorReplica,
        parts,
        name="Generator",
        **_generators(parts["Generator"], running),
        ray_actor_options={"num_cpus": _CPUS, "num_gpus": int(device == "cuda")},
        health_check_period_s=HEALTH_CHECK_SECONDS,
        graceful_shutdown_timeout_s=STOP_SECONDS,
    ).bind(parts["Generator"], redis_url, snapshots_url, text_encoder, prompt_expander, video_encoder)
    exporter = _deployment(ExporterReplica, parts, name="Exporter").bind(parts["Exporter"], redis_url)
    ingress = serve.ingress()(Ingress)
    return _deployment(
        ingress,
        parts,
        name="Ingress",
        num_replicas=parts["Ingress"].ingresses,
        health_check_period_s=HEALTH_CHECK_SECONDS,
        graceful_shutdown_timeout_s=LEAVING_SECONDS,
    ).bind(
        parts["Ingress"],
        redis_url,
        snapshots_url,
        generators,
        text_encoder,
        prompt_expander,
        video_encoder,
        exporter,
    )


def _with_dtype(settings: Settings, device: str) -> Settings:
    """Settings that say the number format: two replicas that chose it by timing might not agree."""
    if settings.dtype is not None:
        return settings
    return settings.model_copy(update={"dtype": _fastest(settings.model, settings.weights, device)})


@cache
def _fastest(model: str, weights: Path | None, device: str) -> Precision:
    return default_precision(find_model(model, weights).config, torch.device(device))


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


def _version(part: str, settings: Settings) -> str:
    """Changes with what a part's replica uses, but not with how many there are, which Serve changes in place."""
    writes = part == PromptExpander.__name__
    given = settings.model_dump_json(exclude={"operator_token", *_COUNTS, *(() if writes else _OF_THE_PROMPT_AGENT)})
    if writes and settings.llm_key is not None:  # which a dump hides
        given += settings.llm_key.get_secret_value()
    return hashlib.sha256(given.encode()).hexdigest()[:16]


def _deployment(cls: type, parts: Mapping[str, Settings], **options: Any) -> serve.Deployment:
    common: dict[str, Any] = {
        "max_ongoing_requests": _CALLS,
        "ray_actor_options": {"num_cpus": _CPUS},
        "health_check_period_s": 2.0,
        "health_check_timeout_s": 60.0,
        "graceful_shutdown_timeout_s": 2.0,
        "graceful_shutdown_wait_loop_s": 0.1,
    }
    deployment: serve.Deployment = serve.deployment(**common | options)(cls)
    # Serve has no option for it any more, and would replace every replica at each `serve.run`.
    deployment._version = _version(deployment.name, parts[deployment.name])
    return deployment
