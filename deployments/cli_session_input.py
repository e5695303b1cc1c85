"""What people write for `longlive sessions`, read. Raises WrongInput, which says how to write it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from deployments.cli_input import WrongInput

if TYPE_CHECKING:
    from deployments.api.models import Size
    from deployments.client_calls import At


def when(at: float | None, at_frame: int | None) -> At:
    from deployments.api.models import AtFrame

    if at_frame is not None:
        return AtFrame(frame=at_frame)
    return "now" if at is None else at


def timed_prompt(text: str) -> tuple[float, str]:
    seconds, _, prompt = text.partition(":")
    try:
        return float(seconds), prompt
    except ValueError:
        raise WrongInput(f"--switch '{text}' is not SECONDS:PROMPT; write it as --switch 5.0:'it rains'") from None


def labels_of(given: list[str] | None) -> dict[str, str]:
    labels = {}
    for text in given or []:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise WrongInput(f"--label '{text}' is not NAME=VALUE; write it as --label show=demo")
        labels[name] = value
    return labels


def size_of(text: str) -> Size:
    from deployments.api.models import Size

    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise WrongInput(f"--size '{text}' is not WIDTHxHEIGHT; write it as --size 832x480")
    return Size(width=int(width), height=int(height))


def json_object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise WrongInput(f"--metadata '{text}' is no JSON object; write it as --metadata '{{\"scene\": 3}}'")
    return found
