"""Steps of which every call of the client is made, and the two who take them: one that blocks, one that awaits.

A call is a generator: it yields what it wants done and is sent what came of it, or thrown `httpx.TransportError`. It
does no input or output itself, so each call is written once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

import httpx

POLL_SECONDS = 0.25

T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """One request; `path` begins with a slash."""

    method: str
    path: str
    params: Mapping[str, str | int | float | list[str]] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Send:
    """Comes back with the answer, an `httpx.Response` read to its end."""

    request: Request


@dataclass(frozen=True)
class Open:
    """Comes back with the answer's head; `Read` gives its body. Closes what the call had open before."""

    request: Request


@dataclass(frozen=True)
class Read:
    """Comes back with the next bytes of what is open; None at its end."""


@dataclass(frozen=True)
class Sleep:
    """Comes back, after these seconds, with a clock's reading in seconds."""

    seconds: float


@dataclass(frozen=True)
class Give(Generic[T]):
    """Something for whoever iterates."""

    item: T


Step: TypeAlias = Send | Open | Read | Sleep
Call: TypeAlias = Generator[Step, Any, T]
Series: TypeAlias = Generator[Step | Give[T], Any, None]


def poll() -> Call[float]:
    """Waits for a moment before the same question; gives the clock's reading."""
    now: float = yield Sleep(POLL_SECONDS)
    return now


class Items(Generic[T]):
    """A series inside of another call, item by item."""

    def __init__(self, series: Series[T]) -> None:
        self._series = series

    def next(self) -> Call[T | None]:
        """The next item; None at the end."""
        try:
            step = self._series.send(None)
            while not isinstance(step, Give):
                try:
                    reply = yield step
                except httpx.TransportError as error:
                    step = self._series.throw(error)
                else:
                    step = self._series.send(reply)
        except StopIteration:
            return None
        return step.item


class Blocking:
    """Takes the steps of calls one by one, in the caller's thread."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def run(self, call: Call[T]) -> T:
        with _Wire(self.http) as wire:
            try:
                step = next(call)
                while True:
                    step = _follow(call, wire.take(step))
            except StopIteration as end:
                return end.value

    def iterate(self, series: Series[T]) -> Generator[T, None, None]:
        with _Wire(self.http) as wire:
            try:
                step = next(series)
                while True:
                    if isinstance(step, Give):
                        yield step.item
                        step = next(series)
                    else:
                        step = _follow(series, wire.take(step))
            except StopIteration:
                return


class Awaiting:
    """Takes the steps of calls in the running event loop."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def run(self, call: Call[T]) -> T:
        async with _AsyncWire(self.http) as wire:
            try:
                step = next(call)
                while True:
                    step = _follow(call, await wire.take(step))
            except StopIteration as end:
                return end.value

    async def iterate(self, series: Series[T]) -> AsyncGenerator[T, None]:
        async with _AsyncWire(self.http) as wire:
            try:
                step = next(series)
                while True:
                    if isinstance(step, Give):
                        yield step.item
                        step = next(series)
                    else:
                        step = _follow(series, await wire.take(step))
            except StopIteration:
                return


Taken: TypeAlias = httpx.Response | bytes | float | httpx.TransportError | None


def _follow(call: Generator[Any, Any, Any], taken: Taken) -> Any:
    """The call's next step after what came of the last one."""
    return call.throw(taken) if isinstance(taken, httpx.TransportError) else call.send(taken)


def _built(http: httpx.Client | httpx.AsyncClient, request: Request) -> httpx.Request:
    return http.build_request(
        request.method, request.path, params=dict(request.params), json=request.body, headers=dict(request.headers)
    )


class _Wire:
    """The steps of one call; what it leaves open is closed with it."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self._open: httpx.Response | None = None
        self._parts: Iterator[bytes] = iter(())

    def __enter__(self) -> _Wire:
        return self

    def __exit__(self, *_: object) -> None:
        if self._open is not None:
            self._open.close()

    def take(self, step: Step) -> Taken:
        try:
            match step:
                case Send(request):
                    return self._http.send(_built(self._http, request))
                case Open(request):
                    self.__exit__()
                    self._open = self._http.send(_built(self._http, request), stream=True)
                    self._parts = self._open.iter_bytes()
                    return self._open
                case Read():
                    return next(self._parts, None)
                case Sleep(seconds):
                    time.sleep(seconds)
                    return time.monotonic()
        except httpx.TransportError as error:
            return error


class _AsyncWire:
    """`_Wire`, awaited."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._open: httpx.Response | None = None
        self._parts: AsyncIterator[bytes] | None = None

    async def __aenter__(self) -> _AsyncWire:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._open is not None:
            await self._open.aclose()

    async def take(self, step: Step) -> Taken:
        try:
            match step:
                case Send(request):
                    return await self._http.send(_built(self._http, request))
                case Open(request):
                    await self.__aexit__()
                    self._open = await self._http.send(_built(self._http, request), stream=True)
                    self._parts = self._open.aiter_bytes()
                    return self._open
                case Read():
                    return None if self._parts is None else await anext(self._parts, None)
                case Sleep(seconds):
                    await asyncio.sleep(seconds)
                    return time.monotonic()
        except httpx.TransportError as error:
            return error
