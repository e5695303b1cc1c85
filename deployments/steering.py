"""Who may steer a session: its creator, who was given a token that only this service can make."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Any

from redis.asyncio import Redis

from deployments.store import SessionError

SECRET_KEY = "steering:secret"
SECRET_BYTES = 32


class TokenMissing(SessionError):
    def __init__(self, sid: str) -> None:
        super().__init__(sid)
        self.sid = sid

    def __str__(self) -> str:
        return (
            f"Only its creator steers session {self.sid!r}: send the control_token that its creation answered, "
            "as `Authorization: Bearer ...`."
        )


class TokenWrong(SessionError):
    def __init__(self, sid: str) -> None:
        super().__init__(sid)
        self.sid = sid

    def __str__(self) -> str:
        return (
            f"This token does not steer session {self.sid!r}: send the control_token that its creation answered. "
            "Anybody may watch."
        )


class Steering:
    """Tokens of sessions, made of one secret in the store. Every call raises redis.RedisError without the store."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._secret: bytes | None = None

    async def token(self, sid: str) -> str:
        """What steers the session, for its creator only."""
        # Read anew: one from before the store was emptied would make tokens that no other process accepts.
        return _token(await self._read_secret(), sid)

    async def check(self, sid: str, token: str | None) -> None:
        """Returns if the token steers the session. Raises TokenMissing, TokenWrong."""
        if not token:
            raise TokenMissing(sid)
        if self._secret is not None and _same(token, _token(self._secret, sid)):
            return
        if not _same(token, _token(await self._read_secret(), sid)):
            raise TokenWrong(sid)

    async def _read_secret(self) -> bytes:
        """The secret of all processes: that of the first one that asked."""
        await self._redis.set(SECRET_KEY, secrets.token_hex(SECRET_BYTES), nx=True)
        secret: Any = await self._redis.get(SECRET_KEY)
        self._secret = bytes.fromhex(secret)
        return self._secret


def _token(secret: bytes, sid: str) -> str:
    return base64.urlsafe_b64encode(hmac.digest(secret, sid.encode(), hashlib.sha256)).decode().rstrip("=")


def _same(one: str, other: str) -> bool:
    """In a time that tells nothing of how much of it is right."""
    return hmac.compare_digest(one.encode(), other.encode())
