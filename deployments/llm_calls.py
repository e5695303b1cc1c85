"""Where the language model of the service is: asked anew for each prompt, for it may have been started anew."""

from __future__ import annotations

import asyncio

from ray import serve
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from deployments.calls import PartDown, ask
from prompt_agent.backends import BackendError, Trouble
from prompt_agent.backends.chat import ChatServer

APP = "llm"
SECONDS = 1.0


class LlmFinder:
    """Finds the server of a replica. Whoever asks ends what takes too long."""

    def __init__(self) -> None:
        self._handle: DeploymentHandle | None = None

    async def find(self) -> ChatServer:
        """Raises BackendError while there is none."""
        try:
            if self._handle is None:  # it asks the controller, and blocks while there is none
                self._handle = await asyncio.to_thread(serve.get_app_handle, APP)
            address = self._handle.address.remote
            server: ChatServer | None = await ask("language model", lambda: address(), SECONDS)
        except (PartDown, RayServeException) as error:
            message = "The language model is not there; a new one is started when it has died."
            raise BackendError(Trouble.unreachable, message) from error
        if server is None:
            raise BackendError(Trouble.starting, "The language model is still starting.")
        return server
