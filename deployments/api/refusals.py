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


class PromptUnwanted(SessionError):
    """The operator does not want a prompt to be shown."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.reason} Say it otherwise, and send the request again."


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


class InTheFuture(SessionError):
    """The video has no such frame yet; it has `frames`."""

    def __init__(self, frames: int, seconds: float) -> None:
        super().__init__(frames, seconds)
        self.frames, self.seconds = frames, seconds

    def __str__(self) -> str:
        return (
            f"The video has {self.frames} frames, {self.seconds:g} s, so far: send an earlier time. "
            "To fork from where it is now, leave `at` out."
        )


class Forgotten(SessionError):
    """The session cannot go so far back; `earliest` is the second to which it can, None: to none."""

    def __init__(self, earliest: float | None) -> None:
        super().__init__(earliest)
        self.earliest = earliest

    def __str__(self) -> str:
        if self.earliest is None:
            return "Nothing is kept any more of what this video was: it cannot go back, but render makes it once more."
        return (
            f"What the video was so long ago is not kept any more. The earliest that it can go back to is "
            f"{self.earliest:g} s: send that or a later time."
        )


class NothingMade(SessionError):
    def __init__(self, sid: str) -> None:
        super().__init__(sid)
        self.sid = sid

    def __str__(self) -> str:
        return f"Session {self.sid!r} has no frame yet that could be made once more: ask again when it has."


class OtherModel(SessionError):
    """The service has another model now than the one that made the video."""

    def __init__(self, had: str, has: str) -> None:
        super().__init__(had, has)
        self.had, self.has = had, has

    def __str__(self) -> str:
        return (
            f"This video was made by the model {self.had!r}, and the service has {self.has!r} now: only the same model "
            "goes on with it. Create a new session instead."
        )


class NotRewindable(SessionError):
    def __init__(self, sid: str) -> None:
        super().__init__(sid)
        self.sid = sid

    def __str__(self) -> str:
        return f"Session {self.sid!r} is made offline, for nobody who watches: fork it instead of going back in it."


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


class TooManyPreviews(SessionError):
    """`most` previews are written at this moment."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.most = most

    def __str__(self) -> str:
        return f"{self.most} previews are being written, and prompts go before them. Try again in a moment."


class NotLive(SessionError):
    def __init__(self, sid: str, status: str) -> None:
        super().__init__(sid, status)
        self.sid, self.status = sid, status

    def __str__(self) -> str:
        then = "Resume it first." if self.status == "paused" else "End it if nobody wants it."
        return f"Session {self.sid!r} is {self.status}: it can be paused and rewound while it is live. {then}"


class Pausing(SessionError):
    def __init__(self, sid: str) -> None:
        super().__init__(sid)
        self.sid = sid

    def __str__(self) -> str:
        return f"Session {self.sid!r} is about to pause: resume it as soon as its status is paused."


class WebSocketOnly(SessionError):
    def __str__(self) -> str:
        return "This path is a WebSocket: connect to it with a WebSocket client."
