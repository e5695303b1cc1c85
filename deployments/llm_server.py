"""The deployment of a language model: supervises a vLLM server, and tells where it is."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import ray
from ray import serve

from deployments import logs
from deployments.llm_process import LlmProcess
from deployments.llm_supervisor import LlmState, LlmSupervisor
from deployments.settings import Settings


class LlmServer:
    """One server, on a GPU of its own where there is one. It is started anew when it dies, in the same replica."""

    def __init__(self, settings: Settings, *, gpu: bool) -> None:
        logs.configure(settings.log_level)
        model = settings.llm
        assert model is not None
        python = sys.executable if settings.llm_python is None else str(settings.llm_python)
        self._supervisor = LlmSupervisor(lambda: LlmProcess(python, model, _host(), gpu=gpu))
        self._supervising = asyncio.get_running_loop().create_task(self._supervisor.run())

    async def state(self) -> LlmState:
        """Where it answers, or why it does not."""
        return self._supervisor.state

    async def check_health(self) -> None:
        """Raises what ended the supervision: then Serve replaces the replica."""
        if self._supervising.done():
            self._supervising.result()

    def __del__(self) -> None:
        """Serve calls it where it stops a replica."""
        if supervising := getattr(self, "_supervising", None):
            supervising.cancel()
            self._supervisor.stop()


def _host() -> str:
    """Where only this machine reaches it, if no other is in the cluster."""
    others = sum(node["Alive"] for node in ray.nodes()) > 1
    return ray.util.get_node_ip_address() if others else "127.0.0.1"


def build_llm(settings: Settings, gpus: int) -> serve.Application:
    """An application of its own: the service does not wait for it, and runs without it."""
    gpu = gpus > 0
    options: dict[str, Any] = {
        "num_replicas": 1,
        "max_ongoing_requests": 1000,
        "ray_actor_options": {"num_cpus": 0.01, "num_gpus": int(gpu)},
        "health_check_timeout_s": 30.0,
        "graceful_shutdown_timeout_s": 12.0,
    }
    deployment: serve.Deployment = serve.deployment(**options)(LlmServer)
    return deployment.bind(settings, gpu=gpu)
