"""A client of the service, for programs: `Client` blocks, `AsyncClient` awaits; both can the same.

    with Client("http://127.0.0.1:8000") as client:
        session = client.create("a red ball hops in a meadow by day", script=[(5.0, "it starts to rain")])
        session.save("clip.mp4", seconds=10)
        session.end()

Needs httpx and pydantic; pictures as arrays need PyAV and numpy. Requests that fail for the moment are sent again, none
counts twice. Raises the errors of `client_errors`, and ValueError, pydantic's or its own, for what cannot be asked.
"""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, Unpack

import httpx

from deployments import client_calls as calls
from deployments import client_media as media
from deployments.api.models import CreatedSession, SessionView
from deployments.client_calls import At, ForkOptions, RenderOptions, SessionOptions, SessionRef, States
from deployments.client_retries import Retries
from deployments.client_steps import Awaiting, Blocking, Call, Series
from deployments.model_view import ModelView

PATIENCE = 30.0
TIMEOUT = httpx.Timeout(10.0, read=60.0)  # the service holds a request for new fragments up to 20 s

P = ParamSpec("P")
T = TypeVar("T")


def _blocking(call: Callable[Concatenate[SessionRef, P], Call[T]]) -> Callable[Concatenate[SessionHandle, P], T]:
    @wraps(call)
    def run(self: SessionHandle, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._steps.run(call(self, *args, **kwargs))

    return run


def _each(
    series: Callable[Concatenate[SessionRef, P], Series[T]],
) -> Callable[Concatenate[SessionHandle, P], Generator[T, None, None]]:
    @wraps(series)
    def iterate(self: SessionHandle, /, *args: P.args, **kwargs: P.kwargs) -> Generator[T, None, None]:
        return self._steps.iterate(series(self, *args, **kwargs))

    return iterate


def _awaiting(
    call: Callable[Concatenate[SessionRef, P], Call[T]],
) -> Callable[Concatenate[AsyncSessionHandle, P], Coroutine[Any, Any, T]]:
    @wraps(call)
    async def run(self: AsyncSessionHandle, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._steps.run(call(self, *args, **kwargs))

    return run


def _async_each(
    series: Callable[Concatenate[SessionRef, P], Series[T]],
) -> Callable[Concatenate[AsyncSessionHandle, P], AsyncGenerator[T, None]]:
    @wraps(series)
    def iterate(self: AsyncSessionHandle, /, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[T, None]:
        return self._steps.iterate(series(self, *args, **kwargs))

    return iterate


class SessionHandle(SessionRef):
    """A session. What steers it needs its `control_token`, which only its creator has; all else is for everybody.

    `created` is what the service answered when it was created, with warnings about the prompt; None for another's.
    """

    def __init__(
        self, steps: Blocking, retries: Retries, sid: str, token: str | None, created: CreatedSession | None = None
    ) -> None:
        super().__init__(retries, sid, token)
        self._steps = steps
        self.created = created

    state = _blocking(calls.state)
    prompt = _blocking(calls.prompt)
    prompts = _blocking(calls.prompts)
    preview = _blocking(calls.preview)
    suggestions = _blocking(calls.suggestions)
    receipt = _blocking(calls.receipt)
    cancel = _blocking(calls.cancel)
    pause = _blocking(calls.pause)
    resume = _blocking(calls.resume)
    rewind = _blocking(calls.rewind)
    end = _blocking(calls.end)
    wait = _blocking(calls.wait)
    wait_applied = _blocking(calls.wait_applied)
    init_segment = _blocking(media.init_segment)
    save = _blocking(media.save)
    export = _blocking(media.export)
    exports = _blocking(media.exports)
    download = _blocking(media.download)
    timeline = _each(calls.timeline)
    updates = _each(calls.updates)
    events = _each(calls.events)
    fragments = _each(media.fragments)
    frames = _each(media.frames)
    export_progress = _each(media.export_progress)

    def fork(self, at: At = "now", **options: Unpack[ForkOptions]) -> SessionHandle:
        """Another video, which goes on from what this one is, or was at a time. Raises ApiError as `rewind` does."""
        return self._other(self._steps.run(calls.fork(self, at, options)))

    def render(self, **options: Unpack[RenderOptions]) -> SessionHandle:
        """The same video once more, made offline and recorded."""
        return self._other(self._steps.run(calls.render(self, options)))

    def _other(self, created: CreatedSession) -> SessionHandle:
        return SessionHandle(self._steps, self.retries, created.id, created.control_token, created)


class AsyncSessionHandle(SessionRef):
    """`SessionHandle`, awaited."""

    def __init__(
        self, steps: Awaiting, retries: Retries, sid: str, token: str | None, created: CreatedSession | None = None
    ) -> None:
        super().__init__(retries, sid, token)
        self._steps = steps
        self.created = created

    state = _awaiting(calls.state)
    prompt = _awaiting(calls.prompt)
    prompts = _awaiting(calls.prompts)
    preview = _awaiting(calls.preview)
    suggestions = _awaiting(calls.suggestions)
    receipt = _awaiting(calls.receipt)
    cancel = _awaiting(calls.cancel)
    pause = _awaiting(calls.pause)
    resume = _awaiting(calls.resume)
    rewind = _awaiting(calls.rewind)
    end = _awaiting(calls.end)
    wait = _awaiting(calls.wait)
    wait_applied = _awaiting(calls.wait_applied)
    init_segment = _awaiting(media.init_segment)
    save = _awaiting(media.save)
    export = _awaiting(media.export)
    exports = _awaiting(media.exports)
    download = _awaiting(media.download)
    timeline = _async_each(calls.timeline)
    updates = _async_each(calls.updates)
    events = _async_each(calls.events)
    fragments = _async_each(media.fragments)
    frames = _async_each(media.frames)
    export_progress = _async_each(media.export_progress)

    async def fork(self, at: At = "now", **options: Unpack[ForkOptions]) -> AsyncSessionHandle:
        """Another video, which goes on from what this one is, or was at a time. Raises ApiError as `rewind` does."""
        return self._other(await self._steps.run(calls.fork(self, at, options)))

    async def render(self, **options: Unpack[RenderOptions]) -> AsyncSessionHandle:
        """The same video once more, made offline and recorded."""
        return self._other(await self._steps.run(calls.render(self, options)))

    def _other(self, created: CreatedSession) -> AsyncSessionHandle:
        return AsyncSessionHandle(self._steps, self.retries, created.id, created.control_token, created)


class Client:
    """A service. A request is tried again for `patience` seconds of waiting before its error is raised; 0: never.

    `http`: an httpx client of your own with the service as its base URL, for proxies or certificates; it stays open.
    """

    def __init__(self, url: str, *, patience: float = PATIENCE, http: httpx.Client | None = None) -> None:
        self.http = http or httpx.Client(base_url=url, timeout=TIMEOUT, trust_env=not _is_here(url))
        self._own = http is None
        self._steps = Blocking(self.http)
        self._retries = Retries(url, patience)

    def create(self, prompt: str, **options: Unpack[SessionOptions]) -> SessionHandle:
        """Start a video. Raises ApiError `pool-full` when all generators are taken, unless `queue=True`."""
        created = self._steps.run(calls.create(self._retries, prompt, options))
        return SessionHandle(self._steps, self._retries, created.id, created.control_token, created)

    def session(self, sid: str, token: str | None = None) -> SessionHandle:
        """A session that there is. Asks nothing yet."""
        return SessionHandle(self._steps, self._retries, sid, token)

    def model(self) -> ModelView:
        """What the service generates with, what a session may choose, and prompts to try."""
        return self._steps.run(calls.model(self._retries))

    def sessions(
        self, status: States = (), labels: Mapping[str, str] | None = None
    ) -> Generator[SessionView, None, None]:
        """Sessions in one of these states and with all of these labels, newest first."""
        return self._steps.iterate(calls.sessions(self._retries, status, labels or {}))

    def close(self) -> None:
        if self._own:
            self.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncClient:
    """`Client`, awaited."""

    def __init__(self, url: str, *, patience: float = PATIENCE, http: httpx.AsyncClient | None = None) -> None:
        self.http = http or httpx.AsyncClient(base_url=url, timeout=TIMEOUT, trust_env=not _is_here(url))
        self._own = http is None
        self._steps = Awaiting(self.http)
        self._retries = Retries(url, patience)

    async def create(self, prompt: str, **options: Unpack[SessionOptions]) -> AsyncSessionHandle:
        """Start a video. Raises ApiError `pool-full` when all generators are taken, unless `queue=True`."""
        created = await self._steps.run(calls.create(self._retries, prompt, options))
        return AsyncSessionHandle(self._steps, self._retries, created.id, created.control_token, created)

    def session(self, sid: str, token: str | None = None) -> AsyncSessionHandle:
        """A session that there is. Asks nothing yet."""
        return AsyncSessionHandle(self._steps, self._retries, sid, token)

    async def model(self) -> ModelView:
        """What the service generates with, what a session may choose, and prompts to try."""
        return await self._steps.run(calls.model(self._retries))

    def sessions(
        self, status: States = (), labels: Mapping[str, str] | None = None
    ) -> AsyncGenerator[SessionView, None]:
        """Sessions in one of these states and with all of these labels, newest first."""
        return self._steps.iterate(calls.sessions(self._retries, status, labels or {}))

    async def close(self) -> None:
        if self._own:
            await self.http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _is_here(url: str) -> bool:
    """Whether a service runs on this machine, which no proxy of the environment reaches. Raises ValueError."""
    try:
        scheme, host = httpx.URL(url).scheme, httpx.URL(url).host
    except httpx.InvalidURL:
        scheme = host = ""
    if scheme not in ("http", "https") or not host:
        raise ValueError(f"'{url}' is no address of a service; write it as http://HOST:PORT")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
