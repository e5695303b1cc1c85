"""What the API refuses though the request is well-formed: because of what the session is, or the model offers."""

from __future__ import annotations

from deployments.receipts import Receipt
from deployments.store import SessionError


class Unsuitable(SessionError):
    """Fields of a request that this service cannot do: where each is, and what would do."""

    def __init__(self, faults: tuple[tuple[str, str], ...]) -> None:
        super().__init__(faults)
        self.faults = faults

    def __str__(self) -> str:
        said = "; ".join(f"{where}: {what}" for where, what in self.faults[:5])
        return f"Correct these fields and send the request again: {said}."


class InThePast(SessionError):
    """The time of a prompt is over; `frame` is the first that it could still have."""

    def __init__(self, frame: int, seconds: float) -> None:
        super().__init__(frame, seconds)
        self.frame, self.seconds = frame, seconds

    def __str__(self) -> str:
        return (
            f"That part of the video is made already. The earliest that a prompt can have now is frame {self.frame}, "
            f"at {self.seconds:g} s: send that or a later one, or `now`."
        )


class AfterTheEnd(SessionError):
    """The time of a prompt comes after the video's end."""

    def __init__(self, max_seconds: float) -> None:
        super().__init__(max_seconds)
        self.max_seconds = max_seconds

    def __str__(self) -> str:
        return f"The video ends at {self.max_seconds:g} s, as its max_seconds has it: send an earlier time."


class NoSuchPrompt(SessionError):
    def __init__(self, sid: str, prompt_id: str) -> None:
        super().__init__(sid, prompt_id)
        self.sid, self.prompt_id = sid, prompt_id

    def __str__(self) -> str:
        return f"Session {self.sid!r} has no prompt {self.prompt_id[:64]!r}: its prompts lists those that it has."


class PromptDone(SessionError):
    """A prompt that does not wait any more."""

    def __init__(self, receipt: Receipt) -> None:
        super().__init__(receipt)
        self.receipt = receipt

    def __str__(self) -> str:
        return f"This prompt is {self.receipt.status}: only one that still waits can be cancelled. Send another prompt."


class TooManyPrompts(SessionError):
    """`most` prompts of the session wait already."""

    def __init__(self, sid: str, most: int) -> None:
        super().__init__(sid, most)
        self.sid, self.most = sid, most

    def __str__(self) -> str:
        return (
            f"{self.most} prompts of session {self.sid!r} wait for their time already: cancel some of them, or send "
            "this one when some have taken effect."
        )


class NotLive(SessionError):
    def __init__(self, sid: str, status: str) -> None:
        super().__init__(sid, status)
        self.sid, self.status = sid, status

    def __str__(self) -> str:
        return f"Session {self.sid!r} is {self.status}: it can be paused once it is live. End it if nobody wants it."


class Pausing(SessionError):
    def __init__(self, sid: str) -> None:
        super().__init__(sid)
        self.sid = sid

    def __str__(self) -> str:
        return f"Session {self.sid!r} is about to pause: resume it as soon as its status is paused."


class WebSocketOnly(SessionError):
    def __str__(self) -> str:
        return "This path is a WebSocket: connect to it with a WebSocket client."
