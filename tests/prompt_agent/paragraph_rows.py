"""Changes in a row, as a viewer asks for them."""

from __future__ import annotations

from prompt_agent.expansion import Ask
from prompt_agent.form import Form


def after(paragraph_form: Form, scene: str, *requests: str) -> str:
    """The paragraph after these changes, one by one."""
    history: tuple[str, ...] = ()
    for request in requests:
        ask = Ask(scene, request, history)
        draft = paragraph_form.write(ask)
        assert paragraph_form.faults(draft, ask) == [], request
        scene, history = draft.prompt, (*history, draft.added)
    return scene
