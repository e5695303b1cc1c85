"""What `longlive sessions` shows to people: lines and tables. Texts of others are shown, never obeyed."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from deployments.entries import (
    AnyEntry,
    PauseRefused,
    PromptApplied,
    PromptCancelled,
    PromptExpanded,
    PromptRefused,
    PromptRequested,
    PromptScheduled,
    RecordingFailed,
    RewindRefused,
    SessionBroke,
    SessionCreated,
    SessionEnded,
    SessionFailed,
    SessionLive,
    SessionMoved,
    SessionPaused,
    SessionResumed,
    SessionRewound,
    SessionStarting,
    Stalled,
)
from deployments.receipts import PromptStatus, Receipt
from deployments.session import Session

STYLES = {"live": "green", "starting": "yellow", "queued": "yellow", "paused": "cyan", "failed": "red"}


def readable(text: str) -> str:
    """A text whose characters a terminal only shows: others would move its cursor, or worse."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)


def status_words(session: Session) -> str:
    return f"{session.status}, place {session.queue_position}" if session.queue_position else session.status.value


def session_line(session: Session) -> str:
    why = f" ({readable(session.reason)})" if session.reason else ""
    return f"{session.id} {status_words(session)}{why}, {session.media_seconds:.1f} s: {readable(session.prompt)}"


def receipt_line(receipt: Receipt) -> str:
    what = f"{receipt.prompt_id} {receipt.status}"
    match receipt.status:
        case PromptStatus.scheduled | PromptStatus.applied:
            what += f" at {receipt.media_seconds:.2f} s, frame {receipt.frame}"
            if receipt.latency_ms is not None:
                what += f", after {receipt.latency_ms} ms"
        case PromptStatus.refused:
            what += f" ({readable(receipt.reason or '')})"
    made = f" -> {readable(receipt.prompt)}" if receipt.prompt and receipt.prompt != receipt.text else ""
    return f"{what}: {readable(receipt.text)}{made}"


def entry_line(entry: AnyEntry) -> str | None:
    """An entry of the timeline in words; None for what its own fact follows at once."""
    match entry:
        case SessionCreated():
            return f"created: {readable(entry.prompt)}"
        case PromptRequested():
            return f"prompt {entry.prompt_id} accepted: {readable(entry.text)}"
        case PromptExpanded():
            return f"prompt {entry.prompt_id} expanded by {entry.source} in {entry.ms} ms: {readable(entry.prompt)}"
        case PromptScheduled():
            return f"prompt {entry.prompt_id} scheduled for {entry.media_seconds:.2f} s, frame {entry.frame}"
        case PromptApplied():
            when = f"{entry.media_seconds:.2f} s, frame {entry.frame}, after {entry.latency_ms} ms"
            return f"prompt {entry.prompt_id} applied at {when}"
        case PromptRefused():
            return f"prompt {entry.prompt_id} refused: {readable(entry.reason)}"
        case PromptCancelled():
            return f"prompt {entry.prompt_id} cancelled"
        case Stalled():
            return f"stalled: chunk {entry.chunk} came {entry.gap_ms} ms late"
        case SessionPaused() | SessionResumed():
            word = "paused" if isinstance(entry, SessionPaused) else "goes on"
            return f"{word} at {entry.media_seconds:.2f} s, frame {entry.frame}"
        case SessionMoved():
            why = "its generator is gone" if entry.cause == "lost" else "its generator has handed it over"
            return f"moved at {entry.media_seconds:.2f} s, frame {entry.frame}: {why}"
        case SessionBroke():
            return f"the model broke at {entry.media_seconds:.2f} s, frame {entry.frame}: another generator tries"
        case SessionRewound():
            return f"rewound at {entry.media_seconds:.2f} s, frame {entry.frame}: {readable(entry.prompt)}"
        case SessionStarting() | SessionLive():
            return entry.type.removeprefix("session.")
        case SessionEnded() | SessionFailed() | PauseRefused() | RewindRefused() | RecordingFailed():
            return f"{entry.type.removeprefix('session.').replace('.', ' ')}: {readable(entry.reason)}"
        case _:
            return None


def sessions_table(sessions: Sequence[Session]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("id", "status", "video", "created", "prompt", "labels"):
        table.add_column(name, no_wrap=name == "id")
    for session in sessions:
        table.add_row(
            session.id,
            _status(session),
            f"{session.media_seconds:.0f} s",
            f"{_ago(session.created_at)} ago",
            Text(readable(session.prompt)),
            Text(_labels(session)),
        )
    return table


def session_table(session: Session) -> Table:
    table = Table(box=None, show_header=False)
    recorded = " recorded" if session.record else ""
    late = f"{session.stalls} stalls" + (f", {session.slack_ms} ms early" if session.slack_ms is not None else "")
    parent = session.parent
    rows: dict[str, str | Text] = {
        "session": session.id,
        "status": _status(session),
        "why": readable(session.reason or ""),
        "place in the queue": str(session.queue_position or ""),
        "prompt": readable(session.prompt),
        "video": f"{session.media_seconds:.1f} s, {session.frames} frames{recorded}",
        "picture": f"{session.width}x{session.height}, {session.fps} fps, {session.model}, seed {session.seed}",
        "from": f"{parent.relation} of {parent.session}, frame {parent.frame}" if parent else "",
        "pace": f"{session.pace}" + (f", ends at {session.max_seconds:g} s" if session.max_seconds else ""),
        "in time": late if session.pace == "live" else "",
        "labels": _labels(session),
        "created": f"{_ago(session.created_at)} ago",
    }
    for name, value in rows.items():
        if value:
            table.add_row(Text(name, style="bold"), value if isinstance(value, Text) else Text(value))
    return table


def prompts_table(receipts: Sequence[Receipt]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("prompt", "status", "from", "after", "mode", "text"):
        table.add_column(name, no_wrap=name == "prompt")
    for receipt in receipts:
        table.add_row(
            receipt.prompt_id,
            receipt.status.value,
            "" if receipt.media_seconds is None else f"{receipt.media_seconds:.2f} s",
            "" if receipt.latency_ms is None else f"{receipt.latency_ms} ms",
            receipt.mode,
            Text(readable(f"{receipt.text} ({receipt.reason})" if receipt.reason else receipt.text)),
        )
    return table


def _status(session: Session) -> Text:
    return Text(status_words(session), style=STYLES.get(session.status, ""))


def _labels(session: Session) -> str:
    return readable(", ".join(f"{name}={value}" for name, value in session.labels.items()))


def _ago(created_at: int) -> str:
    seconds = max(0.0, time.time() - created_at / 1000)
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
