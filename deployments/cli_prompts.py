"""`longlive sessions prompt` and `cancel`: what a video shows next."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from deployments.cli_input import WrongInput
from deployments.cli_session_calls import (
    URL,
    IdArgument,
    JsonOption,
    TokenOption,
    UrlOption,
    plain,
    print_json,
    service,
    steering,
)
from deployments.cli_session_input import when

if TYPE_CHECKING:
    from pydantic import BaseModel

    from deployments.api.models import PromptAccepted
    from deployments.client import SessionHandle
    from deployments.entries import Expand
    from deployments.receipts import Receipt


def add_prompts(sessions: typer.Typer) -> None:
    """The two commands, beside the others on sessions."""
    for command in (prompt, cancel):
        sessions.command()(command)


def prompt(
    sid: IdArgument,
    text: Annotated[str, typer.Argument(help="What the video shows from then on.")],
    at: Annotated[
        float | None, typer.Option(help="Seconds of the video from which on; else as soon as can be.")
    ] = None,
    at_frame: Annotated[int | None, typer.Option(help="Or the frame from which on.")] = None,
    mode: Annotated[
        Literal["recache", "keep", "cut", "blend"] | None,
        typer.Option(
            help="Flow over (the default), let the old prompt linger, begin a new scene, or go over in steps."
        ),
    ] = None,
    blend_seconds: Annotated[float | None, typer.Option(help="How long a blend takes.")] = None,
    expand: Annotated[
        bool | None,
        typer.Option(
            "--expand/--as-is", help="It is a change, to make a prompt of, or a prompt by itself. Not said: seen."
        ),
    ] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Only tell what would be made of it, as a change of what is shown now.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Until the video shows it.")] = False,
    token: TokenOption = None,
    url: UrlOption = URL,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print a JSON document on each line: one, or one for each of several changes."),
    ] = False,
) -> None:
    """Change what a video shows, now or later. A text that asks for several changes is as many prompts."""
    if preview:
        sent = {
            "--at": at is not None,
            "--at-frame": at_frame is not None,
            "--mode": mode is not None,
            "--blend-seconds": blend_seconds is not None,
            "--as-is": expand is False,
            "--wait": wait,
        }
        if given := [name for name, is_given in sent.items() if is_given]:
            raise WrongInput(f"--preview sends nothing to the video; leave out {' and '.join(given)}, or --preview")
        _preview(url, sid, token, text, as_json)
        return
    if at is not None and at_frame is not None:
        raise WrongInput("--at and --at-frame are two ways to say when; give one of them")
    expands: Expand = "auto" if expand is None else expand
    with steering(url, sid, token) as session:
        accepted = session.prompt(text, when(at, at_frame), mode or "recache", blend_seconds, expands)
        for receipt in _receipts(session, accepted, wait):
            _tell(receipt, as_json)


def _receipts(session: SessionHandle, accepted: PromptAccepted, wait: bool) -> Iterator[Receipt]:
    """Of the prompt and of those that follow it, each as soon as it is known."""
    yield session.wait_applied(accepted.prompt_id) if wait else accepted
    for each in accepted.then:
        yield session.wait_applied(each) if wait else session.receipt(each)


def _tell(receipt: Receipt, as_json: bool) -> None:
    if as_json:
        _print_line(receipt)
        return
    from deployments.cli_session_views import receipt_line

    print(receipt_line(receipt), flush=True)
    _warn(receipt.warnings)


def _preview(url: str, sid: str, token: str | None, text: str, as_json: bool) -> None:
    with service(url) as client:
        made = client.session(sid, token).preview(text)
    if as_json:
        _print_line(made)
        return
    from deployments.cli_session_views import readable

    print(readable(made.prompt))
    _warn(made.warnings)


def _print_line(model: BaseModel) -> None:
    print(json.dumps(plain(model)), flush=True)


def _warn(warnings: Iterable[str]) -> None:
    from deployments.cli_session_views import readable

    for warning in warnings:
        print(readable(warning), file=sys.stderr)


def cancel(
    sid: IdArgument,
    prompt_id: Annotated[str, typer.Argument(metavar="PROMPT_ID", help="As 'prompt' and 'show' tell it.")],
    token: TokenOption = None,
    url: UrlOption = URL,
    as_json: JsonOption = False,
) -> None:
    """Take back a prompt that still waits for its time."""
    with steering(url, sid, token) as session:
        receipt = session.cancel(prompt_id)
    if as_json:
        print_json(receipt)
        return
    from deployments.cli_session_views import receipt_line

    print(receipt_line(receipt))
