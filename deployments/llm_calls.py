"""Where the language model of the service is: asked anew for each prompt, for it may have been started anew."""

from __future__ import annotations

from ray import serve
from ray.serve.exceptions import RayServeException

from deployments.calls import PartDown, ask
from prompt_agent.backends import BackendError, Trouble
from prompt_agent.backends.chat import ChatServer

APP = "llm"
SECONDS = 1.0


async def find_llm() -> ChatServer:
    """The server of a replica. Raises BackendError while there is none."""
    try:
        handle = serve.get_app_handle(APP)
        server: ChatServer | None = await ask("language model", lambda: handle.address.remote(), SECONDS)
    except (PartDown, RayServeException) as error:
        message = "The language model is not there; a new one is started when it has died."
        raise BackendError(Trouble.unreachable, message) from error
    if server is None:
        raise BackendError(Trouble.starting, "The language model is still starting.")
    return server
