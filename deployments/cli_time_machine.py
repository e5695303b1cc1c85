"""`longlive sessions rewind`, `fork` and `render`: back in the time of a video."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from deployments.cli_input import WrongInput
from deployments.cli_session_calls import (
    URL,
    IdArgument,
    JsonOption,
    TokenOption,
    UrlOption,
    service,
    steering,
    tell,
    tell_created,
)
from deployments.cli_session_input import json_object, labels_of, when

if TYPE_CHECKING:
    from deployments.client_calls import ForkOptions, RenderOptions

QueueOption = Annotated[bool, typer.Option("--queue", help="Wait for a free generator if all are taken.")]
LabelOption = Annotated[list[str] | None, typer.Option(help="NAME=VALUE, to find it by. Repeatable.")]
MetadataOption = Annotated[str | None, typer.Option(help="A JSON object that is kept with it.")]


def add_time_machine(sessions: typer.Typer) -> None:
    """The three commands, beside the others on sessions."""
    for command in (rewind, fork, render):
        sessions.command()(command)


def rewind(
    sid: IdArgument,
    to: Annotated[float | None, typer.Option(help="Second of the video.")] = None,
    to_frame: Annotated[int | None, typer.Option(help="Or frame of it.")] = None,
    token: TokenOption = None,
    url: UrlOption = URL,
    as_json: JsonOption = False,
) -> None:
    """Have a live video go on as it was earlier, with the prompt of that time."""
    if (to is None) == (to_frame is None):
        raise WrongInput("say where to go back to, with --to SECONDS or with --to-frame FRAME")
    from deployments.api.models import AtFrame, AtSeconds

    with steering(url, sid, token) as session:
        view = session.rewind(AtSeconds(seconds=to) if to is not None else AtFrame(frame=to_frame or 0))
        tell(view, as_json)


def fork(
    sid: IdArgument,
    at: Annotated[float | None, typer.Option(help="Second of the video; else where it is now.")] = None,
    at_frame: Annotated[int | None, typer.Option(help="Or frame of it.")] = None,
    prompt: Annotated[str | None, typer.Option(help="What the new video shows; else the same.")] = None,
    mode: Annotated[
        Literal["recache", "keep", "cut", "blend"], typer.Option(help="How the picture gets to that prompt.")
    ] = "recache",
    seed: Annotated[int | None, typer.Option(help="Noise of its own; else it keeps the seed.")] = None,
    record: Annotated[bool, typer.Option("--record", help="Keep the new video, so that it can be exported.")] = False,
    queue: QueueOption = False,
    label: LabelOption = None,
    metadata: MetadataOption = None,
    url: UrlOption = URL,
    as_json: JsonOption = False,
) -> None:
    """Begin another video, which goes on from what this one was; this one stays as it is."""
    if at is not None and at_frame is not None:
        raise WrongInput("--at and --at-frame are two ways to say when; give one of them")
    if prompt is None and mode != "recache":
        raise WrongInput(f"--mode {mode} says how to get to another prompt; give it with --prompt")
    from deployments.api.models import NewPrompt

    options: ForkOptions = {"labels": labels_of(label)}
    if seed is not None:
        options["seed"] = seed
    if record:
        options["record"] = True
    if queue:
        options["queue"] = True
    if metadata is not None:
        options["metadata"] = json_object(metadata)
    with service(url) as client:
        if prompt is not None:
            options["prompt"] = NewPrompt(text=prompt, mode=mode)
        created = client.session(sid).fork(when(at, at_frame), **options).created
    assert created is not None
    tell_created(created, as_json)


def render(
    sid: IdArgument,
    seconds: Annotated[float | None, typer.Option(help="Only so much from its beginning on; else all of it.")] = None,
    queue: QueueOption = False,
    label: LabelOption = None,
    metadata: MetadataOption = None,
    url: UrlOption = URL,
    as_json: JsonOption = False,
) -> None:
    """Make a video once more, offline and recorded: the same pictures, for export."""
    options: RenderOptions = {"labels": labels_of(label)}
    if seconds is not None:
        options["max_seconds"] = seconds
    if queue:
        options["queue"] = True
    if metadata is not None:
        options["metadata"] = json_object(metadata)
    with service(url) as client:
        created = client.session(sid).render(**options).created
    assert created is not None
    tell_created(created, as_json)
