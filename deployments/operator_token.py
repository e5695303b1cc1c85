"""Who may drain replicas: whoever has the operator's token, or can read the data directory in which it lies."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from pydantic import SecretStr

NAME = "operator-token"


class OperatorTokenMissing(Exception):
    def __str__(self) -> str:
        return (
            "Only an operator does this: send the operator token as `Authorization: Bearer ...`. It is the setting "
            f"LONGLIVE_OPERATOR_TOKEN, or else in the file {NAME} of the service's data directory."
        )


class OperatorTokenWrong(Exception):
    def __str__(self) -> str:
        return (
            "This is not the operator token of this service: it is the setting LONGLIVE_OPERATOR_TOKEN, or else in the "
            f"file {NAME} of its data directory."
        )


def operator_token(data_dir: Path) -> SecretStr:
    """The token that is kept in `data_dir`, made if there is none; only its owner can read it. Raises OSError."""
    path = data_dir / NAME
    data_dir.mkdir(parents=True, exist_ok=True)
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32))
    except FileExistsError:
        pass
    return kept_token(data_dir)


def kept_token(data_dir: Path) -> SecretStr:
    """The token that is kept in `data_dir`. Raises OSError."""
    return SecretStr((data_dir / NAME).read_text().strip())


def require_operator(given: str | None, token: SecretStr) -> None:
    """Raises OperatorTokenMissing, OperatorTokenWrong."""
    if given is None:
        raise OperatorTokenMissing
    if not secrets.compare_digest(given.encode(), token.get_secret_value().encode()):
        raise OperatorTokenWrong
