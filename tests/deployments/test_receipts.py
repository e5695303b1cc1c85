"""Receipts: what became of each prompt, read off the timeline."""

from __future__ import annotations

from deployments.entries import (
    AnyEntry,
    EndRequested,
    PromptApplied,
    PromptCancelled,
    PromptCancelRequested,
    PromptRefused,
    PromptRequested,
    PromptScheduled,
    SessionCreated,
    SessionEnded,
)
from deployments.receipts import NEVER, PromptStatus, receipts

CREATED = SessionCreated(id="5-0", at=5, prompt="a fox", seed=1, model="tiny", width=96, height=96, fps=16)


def asked(prompt_id: str) -> PromptRequested:
    return PromptRequested(id="6-0", at=6, prompt_id=prompt_id, text=prompt_id.upper(), mode="blend", blend_seconds=2)


def scheduled(prompt_id: str, chunk: int) -> PromptScheduled:
    return PromptScheduled(prompt_id=prompt_id, chunk=chunk, frame=12 * chunk - 3, media_seconds=(12 * chunk - 3) / 16)


def applied(prompt_id: str, chunk: int) -> PromptApplied:
    taken = scheduled(prompt_id, chunk).model_dump(exclude={"type"})
    return PromptApplied(**taken, text=prompt_id.upper(), mode="blend", latency_ms=700)


def statuses(*entries: AnyEntry) -> dict[str, PromptStatus]:
    return {receipt.prompt_id: receipt.status for receipt in receipts([CREATED, *entries])}


def test_a_receipt_follows_its_prompt_through_its_life() -> None:
    life: list[AnyEntry] = [CREATED, asked("p")]
    (receipt,) = receipts(life)
    assert (receipt.status, receipt.requested_at, receipt.chunk) == (PromptStatus.accepted, 6, None)
    assert (receipt.mode, receipt.blend_seconds) == ("blend", 2)
    (receipt,) = receipts([*life, scheduled("p", 4), scheduled("p", 5)])
    assert (receipt.status, receipt.chunk, receipt.frame) == (PromptStatus.scheduled, 5, 57)
    assert receipt.status.pending
    (receipt,) = receipts([*life, scheduled("p", 5), applied("p", 6)])
    assert (receipt.status, receipt.chunk, receipt.latency_ms) == (PromptStatus.applied, 6, 700)
    assert not receipt.status.pending


def test_receipts_keep_the_order_in_which_prompts_were_accepted() -> None:
    assert statuses(
        asked("p"),
        asked("q"),
        asked("r"),
        asked("s"),
        applied("r", 1),
        PromptRefused(prompt_id="q", reason="a newer one"),
        PromptCancelRequested(prompt_id="s"),
        PromptCancelled(prompt_id="s"),
    ) == {
        "p": PromptStatus.accepted,
        "q": PromptStatus.refused,
        "r": PromptStatus.applied,
        "s": PromptStatus.cancelled,
    }


def test_what_waits_when_the_video_ends_is_refused_and_what_was_done_stays() -> None:
    ended = receipts(
        [CREATED, asked("p"), asked("q"), applied("q", 1), EndRequested(), SessionEnded(reason="requested")]
    )
    assert [receipt.status for receipt in ended] == [PromptStatus.refused, PromptStatus.applied]
    assert ended[0].reason == NEVER


def test_facts_of_prompts_that_nobody_asked_for_make_no_receipt() -> None:
    assert statuses(PromptCancelled(prompt_id="x"), applied("y", 1)) == {}
