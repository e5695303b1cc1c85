"""Control tokens of the sessions that a user has created here: a file for each, which nobody else may read."""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from pathlib import Path

KEEP_SECONDS = 30 * 24 * 3600
"""A session that nobody steered for so long is steered with a token that somebody wrote down, or ends by itself."""
_SID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def state_folder() -> Path:
    """Where programs of this user keep what they shall remember."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "longlive"


class ControlTokens:
    """Tokens by session. A session's id is unlike that of every other service's, so no service is named."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or state_folder() / "control-tokens"

    def find(self, sid: str) -> str | None:
        """The token of a session; None where it is not known. One that is looked for is kept on."""
        if not _SID.fullmatch(sid):
            return None
        try:
            token = (self._folder / sid).read_text()
        except OSError:
            return None
        with suppress(OSError):  # a home that can only be read
            os.utime(self._folder / sid)
        return token

    def keep(self, sid: str, token: str) -> None:
        """Raises OSError."""
        if not _SID.fullmatch(sid):
            raise OSError(f"'{sid}' is no name for a file")
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._forget_old()
        with open(os.open(self._folder / sid, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(token)

    def forget(self, sid: str) -> None:
        if _SID.fullmatch(sid):
            with suppress(OSError):
                (self._folder / sid).unlink()

    def _forget_old(self) -> None:
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError):  # another program of this user may do the same
                if path.stat().st_mtime < time.time() - KEEP_SECONDS:
                    path.unlink()
