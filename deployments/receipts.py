"""What became of each prompt of a session, read off its timeline."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from pydantic import Field

from deployments.entries import (
    AnyEntry,
    Data,
    Mode,
    PromptApplied,
    PromptCancelled,
    PromptExpanded,
    PromptRefused,
    PromptRequested,
    PromptScheduled,
    SessionEnded,
    SessionFailed,
)

NEVER = "The video ended before this took effect."


class PromptStatus(StrEnum):
    """`accepted`: written down. `expanded`: the prompt agent has made a prompt of it. `scheduled`: read, and waiting
    for its chunk. The others are final."""

    accepted = "accepted"
    expanded = "expanded"
    scheduled = "scheduled"
    applied = "applied"
    refused = "refused"
    cancelled = "cancelled"

    @property
    def pending(self) -> bool:
        return self in (PromptStatus.accepted, PromptStatus.expanded, PromptStatus.scheduled)


class Receipt(Data):
    """A follow-up prompt and what became of it. Where it was to be expanded, `prompt` is what the video shall show.

    Once `scheduled`, chunk, frame and time are those that are planned; once `applied`, those that really took it.
    """

    prompt_id: str
    text: str
    status: PromptStatus
    mode: Mode = "recache"
    blend_seconds: float | None = None
    at_frame: int | None = Field(None, description="Not before this frame; null: as soon as possible.")
    expand: bool = Field(False, description="Whether a prompt is made of the text.")
    prompt: str | None = Field(None, description="The prompt that was made of the text.")
    added: str | None = Field(None, description="What that prompt changes, in a few words.")
    source: str | None = Field(
        None,
        description="Who made it: `llm`, `rules`; `stock`: nobody, the scene stays; `raw`: nobody, it is the text.",
    )
    expansion_ms: int | None = Field(None, description="How long that took.")
    requested_at: int = Field(description="Unix time in milliseconds.")
    chunk: int | None = None
    frame: int | None = Field(None, description="The first frame that follows the prompt.")
    media_seconds: float | None = Field(None, description="Time of that frame in the video.")
    latency_ms: int | None = Field(None, description="From the request to the fragment that holds that frame.")
    reason: str | None = Field(None, description="Why it was refused.")
    warnings: tuple[str, ...] = ()


def receipts(entries: Iterable[AnyEntry]) -> list[Receipt]:
    """One receipt for each follow-up prompt, in the order in which they were accepted."""
    found: dict[str, Receipt] = {}

    def update(prompt_id: str, **changes: object) -> None:
        if prompt_id in found:
            found[prompt_id] = found[prompt_id].model_copy(update=changes)

    def expanded(entry: PromptExpanded) -> None:
        if (receipt := found.get(entry.prompt_id)) is None:
            return
        made = entry.model_dump(include={"prompt", "added", "source", "mode"})
        status = PromptStatus.expanded if receipt.status is PromptStatus.accepted else receipt.status
        warnings = tuple(dict.fromkeys((*receipt.warnings, *entry.warnings)))
        update(entry.prompt_id, status=status, expansion_ms=entry.ms, warnings=warnings, **made)

    for entry in entries:
        match entry:
            case PromptRequested():
                asked = entry.model_dump(exclude={"id", "at", "type"})
                found[entry.prompt_id] = Receipt(**asked, status=PromptStatus.accepted, requested_at=entry.at)
            case PromptExpanded():
                expanded(entry)
            case PromptScheduled():
                planned = entry.model_dump(include={"chunk", "frame", "media_seconds"})
                update(entry.prompt_id, status=PromptStatus.scheduled, **planned)
            case PromptApplied():
                taken = entry.model_dump(include={"chunk", "frame", "media_seconds", "latency_ms"})
                update(entry.prompt_id, status=PromptStatus.applied, **taken)
            case PromptRefused():
                update(entry.prompt_id, status=PromptStatus.refused, reason=entry.reason)
            case PromptCancelled():
                update(entry.prompt_id, status=PromptStatus.cancelled)
            case SessionEnded() | SessionFailed():
                for receipt in list(found.values()):
                    if receipt.status.pending:
                        update(receipt.prompt_id, status=PromptStatus.refused, reason=NEVER)
    return list(found.values())
