"""Prompts of a session, from the timeline to the picture: at their chunk, in their mode, each with its receipts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import torch
from generator_rig import FakeVideoStream, Rig, tiny_rig
from generator_rig import rig as make_rig
from redis_store import Store
from torch import Tensor

from deployments.entries import (
    EndRequested,
    Mode,
    PromptApplied,
    PromptCancelled,
    PromptCancelRequested,
    PromptRequested,
    PromptScheduled,
)
from deployments.receipts import NEVER, PromptStatus, Receipt, receipts
from deployments.session import chunk_first_frame
from longlive.pipeline import load_model
from longlive.switch import Blend, Clear, Keep, Recache, SwitchMode


def asked(prompt_id: str, chunk: int | None = None, mode: Mode = "recache") -> PromptRequested:
    at_frame = None if chunk is None else chunk_first_frame(chunk)
    return PromptRequested(prompt_id=prompt_id, text=prompt_id, at_frame=at_frame, mode=mode)


async def receipts_of(rig: Rig, sid: str) -> dict[str, Receipt]:
    return {receipt.prompt_id: receipt for receipt in receipts(await rig.facts(sid))}


async def test_a_script_is_followed_to_the_chunk(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path)
    async with rig.running():
        await rig.begin("s", *(asked(f"p{chunk}", chunk) for chunk in (0, 3, 4, 12)), pace="offline", max_seconds=1.5)
        shown = {f.chunk: f.data[0] for f in await rig.watch("s", 1000)}
        session = await rig.over("s")
    assert (session.reason, session.media_seconds, session.prompt) == ("finished", 249 / 160, "p12")
    followed = [rig.prompts[shown[chunk] - 1] for chunk in range(max(shown) - 7, 21)]
    assert followed == ["p12"] * 8
    applied = await rig.all_of(PromptApplied, "s")
    assert [(entry.text, entry.chunk) for entry in applied] == [("p0", 0), ("p3", 3), ("p4", 4), ("p12", 12)]
    planned = await rig.all_of(PromptScheduled, "s")
    assert [(entry.prompt_id, entry.chunk) for entry in planned] == [("p0", 0), ("p3", 3), ("p4", 4), ("p12", 12)]
    assert [(entry.frame, entry.media_seconds) for entry in applied] == [
        (entry.frame, entry.media_seconds) for entry in planned
    ]


async def test_a_prompt_is_scheduled_and_then_applied_there(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path)
    async with rig.running():
        await rig.begin("s")
        made = await rig.idle("s")
        await rig.ask("s", asked("later", made + 5), asked("now"))
        planned = [await rig.next_of(PromptScheduled, "s", count) for count in (1, 2)]
        assert {entry.prompt_id: entry.chunk for entry in planned} == {"later": made + 5, "now": made}
        watching = asyncio.create_task(rig.watch("s", 10_000))
        applied = [await rig.next_of(PromptApplied, "s", count) for count in (1, 2)]
        await rig.ask("s", EndRequested())
        shown = {f.chunk: rig.prompts[f.data[0] - 1] for f in await watching}
    assert [(entry.prompt_id, entry.chunk) for entry in applied] == [("now", made), ("later", made + 5)]
    for chunk, text in shown.items():
        assert text == ("later" if chunk >= made + 5 else "now" if chunk >= made else "a ball")


async def test_a_prompt_in_the_far_future_is_not_read_yet(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path)
    async with rig.running():
        await rig.begin("s")
        await rig.ask("s", asked("far", 1000), asked("near", 3))
        watching = asyncio.create_task(rig.watch("s", 10_000))
        await rig.next_of(PromptApplied, "s")
        await rig.ask("s", EndRequested())
        await watching
    assert rig.prompts == ["a ball", "near"]
    assert [entry.prompt_id for entry in await rig.all_of(PromptScheduled, "s")] == ["far", "near"]


@pytest.mark.parametrize(
    ("mode", "engine"), [("recache", Recache()), ("keep", Keep()), ("cut", Clear()), ("blend", Blend(40))]
)
async def test_the_engine_takes_a_prompt_up_in_its_mode(
    store: Store, tmp_path: Path, mode: Mode, engine: SwitchMode
) -> None:
    streams: list[FakeVideoStream] = []

    def stream(prompt: Tensor, seed: int) -> FakeVideoStream:
        streams.append(FakeVideoStream(prompt, seed))
        return streams[-1]

    rig = make_rig(store, tmp_path, stream=stream)
    async with rig.running():
        await rig.begin("s", asked("p", 2, mode), pace="offline", max_seconds=0.5)
        await rig.over("s")
    assert streams[0].modes == [engine]
    assert (await rig.all_of(PromptApplied, "s"))[0].mode == mode


async def test_a_cancelled_prompt_never_shows_and_an_applied_one_stays(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path)
    async with rig.running():
        await rig.begin("s", asked("first", 1), asked("second", 30))
        watching = asyncio.create_task(rig.watch("s", 10_000))
        await rig.next_of(PromptApplied, "s")
        await rig.ask("s", *(PromptCancelRequested(prompt_id=each) for each in ("first", "second", "nobody")))
        assert (await rig.next_of(PromptCancelled, "s")).prompt_id == "second"
        await rig.until_chunks("s", 33)
        await rig.ask("s", EndRequested())
        shown = {rig.prompts[f.data[0] - 1] for f in await watching}
    assert shown <= {"a ball", "first"}
    assert "first" in shown
    found = await receipts_of(rig, "s")
    assert {name: receipt.status.value for name, receipt in found.items()} == {
        "first": "applied",
        "second": "cancelled",
    }


async def test_a_render_waits_for_a_slow_text_encoder_and_follows_its_script_all_the_same(
    store: Store, tmp_path: Path
) -> None:
    rig = make_rig(store, tmp_path)
    plain, read = rig.encode_text, asyncio.Event()

    async def encode_text(text: str) -> Tensor:
        if text == "p":
            await read.wait()
        return await plain(text)

    rig.encode_text = encode_text  # type: ignore[method-assign]
    async with rig.running():
        await rig.begin("s", asked("p", 5), pace="offline", max_seconds=1.0)
        await rig.until_chunks("s", 5)
        assert await rig.idle("s") == 5
        read.set()
        await rig.over("s")
    assert [entry.chunk for entry in await rig.all_of(PromptApplied, "s")] == [5]


async def test_a_live_video_does_not_wait_and_the_prompt_is_announced_anew(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path)
    plain, read = rig.encode_text, asyncio.Event()

    async def encode_text(text: str) -> Tensor:
        if text == "p":
            await read.wait()
        return await plain(text)

    rig.encode_text = encode_text  # type: ignore[method-assign]
    async with rig.running():
        await rig.begin("s", asked("p", 5))
        watching = asyncio.create_task(rig.watch("s", 10_000))
        await rig.until_chunks("s", 8)
        read.set()
        applied = await rig.next_of(PromptApplied, "s")
        await rig.ask("s", EndRequested())
        await watching
    planned = [entry.chunk for entry in await rig.all_of(PromptScheduled, "s")]
    assert planned[0] == 5
    assert len(planned) == 2
    assert planned[1] == applied.chunk >= 8
    assert applied.latency_ms > 0


async def test_what_still_waits_at_the_end_never_took_effect(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path)
    async with rig.running():
        await rig.begin("s", asked("late", 99), pace="offline", max_seconds=0.3)
        await rig.over("s")
    receipt = (await receipts_of(rig, "s"))["late"]
    assert (receipt.status, receipt.reason) == (PromptStatus.refused, NEVER)


async def test_a_session_ended_before_it_began_ends_as_asked(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path)
    async with rig.running() as generator:
        await rig.create("s")
        await store.timeline.append_command("s", EndRequested())
        await generator.take("s")
        assert (await rig.over("s")).reason == "requested"


async def test_the_same_seed_and_script_give_the_same_video_to_the_bit(store: Store, tmp_path: Path) -> None:
    model = load_model("tiny", torch.float32, "cpu")
    script = [asked("it rains", 2, "blend"), asked("a blue cube", 4, "cut"), asked("at night", 5)]
    rig = tiny_rig(store, tmp_path, model)
    async with rig.running():
        for sid in ("s", "t"):
            await rig.begin(sid, *script, seed=7, pace="offline", max_seconds=0.55)
            await rig.over(sid)
    once, again = rig.frames[: len(rig.frames) // 2], rig.frames[len(rig.frames) // 2 :]
    assert torch.equal(torch.cat(once), torch.cat(again))
    assert [entry.chunk for entry in await rig.all_of(PromptApplied, "t")] == [2, 4, 5]
