"""The client over answers that are made up: what it sends again, what it raises, how it goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from itertools import repeat
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from deployments import client_retries, client_steps
from deployments.api.models import AtFrame, Links
from deployments.client import AsyncClient, Client, SessionHandle
from deployments.client_errors import (
    ApiError,
    ExportFailed,
    NotInTime,
    NotUnderstood,
    PromptNotApplied,
    SessionNotThere,
    Unreachable,
)
from deployments.client_retries import Budget, Retries
from deployments.entries import PromptApplied, SessionCreated, SessionEnded, SessionLive
from deployments.session import Session

URL = "http://127.0.0.1:1"
SID = "a1b2"
VIEW = {
    "id": SID,
    "status": "live",
    "prompt": "a ball",
    "seed": 7,
    "model": "tiny",
    "width": 64,
    "height": 64,
    "fps": 16,
    "created_at": 1,
    "last_event_id": "1-0",
    "links": Links.of(SID).model_dump(),
    "added_by_a_newer_service": True,
}
CREATED = SessionCreated(id="1-0", prompt="a ball", seed=7, model="tiny", width=64, height=64, fps=16)
LIVE, ENDED = SessionLive(id="2-0"), SessionEnded(id="4-0", reason="requested")
RAIN = PromptApplied(
    id="3-0", prompt_id="p", text="rain,\u2028then \x85 sun", chunk=2, frame=21, media_seconds=1.3125, latency_ms=9
)
Answer = httpx.Response | httpx.TransportError


class Script:
    """Answers requests with what a test says, in order; keeps what was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = iter(answers)
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = next(self.answers)
        if isinstance(answer, httpx.TransportError):
            raise answer
        return answer

    def client(self, patience: float = 30.0) -> Client:
        return Client(URL, patience=patience, http=httpx.Client(base_url=URL, transport=httpx.MockTransport(self)))

    def session(self, token: str | None = None) -> SessionHandle:
        return self.client().session(SID, token)


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_retries, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(client_steps, "POLL_SECONDS", 0.001)


def problem(status: int, code: str, retry_after: str | None = "0") -> httpx.Response:
    body = {"type": f"urn:{code}", "title": code, "status": status, "detail": f"It is {code}.", "code": code}
    return httpx.Response(status, json=body, headers={"Retry-After": retry_after} if retry_after else {})


def events(*entries: Any, cut: bool = False) -> httpx.Response:
    """Entries, and sessions as stats, as server-sent events; `cut` off in the middle of one more."""
    text = "retry: 1000\n\n: still here\n\nevent: something-newer\ndata: {}\n\n"
    for entry in entries:
        if isinstance(entry, Session):
            text += f"event: stats\ndata: {entry.model_dump_json()}\n\n"
        else:
            text += f"id: {entry.id}\nevent: {entry.type}\ndata: {entry.model_dump_json()}\n\n"
    return httpx.Response(200, stream=Parts(text.encode() + b"id: 9-9\nevent: session.li" * cut, cut))


class Parts(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body in parts of three bytes, which break events and characters."""

    def __init__(self, body: bytes, cut: bool) -> None:
        self.body, self.cut = body, cut

    def __iter__(self) -> Iterator[bytes]:
        yield from (self.body[at : at + 3] for at in range(0, len(self.body), 3))
        if self.cut:
            raise httpx.ReadError("cut")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self:
            yield part


def fragment(chunk: int) -> httpx.Response:
    first = max(0, 12 * chunk - 3)
    headers = {"X-Fragment": str(chunk), "X-First-Frame": str(first), "X-Frames": "12" if chunk else "9"}
    return httpx.Response(200, content=b"<%d>" % chunk, headers=headers)


def test_importing_the_client_loads_httpx_and_pydantic_and_nothing_heavy() -> None:
    code = "import sys, deployments.client; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"httpx", "pydantic"} <= set(loaded)
    heavy = {"torch", "ray", "fastapi", "starlette", "redis", "av", "numpy", "transformers", "longlive"}
    assert heavy & set(loaded) == set()


def test_a_request_is_sent_again_with_the_same_key_until_it_is_answered() -> None:
    script = Script(
        httpx.ConnectError("refused"),
        problem(409, "in-progress"),
        problem(503, "pool-full"),
        httpx.Response(502, text="bad gateway"),
        httpx.Response(500, text="the replica died"),
        httpx.Response(201, json=VIEW | {"control_token": "secret", "warnings": ["juggles"]}),
    )
    session = script.client().create("a ball", seed=7, labels={"team": "red"})
    assert (session.id, session.control_token) == (SID, "secret")
    assert session.created is not None
    assert session.created.warnings == ("juggles",)
    assert len(script.asked) == 6
    assert len({request.headers["Idempotency-Key"] for request in script.asked}) == 1
    assert [json.loads(request.content) for request in script.asked] == 6 * [
        {"prompt": "a ball", "seed": 7, "labels": {"team": "red"}}
    ]


def test_every_post_has_a_key_of_its_own() -> None:
    accepted = {"prompt_id": "p", "text": "rain", "status": "accepted", "requested_at": 1, "earliest_frame": 9}
    script = Script(*(httpx.Response(202, json=accepted) for _ in range(2)))
    session = script.session("secret")
    session.prompt("rain", at=2, mode="blend", blend_seconds=1.5)
    session.prompt("rain", at=AtFrame(frame=45))
    keys = [request.headers["Idempotency-Key"] for request in script.asked]
    assert len(set(keys)) == 2
    assert [request.headers["Authorization"] for request in script.asked] == 2 * ["Bearer secret"]
    assert json.loads(script.asked[0].content) == {
        "text": "rain", "at": {"seconds": 2.0}, "mode": "blend", "blend_seconds": 1.5, "expand": "auto",
    }  # fmt: skip
    assert json.loads(script.asked[1].content)["at"] == {"frame": 45}


def test_a_prompt_is_previewed_and_sent_as_it_is_and_more_are_suggested() -> None:
    previewed = {"prompt": "a wet ball", "added": "rain", "source": "rules", "ms": 3, "mode": "recache", "warnings": []}
    accepted = {"prompt_id": "p", "text": "a wet ball", "status": "accepted", "requested_at": 1, "earliest_frame": 9}
    script = Script(
        httpx.Response(200, json=previewed),
        httpx.Response(202, json=accepted),
        httpx.Response(200, json={"data": ["make it snow"]}),
    )
    session = script.session("t")
    session.prompt(session.preview("make it rain").prompt, expand=False)
    assert session.suggestions(1) == ["make it snow"]
    preview, sent, suggested = script.asked
    assert (preview.url.path, json.loads(preview.content)) == (
        "/v1/prompts/preview",
        {"text": "make it rain", "session": SID},
    )
    assert json.loads(sent.content)["expand"] is False
    assert (suggested.url.path, suggested.url.query) == (f"/v1/sessions/{SID}/suggestions", b"count=1")


def test_words_that_are_refused_are_an_error_that_says_why_and_an_agent_that_is_away_is_asked_again() -> None:
    refused = Script(problem(422, "prompt-unwanted", retry_after=None))
    with pytest.raises(ApiError, match="It is prompt-unwanted") as caught:
        refused.session().preview("behead it")
    assert (caught.value.status, caught.value.code, caught.value.temporary) == (422, "prompt-unwanted", False)
    assert len(refused.asked) == 1
    away = Script(
        problem(503, "part-down"), problem(503, "part-down"), httpx.Response(200, json={"data": ["make it snow"]})
    )
    assert away.session().suggestions() == ["make it snow"]
    for ask in (lambda session: session.preview("rain"), lambda session: session.suggestions()):
        with pytest.raises(ApiError, match="It is part-down") as caught:
            ask(Script(problem(503, "part-down", retry_after="3600")).session())
        assert caught.value.temporary


@pytest.mark.parametrize(
    "ask",
    [lambda session: session.preview("rain"), lambda session: session.suggestions()],
    ids=["preview", "suggestions"],
)
def test_a_preview_or_a_suggestion_of_another_shape_is_not_understood(ask: Callable[[SessionHandle], object]) -> None:
    with pytest.raises(NotUnderstood, match="use the service's version"):
        ask(Script(httpx.Response(200, json={"data": "make it snow"})).session())


def test_a_preview_of_no_words_is_not_sent() -> None:
    script = Script()
    with pytest.raises(ValidationError):
        script.session().preview(" ")
    assert script.asked == []


@pytest.mark.parametrize(
    "answer",
    [
        problem(404, "no-such-session", retry_after=None),
        problem(409, "in-the-past", retry_after=None),
        problem(500, "internal", retry_after=None),
        problem(503, "pool-full", retry_after="3600"),
    ],
)
def test_what_more_tries_cannot_change_is_raised_at_once(answer: httpx.Response) -> None:
    script = Script(answer)
    with pytest.raises(ApiError) as caught:
        script.session().prompt("rain")
    told = answer.json()
    assert (caught.value.status, caught.value.code) == (answer.status_code, told["code"])
    assert str(caught.value) == told["detail"]
    assert len(script.asked) == 1


def test_an_answer_that_is_no_problem_is_an_error_all_the_same() -> None:
    with pytest.raises(ApiError, match="answered 418: I am a teapot") as caught:
        Script(httpx.Response(418, text="I am\na teapot")).session().state()
    assert (caught.value.status, caught.value.code) == (418, "i'm-a-teapot")


def test_tries_end_when_patience_does_and_the_last_error_is_told() -> None:
    script = Script(*repeat(httpx.ConnectError("refused"), 9))
    with pytest.raises(Unreachable, match=r"No service answers at http://127.0.0.1:1: refused\. Start one"):
        script.client(patience=0).session(SID).state()
    assert len(script.asked) == 1


def test_waits_double_up_to_a_bound_with_jitter_and_heed_what_the_service_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_retries, "FIRST_WAIT", 0.25)
    lost = Unreachable(URL, OSError())

    def waits(jitter: float, *problems: Exception) -> list[float]:
        budget = Budget(Retries(URL, 1000, lambda: jitter))
        return [next(budget.wait(each)).seconds for each in problems]  # type: ignore[arg-type,union-attr]

    assert waits(0.5, *repeat(lost, 7)) == [0.25, 0.5, 1, 2, 4, 4, 4]
    assert waits(0.0, lost, lost) == [0.125, 0.25]
    assert waits(1.0, lost, lost) == [0.375, 0.75]
    assert waits(0.5, ApiError(503, "pool-full", "", retry_after=7.0), lost) == [7.0, 0.5]


def test_another_answer_than_the_api_gives_is_not_understood() -> None:
    with pytest.raises(NotUnderstood, match="answered with what this client does not know"):
        Script(httpx.Response(200, text="<html>")).session().state()


def test_what_cannot_be_asked_is_not_sent() -> None:
    script = Script()
    with pytest.raises(ValidationError, match="max_seconds"):
        script.client().create("a ball", pace="offline")
    with pytest.raises(ValidationError, match="leave it out"):
        script.session().prompt("rain", blend_seconds=2)
    assert script.asked == []


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a?b#c", "a%3Fb%23c"),
        ("a%2Fb", "a%252Fb"),
        ("ä ö", "%C3%A4%20%C3%B6"),
    ],
)
def test_whatever_an_id_is_it_stays_one_part_of_the_path(name: str, path: str) -> None:
    script = Script(*repeat(problem(404, "no-such-session", retry_after=None), 5))
    session = script.client().session(name)
    for call in (session.state, lambda: session.receipt(name), lambda: session.cancel(name)):
        with pytest.raises(ApiError):
            call()
    with pytest.raises(ApiError):
        next(session.export_progress(name))
    root = f"/v1/sessions/{path}"
    asked = [request.url.raw_path.decode() for request in script.asked]
    assert asked == [root, *(2 * [f"{root}/prompts/{path}"]), f"{root}/exports/{path}"]


@pytest.mark.parametrize("name", ["../model", "a/prompts", "..", ".", ""])
def test_what_would_lead_elsewhere_is_no_id(name: str, tmp_path: Path) -> None:
    script = Script()
    session = script.session()
    calls = (
        script.client().session(name).state,
        lambda: session.cancel(name),
        lambda: session.download(name, tmp_path / "clip.mp4"),
    )
    for call in calls:
        with pytest.raises(ValueError, match="is no id"):
            call()
    assert script.asked == []


def test_a_list_goes_on_through_all_its_pages() -> None:
    def page(sid: str, following: str | None) -> httpx.Response:
        return httpx.Response(200, json={"data": [VIEW | {"id": sid}], "has_more": bool(following), "next": following})

    script = Script(page("a", "cursor"), problem(503, "store-unavailable"), page("b", None))
    found = script.client().sessions(["live", "paused"], {"team": "red", "shot": "3"})
    assert [view.id for view in found] == ["a", "b"]
    assert [request.url.params.get("after") for request in script.asked] == [None, "cursor", "cursor"]
    assert script.asked[2].url.params.get_list("status") == ["live", "paused"]
    assert script.asked[2].url.params.get_list("label") == ["team:red", "shot:3"]


def test_events_go_on_after_a_cut_and_none_is_missed_or_comes_twice() -> None:
    script = Script(
        events(CREATED, LIVE, cut=True),
        httpx.ConnectError("refused"),
        problem(503, "store-unavailable"),
        events(RAIN),
        events(ENDED),
        httpx.Response(204),
    )
    assert list(script.session().events()) == [CREATED, LIVE, RAIN, ENDED]
    cursors = [request.headers.get("Last-Event-ID") for request in script.asked]
    assert cursors == [None, "2-0", "2-0", "2-0", "3-0", "4-0"]


def test_updates_hold_the_session_between_the_events() -> None:
    session = Session.model_validate(VIEW, extra="ignore")
    script = Script(events(CREATED, session, LIVE), httpx.Response(204))
    assert list(script.session().updates()) == [CREATED, session, LIVE]


def test_who_stops_listening_leaves_no_connection_open() -> None:
    answer = events(CREATED, LIVE, RAIN)
    for entry in Script(answer).session().events():
        assert entry == CREATED
        break
    assert answer.is_closed


async def test_who_stops_listening_leaves_no_connection_open_when_it_awaits() -> None:
    answer = events(CREATED, LIVE, RAIN)
    http = httpx.AsyncClient(base_url=URL, transport=httpx.MockTransport(Script(answer)))
    async with AsyncClient(URL, http=http) as client, aclosing(client.session(SID).events()) as heard:
        assert await anext(heard) == CREATED
        assert not answer.is_closed
    assert answer.is_closed
    await http.aclose()


def test_a_cursor_that_was_trimmed_is_an_error_and_not_a_gap() -> None:
    with pytest.raises(ApiError) as caught:
        list(Script(problem(410, "cursor-gone", retry_after=None)).session().events(after="1-0"))
    assert caught.value.code == "cursor-gone"


def test_events_of_a_service_that_stays_away_end_with_an_error() -> None:
    script = Script(events(CREATED, cut=True), *repeat(httpx.ConnectError("refused"), 9))
    followed = script.client(patience=0.02).session(SID).events()
    assert next(followed) == CREATED
    with pytest.raises(Unreachable):
        next(followed)
    assert 1 < len(script.asked) < 9


def test_fragments_say_what_was_skipped_and_end_with_the_video() -> None:
    script = Script(
        fragment(3),
        httpx.Response(204),
        fragment(4),
        httpx.ReadError("cut"),
        fragment(7),
        problem(400, "bad-cursor", retry_after=None),
        fragment(7),
        fragment(8),
        problem(410, "fragments-over", retry_after=None),
    )
    found = list(script.session().fragments())
    assert [(each.chunk, each.skipped, each.data) for each in found] == [
        (3, 0, b"<3>"), (4, 0, b"<4>"), (7, 2, b"<7>"), (8, 0, b"<8>"),
    ]  # fmt: skip
    assert (found[1].first_frame, found[1].frames) == (45, 12)
    asked = [request.url.params["after"] for request in script.asked]
    assert asked == ["-1", "3", "3", "4", "4", "7", "-1", "7", "8"]


def receipt(status: str, **more: Any) -> httpx.Response:
    return httpx.Response(200, json={"prompt_id": "p", "text": "rain", "status": status, "requested_at": 1} | more)


def test_a_prompt_is_waited_for_until_the_video_shows_it() -> None:
    script = Script(receipt("accepted"), receipt("scheduled", chunk=2, frame=21), receipt("applied", chunk=2, frame=21))
    assert script.session().wait_applied("p").frame == 21


@pytest.mark.parametrize(("status", "why"), [("refused", "The video ended."), ("cancelled", "It was cancelled.")])
def test_a_prompt_that_never_takes_effect_is_an_error(status: str, why: str) -> None:
    script = Script(receipt("accepted"), receipt(status, reason=why if status == "refused" else None))
    with pytest.raises(PromptNotApplied, match=why):
        script.session().wait_applied("p")


def test_waiting_ends_in_time_or_when_it_is_in_vain() -> None:
    script = Script(*repeat(httpx.Response(200, json=VIEW), 99))
    with pytest.raises(NotInTime, match="still live"):
        script.session().wait("paused", timeout=0.01)
    over = httpx.Response(200, json=VIEW | {"status": "failed", "reason": "The generator is gone"})
    with pytest.raises(SessionNotThere, match="failed: The generator is gone"):
        Script(over).session().wait("live")


EXPORT = {
    "id": "e", "session": SID, "format": "mp4", "start_seconds": 0.0, "end_seconds": 1.0, "first_chunk": 0,
    "end_chunk": 2, "frames": 21, "fps": 16, "created_at": 1, "links": {"self": "/e", "content": "/e/content"},
}  # fmt: skip


def export(status: str, progress: float, **more: Any) -> httpx.Response:
    return httpx.Response(200, json=EXPORT | {"status": status, "progress": progress} | more)


def test_a_download_waits_for_its_file_and_goes_on_where_it_broke(tmp_path: Path) -> None:
    script = Script(
        export("queued", 0),
        export("running", 0.5),
        export("completed", 1, size=8),
        httpx.Response(206, stream=Parts(b"abcdef", cut=True)),
        httpx.ConnectError("refused"),
        httpx.Response(206, stream=Parts(b"gh", cut=False)),
    )
    assert script.session().download("e", tmp_path / "clip.mp4").frames == 21
    assert (tmp_path / "clip.mp4").read_bytes() == b"abcdefgh"
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]
    assert [request.headers.get("Range") for request in script.asked[3:]] == ["bytes=0-", "bytes=6-", "bytes=6-"]


def test_a_download_whose_ranges_nobody_knows_begins_anew(tmp_path: Path) -> None:
    script = Script(
        export("completed", 1, size=6),
        httpx.Response(200, stream=Parts(b"abc", cut=True)),
        httpx.Response(200, stream=Parts(b"abcdef", cut=False)),
    )
    script.session().download("e", tmp_path / "clip.mp4")
    assert (tmp_path / "clip.mp4").read_bytes() == b"abcdef"


def test_a_download_that_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    script = Script(
        export("completed", 1, size=6),
        httpx.Response(206, stream=Parts(b"abc", cut=True)),
        problem(404, "no-such-export", retry_after=None),
    )
    with pytest.raises(ApiError, match="no-such-export"):
        script.session().download("e", tmp_path / "clip.mp4")
    assert list(tmp_path.iterdir()) == []


def test_so_many_seconds_of_a_video_are_whole_chunks() -> None:
    script = Script(httpx.Response(200, json=VIEW), *(fragment(chunk) for chunk in range(3, 9)))
    assert [each.chunk for each in script.session().fragments(seconds=1.5)] == [3, 4]
    assert len(script.asked) == 3


def test_an_export_tells_how_far_it_is_and_why_it_failed() -> None:
    script = Script(export("running", 0.5), export("running", 0.5), export("failed", 0.5, reason="The store is full."))
    progress = script.session().export_progress("e")
    assert [next(progress).status, next(progress).status] == ["running", "failed"]
    with pytest.raises(ExportFailed, match="The store is full"):
        next(progress)


def test_pictures_without_the_library_for_them_are_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    frames = Script(httpx.Response(200, content=b"init"), fragment(0)).session().frames()
    with pytest.raises(ImportError, match="pip install av"):
        next(frames)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "http://localhost:8000", "http://[::1]:8000"])
def test_proxies_of_the_environment_are_not_asked_for_this_machine(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    for name in ("http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://proxy.invalid:3128")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert not Client(url).http.trust_env
    assert Client("http://video.example").http.trust_env


async def test_the_awaiting_client_does_the_same() -> None:
    script = Script(
        httpx.ConnectError("refused"),
        httpx.Response(201, json=VIEW | {"control_token": "secret"}),
        events(CREATED, LIVE, cut=True),
        events(RAIN),
        httpx.Response(204),
        fragment(0),
        problem(410, "fragments-over", retry_after=None),
    )
    http = httpx.AsyncClient(base_url=URL, transport=httpx.MockTransport(script))
    async with AsyncClient(URL, http=http) as client:
        session = await client.create("a ball")
        assert session.control_token == "secret"
        assert [entry async for entry in session.events()] == [CREATED, LIVE, RAIN]
        assert [each.chunk async for each in session.fragments()] == [0]
    assert not http.is_closed, "it is the caller's"
    await http.aclose()


def test_what_goes_back_in_a_video_is_asked_as_the_service_wants_it() -> None:
    created = VIEW | {"id": "c3", "control_token": "k"}
    answers = [httpx.Response(202, json=VIEW), *(httpx.Response(201, json=created) for _ in range(3))]
    script = Script(*answers)
    session = script.session("t")
    assert session.rewind(12.5).id == SID
    fork = session.fork(AtFrame(frame=9), prompt="it snows", seed=8, labels={"take": "2"})
    assert (fork.id, fork.control_token, fork.created is not None) == ("c3", "k", True)
    session.fork()
    session.render(max_seconds=3)
    asked = [(request.url.path.rpartition("/")[2], json.loads(request.content)) for request in script.asked]
    assert asked == [
        ("rewind", {"to": {"seconds": 12.5}}),
        ("fork", {"at": {"frame": 9}, "prompt": {"text": "it snows"}, "seed": 8, "labels": {"take": "2"}}),
        ("fork", {}),
        ("render", {"max_seconds": 3.0}),
    ]


def test_a_client_goes_on_where_it_was_when_the_process_behind_the_proxy_dies() -> None:
    script = Script(
        fragment(3),
        httpx.Response(500, text="Internal Server Error"),
        httpx.RemoteProtocolError("peer closed connection"),
        httpx.ConnectError("refused"),
        problem(503, "part-down"),
        fragment(4),
        problem(410, "service-stops"),
        fragment(5),
        problem(410, "fragments-over", retry_after=None),
    )
    found = list(script.session().fragments())
    assert [(each.chunk, each.skipped) for each in found] == [(3, 0), (4, 0), (5, 0)]
    assert [request.url.params["after"] for request in script.asked] == ["-1", "3", "3", "3", "3", "3", "4", "4", "5"]


def test_events_go_on_behind_a_go_away() -> None:
    leaving = events(CREATED, LIVE)
    assert isinstance(leaving.stream, Parts)
    leaving.stream.body += b'event: goAway\ndata: {"type": "goAway", "seconds": 0}\n\n'
    script = Script(leaving, events(ENDED), httpx.Response(204))
    assert list(script.session().events()) == [CREATED, LIVE, ENDED]
    assert [request.headers.get("Last-Event-ID") for request in script.asked] == [None, "2-0", "4-0"]
