"""What the API refuses of recordings and exports, and what to do instead."""

from __future__ import annotations

from deployments.exports import MOST_KEPT, MOST_PICTURES_SECONDS
from deployments.store import SessionError


class _OfSession(SessionError):
    def __init__(self, sid: str) -> None:
        super().__init__(sid)
        self.sid = sid


class NotRecorded(_OfSession):
    def __str__(self) -> str:
        return f"Session {self.sid!r} is not recorded: create one with `record: true` to export its video."


class NothingRecorded(_OfSession):
    """Not in that range, or not yet at all."""

    def __str__(self) -> str:
        return (
            f"Nothing of session {self.sid!r} is recorded in that range: what is recorded begins at its first chunk "
            "and grows by a few chunks at a time. Ask for another range, or again in a few seconds."
        )


class NoPicture(_OfSession):
    def __str__(self) -> str:
        return f"Session {self.sid!r} has no picture yet: the first one comes with its first chunk. Ask again."


class NoSuchThumbnail(SessionError):
    def __init__(self, sid: str, chunk: int) -> None:
        super().__init__(sid, chunk)
        self.sid, self.chunk = sid, chunk

    def __str__(self) -> str:
        return f"Chunk {self.chunk} of session {self.sid!r} has no thumbnail: its thumbnails lists those that it has."


class TooLong(SessionError):
    def __init__(self, kind: str, seconds: float) -> None:
        super().__init__(kind, seconds)
        self.kind, self.seconds = kind, seconds

    def __str__(self) -> str:
        return (
            f"A {self.kind} shows at most {MOST_PICTURES_SECONDS:g} s, and that range has {self.seconds:.1f} s: "
            "send a shorter one with `from` and `to`, or ask for mp4."
        )


class TooManyExports(_OfSession):
    def __str__(self) -> str:
        return f"{MOST_KEPT} exports of session {self.sid!r} are being made: ask again when one of them is."


class ExportNotReady(SessionError):
    def __init__(self, eid: str, progress: float) -> None:
        super().__init__(eid, progress)
        self.eid, self.progress = eid, progress

    def __str__(self) -> str:
        return f"Export {self.eid!r} is not made yet ({self.progress:.0%}): read it until its status is `completed`."


class ExportFailed(SessionError):
    def __init__(self, eid: str, reason: str) -> None:
        super().__init__(eid, reason)
        self.eid, self.reason = eid, reason

    def __str__(self) -> str:
        return f"Export {self.eid!r} has failed: {self.reason}"


class ExporterBusy(SessionError):
    def __str__(self) -> str:
        return "Too many exports wait already. Ask again in a while."
