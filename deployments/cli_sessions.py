"""`longlive sessions`: videos of a running service, begun, steered, watched and kept from the command line."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    tell,
    tell_created,
    users_words,
)
from deployments.cli_session_input import json_object, labels_of, size_of, timed_prompt

if TYPE_CHECKING:
    from deployments.client_calls import SessionOptions

WAIT_SECONDS = 60.0
OVER_SECONDS = 1.0  # a state that is read without a token may be a moment old


class Status(StrEnum):
    """`SessionState`, for the command line: that one costs pydantic."""

    queued = "queued"
    starting = "starting"
    live = "live"
    paused = "paused"
    ended = "ended"
    failed = "failed"


sessions_app = typer.Typer(rich_markup_mode=None, help="Begin, steer, watch and keep videos of a running service.")


@sessions_app.command("list")
def list_sessions(
    status: Annotated[
        list[Status] | None,
        typer.Option(help="Only those in this state. Repeatable."),
    ] = None,
    label: Annotated[list[str] | None, typer.Option(help="Only those with this label, NAME=VALUE. Repeatable.")] = None,
    url: UrlOption = URL,
    as_json: JsonOption = False,
) -> None:
    """Sessions, newest first; those that are over are kept for a day."""
    labels = labels_of(label)
    with service(url) as client:
        found = list(client.sessions(status or (), labels))
    if as_json:
        print(json.dumps({"data": [plain(view) for view in found]}, indent=2))
        return
    from rich.console import Console

    from deployments.cli_session_views import sessions_table

    Console().print(sessions_table(found) if found else "There are no such sessions.")


@sessions_app.command()
def create(
    prompt: Annotated[str, typer.Argument(help="What the video shows.")],
    switch: Annotated[
        list[str] | None, typer.Option(help='SECONDS:PROMPT, a new prompt from then on: 5.0:"it rains". Repeatable.')
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed and prompts give the same video.")] = None,
    fps: Annotated[int | None, typer.Option(help="Frames a second; fewer play the motion slower.")] = None,
    size: Annotated[str | None, typer.Option(help="WIDTHxHEIGHT, one that the model offers.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Length at which it ends by itself.")] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Not to be watched but kept, as fast as it goes; needs --seconds.")
    ] = False,
    record: Annotated[bool, typer.Option("--record", help="Keep the video, so that it can be exported.")] = False,
    queue: Annotated[bool, typer.Option("--queue", help="Wait for a free generator if all are taken.")] = False,
    label: Annotated[list[str] | None, typer.Option(help="NAME=VALUE, to find it by. Repeatable.")] = None,
    metadata: Annotated[str | None, typer.Option(help="A JSON object that is kept with it.")] = None,
    url: UrlOption = URL,
    as_json: JsonOption = False,
) -> None:
    """Begin a video. Who created it here can steer it here: its control token is remembered."""
    options: SessionOptions = {"script": [timed_prompt(text) for text in switch or []], "labels": labels_of(label)}
    if seed is not None:
        options["seed"] = seed
    if fps is not None:
        options["fps"] = fps
    if size is not None:
        options["size"] = size_of(size)
    if seconds is not None:
        options["max_seconds"] = seconds
    if offline:
        options["pace"] = "offline"
    if record:
        options["record"] = True
    if queue:
        options["queue"] = True
    if metadata is not None:
        options["metadata"] = json_object(metadata)
    with service(url) as client:
        created = client.create(prompt, **options).created
    assert created is not None
    tell_created(created, as_json)


@sessions_app.command()
def show(sid: IdArgument, url: UrlOption = URL, as_json: JsonOption = False) -> None:
    """A session and what became of its prompts."""
    with service(url) as client:
        session = client.session(sid)
        view, prompts = session.state(), session.prompts()
    if as_json:
        print(json.dumps(plain(view) | {"prompts": [plain(receipt) for receipt in prompts]}, indent=2))
        return
    from rich.console import Console

    from deployments.cli_session_views import prompts_table, session_table

    console = Console()
    console.print(session_table(view))
    if prompts:
        console.print(prompts_table(prompts))


@sessions_app.command()
def pause(sid: IdArgument, token: TokenOption = None, url: UrlOption = URL, as_json: JsonOption = False) -> None:
    """Have a video stand still, and free its generator for others."""
    with steering(url, sid, token) as session:
        session.pause()
        tell(session.wait("paused", timeout=WAIT_SECONDS), as_json)


@sessions_app.command()
def resume(sid: IdArgument, token: TokenOption = None, url: UrlOption = URL, as_json: JsonOption = False) -> None:
    """Have a paused video go on where it stopped."""
    with steering(url, sid, token) as session:
        tell(session.resume(), as_json)


@sessions_app.command()
def end(sid: IdArgument, token: TokenOption = None, url: UrlOption = URL, as_json: JsonOption = False) -> None:
    """End a video. Its history, and what was recorded, stay for a day."""
    from deployments.client_errors import ApiError, NotInTime
    from deployments.control_tokens import ControlTokens

    with steering(url, sid, token) as session:
        try:
            session.end()
            over = session.wait("ended", "failed", timeout=WAIT_SECONDS)
        except ApiError as refused:
            try:  # the token may be forgotten because the video is over already
                over = session.wait("ended", "failed", timeout=OVER_SECONDS)
            except NotInTime:
                raise refused from None
    ControlTokens().forget(sid)
    tell(over, as_json)


@sessions_app.command()
def watch(
    sid: IdArgument,
    out: Annotated[Path | None, typer.Option(help="Write the video to this mp4 file as it comes.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Stop after so much of it; else at its end.")] = None,
    url: UrlOption = URL,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON document on each line.")] = False,
) -> None:
    """Follow a video: how it runs, and what becomes of its prompts. Somebody who watches keeps it alive."""
    import asyncio

    from deployments.cli_watch import JsonLines, Terminal, follow

    if out is not None:
        _require_folder(out)
    with service(url) as client:
        client.session(sid).state()  # a wrong name, or no service, is told at once; later one may stay away for a while
    show = JsonLines() if as_json else Terminal()
    with users_words(), show:
        asyncio.run(follow(url, sid, show, out, seconds))


@sessions_app.command()
def export(
    sid: IdArgument,
    out: Annotated[Path, typer.Option(help="The file to write: .mp4, or the smaller .webp or .gif.")],
    start: Annotated[float | None, typer.Option("--from", help="Second of the video; else from its beginning.")] = None,
    end: Annotated[float | None, typer.Option("--to", help="Second of the video; else to what is recorded.")] = None,
    url: UrlOption = URL,
    as_json: JsonOption = False,
) -> None:
    """Fetch a stretch of a recorded video as a file, cut at the borders of chunks."""
    if out.suffix not in (".mp4", ".webp", ".gif"):
        raise WrongInput(f"--out {out}: give the name of an .mp4, a .webp or a .gif file")
    _require_folder(out)
    from rich.console import Console
    from rich.progress import Progress

    with (
        service(url) as client,
        Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as progress,
    ):
        session = client.session(sid)
        asked = session.export(out.suffix.removeprefix("."), start, end)
        bar = progress.add_task(out.name, total=1.0)
        for view in session.export_progress(asked.id):
            progress.update(bar, completed=view.progress)
        made = session.download(asked.id, out)
    if as_json:
        print_json(made)
        return
    print(f"{out}: {made.frames} frames, {made.start_seconds:.2f} to {made.end_seconds:.2f} s, {made.size} bytes")


def _require_folder(out: Path) -> None:
    if out.is_dir() or not out.parent.is_dir():
        raise WrongInput(f"--out {out}: give the name of a file in a folder that there is")
