"""Requests that are tried again: all of them, for each may be sent twice. A POST has a key by which it counts once."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from deployments.client_errors import ApiError, NotUnderstood, ServiceError, Unreachable
from deployments.client_steps import Call, Open, Read, Request, Send, Sleep

FIRST_WAIT = 0.25
LONGEST_WAIT = 4.0

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Retries:
    """Sends requests to a service; gives up when the waits between tries come to more than `patience` seconds."""

    url: str
    patience: float
    jitter: Callable[[], float] = random.random
    """From 0 to 1: many clients that lost the same service do not come back together."""

    def send(self, request: Request) -> Call[httpx.Response]:
        """The answer, a successful one. Raises ApiError, Unreachable."""
        keyed = _keyed(request)
        budget = Budget(self)
        while True:
            try:
                answer: httpx.Response = yield Send(keyed)
            except httpx.TransportError as error:
                yield from budget.wait(Unreachable(self.url, error))
            else:
                if answer.is_success:
                    return answer
                yield from budget.wait(ApiError.of(answer, answer.content))

    def open(self, request: Request, budget: Budget) -> Call[httpx.Response]:
        """The head of a successful answer, whose body is left to read. Raises ApiError, Unreachable."""
        while True:
            try:
                answer: httpx.Response = yield Open(request)
                if answer.is_success:
                    return answer
                body = yield from _rest()
            except httpx.TransportError as error:
                yield from budget.wait(Unreachable(self.url, error))
            else:
                yield from budget.wait(ApiError.of(answer, body))

    def ask(self, model: type[M], request: Request) -> Call[M]:
        """The answer as a model; what a newer service adds to it is left out. Raises NotUnderstood, too."""
        answer = yield from self.send(request)
        try:
            return model.model_validate_json(answer.content, extra="ignore")
        except ValidationError as error:
            raise NotUnderstood(answer, error) from error


class Budget:
    """The time that may go into waiting for a better answer."""

    def __init__(self, retries: Retries) -> None:
        self._retries = retries
        self.renew()

    def renew(self) -> None:
        """It went well: what comes next has all the time again."""
        self._left = self._retries.patience
        self._waits = _doubling()

    def wait(self, problem: ServiceError) -> Call[None]:
        """Until it is worth another try. Raises the problem if it is not, or if too much time is gone."""
        seconds = next(self._waits) * (0.5 + self._retries.jitter())
        if isinstance(problem, ApiError):
            if not problem.temporary:
                raise problem
            seconds = max(seconds, problem.retry_after or 0.0)
        self._left -= seconds
        if self._left < 0:
            raise problem
        yield Sleep(seconds)


def _doubling() -> Iterator[float]:
    seconds = FIRST_WAIT
    while True:
        yield seconds
        seconds = min(2 * seconds, LONGEST_WAIT)


def _keyed(request: Request) -> Request:
    if request.method != "POST":
        return request
    return replace(request, headers={"Idempotency-Key": uuid.uuid4().hex, **request.headers})


def _rest() -> Call[bytes]:
    body = bytearray()
    while (part := (yield Read())) is not None:
        body += part
    return bytes(body)
