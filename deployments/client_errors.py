"""What can go wrong between a client and the service."""

from __future__ import annotations

from http import HTTPStatus

import httpx

from deployments.api.models import Problem

_LATER = frozenset({429, 502, 503, 504})


class ServiceError(Exception):
    """The service did not do what was asked; the text says why and what to do."""


class Unreachable(ServiceError):
    """Nobody answers there, or the connection broke and stayed broken."""

    def __init__(self, url: str, error: Exception) -> None:
        super().__init__(url, str(error))
        self.url, self.error = url, error

    def __str__(self) -> str:
        why = " ".join(str(self.error).split()) or type(self.error).__name__
        return f"No service answers at {self.url}: {why.rstrip('.')}. Start one with 'longlive serve', or name another."


class ApiError(ServiceError):
    """The service refused. `code` is stable and for programs, `detail` is for people; they are those of its problem."""

    def __init__(self, status: int, code: str, detail: str, retry_after: float | None = None) -> None:
        super().__init__(status, code, detail)
        self.status, self.code, self.detail, self.retry_after = status, code, detail, retry_after

    def __str__(self) -> str:
        return self.detail

    @property
    def temporary(self) -> bool:
        """Whether the same request may be answered a little later: the service says so, or only its proxy spoke."""
        return self.retry_after is not None or self.status in _LATER or self.code == "replica-lost"

    @classmethod
    def of(cls, answer: httpx.Response, body: bytes) -> ApiError:
        """The problem that an answer tells of, whoever wrote it."""
        told = answer.headers.get("Retry-After", "")
        retry_after = float(told) if told.isdecimal() else None
        try:
            problem = Problem.model_validate_json(body, extra="ignore")
        except ValueError:
            return cls(answer.status_code, _code(answer.status_code), _excerpt(answer, body), retry_after)
        return cls(answer.status_code, problem.code, problem.detail, retry_after)


class NotUnderstood(ServiceError):
    """The service answered with what this client does not know."""

    def __init__(self, answer: httpx.Response, error: Exception) -> None:
        super().__init__(str(answer.url), str(error))
        self.url, self.error = str(answer.url), error

    def __str__(self) -> str:
        what = " ".join(str(self.error).split())[:200]
        return f"{self.url} answered with what this client does not know; use the service's version of it. ({what})"


class PromptNotApplied(ServiceError):
    """A prompt never took effect: it was refused or cancelled, or the video ended before."""

    def __init__(self, prompt_id: str, reason: str) -> None:
        super().__init__(prompt_id, reason)
        self.prompt_id, self.reason = prompt_id, reason

    def __str__(self) -> str:
        return f"Prompt {self.prompt_id} did not take effect. {self.reason}"


class SessionNotThere(ServiceError):
    """A session is over, and never came to the state that was waited for."""


class ExportFailed(ServiceError):
    """A clip could not be made."""


class NotInTime(ServiceError):
    """What was waited for did not happen in the time that was given."""


def _code(status: int) -> str:
    # The proxy's word when the process behind it died over the request. The API itself answers with a problem.
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return "replica-lost"
    try:
        return HTTPStatus(status).phrase.lower().replace(" ", "-")
    except ValueError:
        return "unknown"


def _excerpt(answer: httpx.Response, body: bytes) -> str:
    said = " ".join(body.decode(errors="replace").split())[:200]
    return f"{answer.url} answered {answer.status_code}{f': {said}' if said else ''}."
