"""The deployment of a language model: supervises a vLLM server, and tells where it is."""

from __future__ import annotations

import sys
import time
from typing import Any

import ray
from ray import serve

from deployments import logs
from deployments.llm_process import LlmProcess
from deployments.settings import Settings
from prompt_agent.backends.chat import ChatServer

START_SECONDS = 1800.0
"""A large model is downloaded first."""
HEALTH_CHECK_SECONDS = 2.0


class LlmDown(Exception):
    """The server has died, or hangs; the text has its last words."""


class LlmServer:
    """One server, on a GPU of its own where there is one. Serve replaces the replica when the server dies."""

    def __init__(self, settings: Settings, *, gpu: bool) -> None:
        logs.configure(settings.log_level)
        assert settings.llm is not None
        self._model = settings.llm
        python = sys.executable if settings.llm_python is None else str(settings.llm_python)
        self._process = LlmProcess(python, settings.llm, _host(), gpu=gpu)
        self._process.start()
        self._began = time.monotonic()
        self._ready = False

    async def address(self) -> ChatServer | None:
        """Where it answers; None while it starts."""
        return ChatServer(self._process.url, self._model, self._process.key) if self._ready else None

    async def check_health(self) -> None:
        """Raises LlmDown."""
        if not self._process.alive:
            raise LlmDown(f"vLLM has ended: {self._process.last_words}")
        healthy = await self._process.healthy()
        if not healthy and (self._ready or time.monotonic() - self._began > START_SECONDS):
            raise LlmDown(f"vLLM does not answer: {self._process.last_words}")
        self._ready = healthy

    def __del__(self) -> None:
        """Serve calls it where it stops a replica."""
        if process := getattr(self, "_process", None):
            process.stop()


def _host() -> str:
    """Where only this machine reaches it, if no other is in the cluster: not all of vLLM's routes want its key."""
    others = sum(node["Alive"] for node in ray.nodes()) > 1
    return ray.util.get_node_ip_address() if others else "127.0.0.1"


def build_llm(settings: Settings, gpus: int) -> serve.Application:
    """An application of its own: the service does not wait for it, and runs without it."""
    gpu = gpus > 0
    options: dict[str, Any] = {
        "num_replicas": 1,
        "max_ongoing_requests": 1000,
        "ray_actor_options": {"num_cpus": 0.01, "num_gpus": int(gpu)},
        "health_check_period_s": HEALTH_CHECK_SECONDS,
        "health_check_timeout_s": 30.0,
        "graceful_shutdown_timeout_s": 12.0,
    }
    deployment: serve.Deployment = serve.deployment(**options)(LlmServer)
    return deployment.bind(settings, gpu=gpu)
