"""What can be asked of the service, call by call: no input or output here, see `client_steps`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypedDict, get_args
from urllib.parse import quote

import httpx

from deployments.api.models import (
    AddPrompt,
    AtFrame,
    AtSeconds,
    CreatedSession,
    CreateSession,
    ForkSession,
    NewPrompt,
    PreviewPrompt,
    PromptAccepted,
    PromptList,
    PromptPreview,
    RenderSession,
    RewindSession,
    SessionPage,
    SessionView,
    Size,
    Suggestions,
    TimedPrompt,
    TimelinePage,
)
from deployments.client_errors import NotInTime, PromptNotApplied, SessionNotThere, Unreachable
from deployments.client_retries import Budget, Retries
from deployments.client_steps import Call, Give, Items, Read, Request, Series, Sleep, poll
from deployments.entries import ENTRY, AnyEntry, Expand, Mode, Pace
from deployments.model_view import ModelView
from deployments.receipts import PromptStatus, Receipt
from deployments.session import Session, SessionState

PAGE = 100
_ENTRIES = frozenset(kind.model_fields["type"].default for kind in get_args(AnyEntry))

At: TypeAlias = Literal["now"] | float | AtSeconds | AtFrame
"""When a prompt takes effect, or a fork begins. A number is a time of the video in seconds."""
States: TypeAlias = SessionState | str | Collection[SessionState | str]


class SessionOptions(TypedDict, total=False):
    """What may be said of a new session beside its prompt; `CreateSession` describes each.

    `script` takes TimedPrompts, or (seconds, text).
    """

    script: Sequence[TimedPrompt | tuple[float, str]]
    seed: int
    fps: int
    size: Size
    pace: Pace
    max_seconds: float
    record: bool
    queue: bool
    labels: Mapping[str, str]
    metadata: Mapping[str, Any]


class RenderOptions(TypedDict, total=False):
    """What may be said of a render; `RenderSession` describes each."""

    max_seconds: float
    queue: bool
    labels: Mapping[str, str]
    metadata: Mapping[str, Any]


class ForkOptions(TypedDict, total=False):
    """What may be said of a fork; `ForkSession` describes each. `prompt` may be just its text."""

    seed: int
    prompt: NewPrompt | str
    record: bool
    queue: bool
    labels: Mapping[str, str]
    metadata: Mapping[str, Any]


class SessionRef:
    """A session of a service, and the right to steer it if there is a token."""

    def __init__(self, retries: Retries, sid: str, control_token: str | None) -> None:
        self.id = sid
        self.control_token = control_token
        self.retries = retries

    def request(self, method: str, below: str = "", **rest: Any) -> Request:
        """A request to what lies `below` the session, with its token. Raises ValueError if its id can be none."""
        bearer = {"Authorization": f"Bearer {self.control_token}"} if self.control_token else {}
        headers = bearer | rest.pop("headers", {})
        return Request(method, f"/v1/sessions/{path_part(self.id)}{below}", headers=headers, **rest)


def path_part(name: str) -> str:
    """An id within a path. Raises ValueError for what would lead elsewhere: a server reads %2F as a slash, too."""
    if "/" in name or name in ("", ".", ".."):
        raise ValueError(f"'{name}' is no id; give it as the service did")
    return quote(name, safe="")


def create(retries: Retries, prompt: str, options: SessionOptions) -> Call[CreatedSession]:
    fields: dict[str, Any] = {"prompt": prompt, **options}
    fields["script"] = tuple(_timed(part) for part in options.get("script", ()))
    ask = CreateSession(**fields)
    body = ask.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    return (yield from retries.ask(CreatedSession, Request("POST", "/v1/sessions", body=body)))


def model(retries: Retries) -> Call[ModelView]:
    return (yield from retries.ask(ModelView, Request("GET", "/v1/model")))


def sessions(retries: Retries, status: States, labels: Mapping[str, str]) -> Series[SessionView]:
    params: dict[str, Any] = {
        "limit": PAGE,
        "status": [SessionState(each).value for each in ((status,) if isinstance(status, str) else status)],
        "label": [f"{name}:{value}" for name, value in labels.items()],
    }
    while True:
        page = yield from retries.ask(SessionPage, Request("GET", "/v1/sessions", params=params))
        for view in page.data:
            yield Give(view)
        if not page.has_more:
            return
        params["after"] = page.next


def state(session: SessionRef) -> Call[SessionView]:
    """The session as it is now."""
    return (yield from session.retries.ask(SessionView, session.request("GET")))


def prompt(
    session: SessionRef,
    text: str,
    at: At = "now",
    mode: Mode = "recache",
    blend_seconds: float | None = None,
    expand: Expand = "auto",
) -> Call[PromptAccepted]:
    """Change what the video shows, from the first chunk that begins at `at` or later. `wait_applied` tells when.

    `expand`: the text is a change ("make it rain"), of which a whole prompt is made; `auto`: unless it is one already.
    """
    ask = AddPrompt(text=text, at=_when(at), mode=mode, blend_seconds=blend_seconds, expand=expand)
    body = ask.model_dump(mode="json", exclude_none=True)
    return (yield from session.retries.ask(PromptAccepted, session.request("POST", "/prompts", body=body)))


def prompts(session: SessionRef) -> Call[list[Receipt]]:
    """Every follow-up prompt and what became of it, in the order in which they were accepted."""
    listed = yield from session.retries.ask(PromptList, session.request("GET", "/prompts"))
    return listed.data


def preview(session: SessionRef, text: str) -> Call[PromptPreview]:
    """The prompt that `expand` would make of a text now. Changes nothing: send it with `expand=False`."""
    ask = PreviewPrompt(text=text, session=session.id)
    request = Request("POST", "/v1/prompts/preview", body=ask.model_dump(mode="json", exclude_none=True))
    return (yield from session.retries.ask(PromptPreview, request))


def suggestions(session: SessionRef, count: int = 4) -> Call[list[str]]:
    """Texts that would change what the video shows now."""
    request = session.request("GET", "/suggestions", params={"count": count})
    return (yield from session.retries.ask(Suggestions, request)).data


def receipt(session: SessionRef, prompt_id: str) -> Call[Receipt]:
    """What became of one prompt."""
    return (yield from session.retries.ask(Receipt, session.request("GET", f"/prompts/{path_part(prompt_id)}")))


def cancel(session: SessionRef, prompt_id: str) -> Call[Receipt]:
    """Take back a prompt that still waits. It is cancelled once its receipt says so; it may just have taken effect."""
    return (yield from session.retries.ask(Receipt, session.request("DELETE", f"/prompts/{path_part(prompt_id)}")))


def pause(session: SessionRef) -> Call[SessionView]:
    """Have the video stand still and free its generator; `wait("paused")` returns when it does."""
    return (yield from session.retries.ask(SessionView, session.request("POST", "/pause", body={})))


def resume(session: SessionRef) -> Call[SessionView]:
    """Have a paused video go on. Raises ApiError `pool-full` when all generators are taken."""
    return (yield from session.retries.ask(SessionView, session.request("POST", "/resume", body={})))


def rewind(session: SessionRef, to: float | AtSeconds | AtFrame) -> Call[SessionView]:
    """Have the video go on as it was at this time; `session.rewound` among its events tells when it does.

    Raises ApiError `in-the-future`, and `forgotten` for a time that is not kept any more.
    """
    ask = RewindSession(to=AtSeconds(seconds=to) if isinstance(to, int | float) else to)
    body = ask.model_dump(mode="json")
    return (yield from session.retries.ask(SessionView, session.request("POST", "/rewind", body=body)))


def fork(session: SessionRef, at: At, options: ForkOptions) -> Call[CreatedSession]:
    prompt = options.get("prompt")
    fields: dict[str, Any] = {**options, "at": _when(at)}
    if isinstance(prompt, str):
        fields["prompt"] = NewPrompt(text=prompt)
    body = ForkSession(**fields).model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    return (yield from session.retries.ask(CreatedSession, session.request("POST", "/fork", body=body)))


def render(session: SessionRef, options: RenderOptions) -> Call[CreatedSession]:
    fields: dict[str, Any] = {**options}
    body = RenderSession(**fields).model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    return (yield from session.retries.ask(CreatedSession, session.request("POST", "/render", body=body)))


def end(session: SessionRef) -> Call[None]:
    """End the video. Repeatable; `wait("ended")` returns when it is over."""
    yield from session.retries.send(session.request("DELETE"))


def timeline(session: SessionRef, after: str = "") -> Series[AnyEntry]:
    """What was asked of the session and what became of it so far, oldest first, behind the entry `after`."""
    while True:
        params = {"limit": PAGE, "after": after}
        page = yield from session.retries.ask(TimelinePage, session.request("GET", "/timeline", params=params))
        for entry in page.data:
            yield Give(entry)
        if not page.has_more:
            return
        after = page.next or after


def updates(session: SessionRef, after: str = "") -> Series[AnyEntry | Session]:
    """Entries of the timeline as they happen, behind that with the id `after`, and between them the session as it is.

    Ends when the session is over. A broken connection is made anew: no entry is missed, and none comes twice.
    """
    budget = Budget(session.retries)
    while True:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": after} if after else {})
        request = session.request("GET", "/events", headers=headers)
        answer = yield from session.retries.open(request, budget)
        if answer.status_code == httpx.codes.NO_CONTENT:
            return
        events = _EventReader()
        try:
            while (part := (yield Read())) is not None:
                for name, data in events.feed(part):
                    budget.renew()
                    if name == "stats":
                        yield Give(Session.model_validate_json(data, extra="ignore"))
                    elif name in _ENTRIES:
                        entry = ENTRY.validate_json(data, extra="ignore")
                        after = entry.id
                        yield Give(entry)
        except httpx.TransportError as error:
            yield from budget.wait(Unreachable(session.retries.url, error))


def events(session: SessionRef, after: str = "") -> Series[AnyEntry]:
    """The timeline as it happens: all that was and that comes behind the entry `after`, until the session is over."""
    found = Items(updates(session, after))
    while (update := (yield from found.next())) is not None:
        if not isinstance(update, Session):
            yield Give(update)


def wait(session: SessionRef, *states: SessionState | str, timeout: float | None = None) -> Call[SessionView]:
    """The session, once it is in one of these states. Raises SessionNotThere if it is over in another, NotInTime."""
    wanted = {SessionState(each) for each in states}
    until = yield from _deadline(timeout)
    while (view := (yield from state(session))).status not in wanted:
        if view.status.over:
            raise SessionNotThere(f"Session {session.id} is {view.status}: {view.reason}.")
        yield from _next_look(until, f"Session {session.id} is still {view.status}.")
    return view


def wait_applied(session: SessionRef, prompt_id: str, timeout: float | None = None) -> Call[Receipt]:
    """The receipt of a prompt, once the video shows it. Raises PromptNotApplied, NotInTime.

    A live video is made as it is watched: somebody must watch for it to come to the prompt.
    """
    until = yield from _deadline(timeout)
    while (found := (yield from receipt(session, prompt_id))).status.pending:
        yield from _next_look(until, f"Prompt {prompt_id} is still {found.status}.")
    if found.status is not PromptStatus.applied:
        raise PromptNotApplied(prompt_id, found.reason or f"It was {found.status}.")
    return found


class _EventReader:
    """Server-sent events out of bytes. Not by `iter_lines`: that takes characters within a prompt for ends of lines."""

    def __init__(self) -> None:
        self._rest = b""
        self._fields: dict[str, str] = {}

    def feed(self, part: bytes) -> Iterable[tuple[str, str]]:
        """Name and data of each event that these bytes complete."""
        *lines, self._rest = (self._rest + part).split(b"\n")
        for line in lines:
            name, _, value = line.decode().rstrip("\r").partition(":")
            if name:
                self._fields[name] = value.removeprefix(" ")
            elif line.strip() == b"":
                fields, self._fields = self._fields, {}
                if "data" in fields:
                    yield fields.get("event", ""), fields["data"]


def _timed(part: TimedPrompt | tuple[float, str]) -> TimedPrompt:
    return part if isinstance(part, TimedPrompt) else TimedPrompt(at=AtSeconds(seconds=part[0]), text=part[1])


def _when(at: At) -> Literal["now"] | AtSeconds | AtFrame:
    return AtSeconds(seconds=at) if isinstance(at, int | float) else at


def _deadline(timeout: float | None) -> Call[float | None]:
    if timeout is None:
        return None
    now: float = yield Sleep(0.0)
    return now + timeout


def _next_look(until: float | None, but: str) -> Call[None]:
    now = yield from poll()
    if until is not None and now > until:
        raise NotInTime(but)
