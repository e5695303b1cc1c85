"""The language model that the settings name by its URL."""

from __future__ import annotations

from deployments.settings import Settings
from prompt_agent.backends.chat import ChatBackend, ChatServer, always
from prompt_agent.form import Form


def backend_at_url(settings: Settings, form: Form) -> ChatBackend | None:
    """It, writing prompts of this form; none where the settings name no URL."""
    if settings.llm_url is None or settings.llm_model is None:
        return None
    key = None if settings.llm_key is None else settings.llm_key.get_secret_value()
    server = ChatServer(settings.llm_url, settings.llm_model, key)
    return ChatBackend(form, always(server), settings.llm_dialect)
