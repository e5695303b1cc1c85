"""The token that steers a session, as a header."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

_BEARER = HTTPBearer(
    auto_error=False,
    scheme_name="control_token",
    description="The `control_token` that a session's creation answered, to its creator only. Watching needs none.",
)


def _token(credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)]) -> str | None:
    return credentials.credentials if credentials else None


Token = Annotated[str | None, Depends(_token)]
"""What the request says that it may steer with."""
