"""What the commands of `longlive sessions` share: the service that is asked, how it is steered, what is told."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deployments.cli_input import WrongInput

if TYPE_CHECKING:
    from pydantic import BaseModel

    from deployments.api.models import CreatedSession
    from deployments.client import Client, SessionHandle
    from deployments.session import Session

URL = "http://127.0.0.1:8000"
PATIENCE = 3.0  # whoever types waits for an answer, or for the word that there is none

UrlOption = Annotated[str, typer.Option("--url", help="Where the service is.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
TokenOption = Annotated[
    str | None, typer.Option("--token", help="What steers it, if it was created elsewhere: its control_token.")
]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The session.")]


@contextmanager
def service(url: str) -> Iterator[Client]:
    """A client of the service, and every fault of its on one line."""
    from deployments.client import Client

    with users_words(), Client(url, patience=PATIENCE) as client:
        yield client


@contextmanager
def steering(url: str, sid: str, token: str | None) -> Iterator[SessionHandle]:
    from deployments.client_errors import ApiError
    from deployments.control_tokens import ControlTokens

    with service(url) as client:
        try:
            yield client.session(sid, token or ControlTokens().find(sid))
        except ApiError as error:
            if error.status not in (401, 403):
                raise
            view = client.session(sid).state()
            if view.status.over:
                raise WrongInput(f"session {sid} is {view.status}: nothing of it can be changed") from error
            told = f"only who created session {sid} steers it; give its control token with --token"
            raise WrongInput(told) from error


@contextmanager
def users_words() -> Iterator[None]:
    """What went wrong, as one line: exit 2 if other input would do, 1 if not."""
    from pydantic import ValidationError

    from deployments.client_errors import ApiError, ServiceError

    try:
        yield
    except ValidationError as error:
        faults = [(".".join(str(part) for part in fault["loc"]), fault["msg"]) for fault in error.errors()]
        told = [f"{where}: {what}" if where else what.removeprefix("Value error, ") for where, what in faults]
        raise WrongInput("; ".join(told)) from error
    except (ValueError, OSError) as error:
        raise WrongInput(" ".join(str(error).split())) from error
    except ServiceError as error:
        if isinstance(error, ApiError) and error.status < 500 and not error.temporary:
            raise WrongInput(str(error)) from error
        print(f"longlive: {' '.join(str(error).split())}", file=sys.stderr)
        raise typer.Exit(1) from error


def tell(view: Session, as_json: bool) -> None:
    if as_json:
        print_json(view)
        return
    from deployments.cli_session_views import session_line

    print(session_line(view))


def tell_created(created: CreatedSession, as_json: bool) -> None:
    """And remember what steers it."""
    remember(created.id, created.control_token)
    if as_json:
        print_json(created)
        return
    from deployments.cli_session_views import readable, session_line

    print(session_line(created))
    for warning in created.warnings:
        print(readable(warning), file=sys.stderr)


def remember(sid: str, token: str) -> None:
    from deployments.control_tokens import ControlTokens

    try:
        ControlTokens().keep(sid, token)
    except OSError as error:
        print(f"The control token cannot be remembered ({error}); steer with --token {token}", file=sys.stderr)


def print_json(model: BaseModel) -> None:
    print(json.dumps(plain(model), indent=2))


def plain(model: BaseModel) -> dict[str, Any]:
    return model.model_dump(mode="json", by_alias=True)
