"""Where the language model of the service is: asked anew for each prompt, for it may have been started anew."""

from __future__ import annotations

import asyncio
import re

from ray import serve
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from deployments.calls import PartDown, ask
from deployments.llm_supervisor import LlmState
from prompt_agent.backends import BackendError, Trouble
from prompt_agent.backends.chat import ChatServer

APP = "llm"
SECONDS = 1.0
_QUOTED = r"""(?<=['"])~?/[^'"]*/(?=[^'"/])"""  # which may have blanks
_PLAIN = r"""(?<![\w./~])(?:~|file://)?/(?:[^\s'"/]+/)*(?=[^\s'"/])"""
_FOLDERS = re.compile(f"{_QUOTED}|{_PLAIN}")


class LlmFinder:
    """Finds the server of a replica. Whoever asks ends what takes too long."""

    def __init__(self) -> None:
        self._handle: DeploymentHandle | None = None

    async def find(self) -> ChatServer:
        """Raises BackendError while there is none."""
        try:
            if self._handle is None:  # it asks the controller, and blocks while there is none
                self._handle = await asyncio.to_thread(serve.get_app_handle, APP)
            state = self._handle.state.remote
            told: LlmState = await ask("language model", lambda: state(), SECONDS)
        except (PartDown, RayServeException) as error:
            message = "The language model is not there; a new one is started when it has died."
            raise BackendError(Trouble.unreachable, message) from error
        if told.server is not None:
            return told.server
        if told.died:
            message = f"The language model has died, and is started again: {without_folders(told.died)}"
            raise BackendError(Trouble.died, message)
        raise BackendError(Trouble.starting, "The language model is still starting.")


def without_folders(text: str) -> str:
    """Of each absolute path in it only the last part: where the operator keeps things is nobody else's business."""
    return _FOLDERS.sub("", text)
