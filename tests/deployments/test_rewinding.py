"""A live video goes on as it was earlier: at the next chunk, while its time goes on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from generator_rig import PATIENCE, FoundInMemory, MemoryHistory, MemoryWriter, Rig
from generator_rig import rig as make_rig
from redis_store import Store

from deployments.entries import (
    PauseRequested,
    PromptApplied,
    PromptRequested,
    RewindRefused,
    RewindRequested,
    SessionMoved,
    SessionPaused,
    SessionRewound,
)
from deployments.placement import TakeOver
from deployments.session import chunk_first_frame
from longlive.snapshot import Snapshot

RAIN = PromptRequested(prompt_id="1", text="rain", at_frame=chunk_first_frame(3))


@pytest.fixture
def rig(store: Store, tmp_path: Path) -> Rig:
    return make_rig(store, tmp_path)


async def test_it_goes_on_as_it_was_while_its_time_and_what_is_planned_go_on(rig: Rig) -> None:
    night = PromptRequested(prompt_id="2", text="night", at_frame=chunk_first_frame(24))
    async with rig.running():
        await rig.begin("s", RAIN, night)
        watching = asyncio.create_task(rig.watch("s", 26))
        await rig.until_chunks("s", 5)
        await rig.ask("s", RewindRequested(to_frame=20))
        rewound = await rig.next_of(SessionRewound, "s")
        session = await rig.until_chunks("s", rewound.chunk + 1)
        fragments = await watching
        [applied] = [fact for fact in await rig.all_of(PromptApplied, "s") if fact.prompt_id == "2"]
    assert (rewound.restored_chunk, rewound.prompt, rewound.frame) == (1, "a ball", chunk_first_frame(rewound.chunk))
    assert session.frames == chunk_first_frame(session.chunks)
    assert [fragment.chunk for fragment in fragments] == list(range(26)), "no chunk twice, none missing"
    assert [fragment.first_frame for fragment in fragments] == [chunk_first_frame(chunk) for chunk in range(26)]
    shows = [fragment.data[0] for fragment in fragments]
    back = rewound.chunk
    assert shows == [1] * 3 + [2] * (back - 3) + [1] * (24 - back) + [3] * 2
    assert applied.chunk == 24


async def test_before_the_first_of_its_snapshots_it_begins_anew(rig: Rig) -> None:
    async with rig.running():
        await rig.begin("s", RAIN)
        watching = asyncio.create_task(rig.watch("s", 12))
        await rig.until_chunks("s", 5)
        await rig.ask("s", RewindRequested(to_frame=8))
        rewound = await rig.next_of(SessionRewound, "s")
        fragments = await watching
    assert (rewound.restored_chunk, rewound.prompt) == (0, "a ball")
    assert {fragment.frames for fragment in fragments[1:]} == {12}
    assert rig.prompts.count("a ball") == 2
    assert all(fragment.data[0] not in (1, 2) for fragment in fragments[rewound.chunk :]), "read anew: a third prompt"


async def test_what_cannot_be_is_refused_and_the_video_goes_on(rig: Rig) -> None:
    async with rig.running():
        await rig.begin("s")
        watching = asyncio.create_task(rig.watch("s", 1000))
        await rig.until_chunks("s", 5)
        await rig.ask("s", RewindRequested(to_frame=10**6))
        assert "no frame 1000000" in (await rig.next_of(RewindRefused, "s")).reason
        for chunk in (1, 2):
            del rig.history.kept["s"][chunk]
        await rig.ask("s", RewindRequested(to_frame=10))
        assert "not kept any more" in (await rig.next_of(RewindRefused, "s", 2)).reason
        rig.history.away = True
        await rig.ask("s", RewindRequested(to_frame=50))
        refused = await rig.next_of(RewindRefused, "s", 3)
        assert (refused.to_frame, "Send the request again" in refused.reason) == (50, True)
        made = (await rig.store.timeline.session("s")).chunks
        await rig.until_chunks("s", made + 1)
        watching.cancel()
    assert await rig.all_of(SessionRewound, "s") == []


class SlowWriter(MemoryWriter):
    """Stores what is to be gone back to only after 0.2 s; or not, and what was there comes back later."""

    async def add(self, chunk: int, snapshot: Snapshot) -> None:
        if snapshot.head.chunk < chunk:
            await asyncio.sleep(0.2)
            if self.history.away:
                raise ConnectionError("the history is away")
        self.history.kept.setdefault(self.sid, {})[chunk] = snapshot


class SlowHistory(MemoryHistory):
    """It can be read in any case."""

    def writer(self, sid: str, fence: int) -> SlowWriter:
        return SlowWriter(self, sid)

    async def newest(self, sid: str, at_most: int) -> FoundInMemory | None:
        away, self.away = self.away, False
        try:
            return await super().newest(sid, at_most)
        finally:
            self.away = away


@pytest.mark.parametrize("away", [False, True])
async def test_what_has_happened_is_told_and_what_nobody_could_take_over_does_not(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, away: bool
) -> None:
    rig = make_rig(store, tmp_path, history=SlowHistory())
    async with rig.running():
        await rig.begin("s", RAIN)
        await rig.watch("s", 5)
        made = await rig.idle("s")
        monkeypatch.setattr("deployments.rewinding.REWIND_SECONDS", 0.1)
        rig.history.away = away
        await rig.ask("s", RewindRequested(to_frame=20))
        if away:
            assert "cannot be stored" in (await rig.next_of(RewindRefused, "s")).reason
        else:
            assert (await rig.next_of(SessionRewound, "s")).chunk == made
        rig.history.away = False
        async for shown in rig.generator.watch("s"):
            if shown[-1].chunk >= made:
                break
        kept = rig.history.kept["s"][made]
    assert [fragment.data[0] for fragment in shown if fragment.chunk >= made][:1] == [2 if away else 1]
    assert kept is not None
    assert kept.head.chunk == (made if away else 1)
    assert len(await rig.all_of(RewindRefused, "s")) == away


class FarWriter(MemoryWriter):
    async def add(self, chunk: int, snapshot: Snapshot) -> None:
        await asyncio.sleep(0.4)
        await super().add(chunk, snapshot)


class FarHistory(MemoryHistory):
    seconds = PATIENCE

    def writer(self, sid: str, fence: int) -> FarWriter:
        return FarWriter(self, sid)


async def test_what_is_stored_far_away_has_its_time_to_be(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path, history=FarHistory())
    rig.heir = heir = make_rig(store, tmp_path, name="q", history=rig.history)
    async with rig.running() as generator, heir.running():
        await rig.begin("s", RAIN)
        watching = asyncio.create_task(rig.watch("s", 1000))
        await rig.until_chunks("s", 5)
        await rig.ask("s", RewindRequested(to_frame=20))
        await rig.next_of(SessionRewound, "s")
        generator.drain()
        moved = await rig.next_of(SessionMoved, "s")
        await watching
    assert (moved.cause, moved.restored_chunk) == ("handed-over", None)
    assert await rig.all_of(RewindRefused, "s") == []


async def test_who_takes_it_over_does_what_was_still_asked(rig: Rig, store: Store, tmp_path: Path) -> None:
    heir = make_rig(store, tmp_path, name="q", history=rig.history)
    async with rig.running():
        await rig.begin("s", RAIN)
        async for fragments in rig.generator.watch("s"):
            if fragments[-1].chunk >= 4:
                break
    await store.timeline.append_command("s", RewindRequested(to_frame=20))
    async with heir.running():
        await heir.generator.take("s", TakeOver("r", "lost"))
        moved, rewound = await heir.next_of(SessionMoved, "s"), await heir.next_of(SessionRewound, "s")
        assert heir.history.kept["s"][rewound.chunk] == heir.history.kept["s"][1], "and whoever comes next, from there"
    assert (rewound.chunk, rewound.restored_chunk) == (moved.chunk, 1)
    assert len(await heir.all_of(SessionRewound, "s")) == 1


async def test_one_that_shall_pause_goes_back_first(rig: Rig) -> None:
    async with rig.running():
        await rig.begin("s", RAIN)
        watching = asyncio.create_task(rig.watch("s", 1000))
        await rig.until_chunks("s", 5)
        await rig.ask("s", RewindRequested(to_frame=20), PauseRequested())
        await watching
        paused = await rig.next_of(SessionPaused, "s")
        [rewound] = await rig.all_of(SessionRewound, "s")
        assert paused.chunk >= rewound.chunk
        await rig.generator.take("s")
        [fragment] = await rig.watch("s", 1)
    assert (fragment.chunk, fragment.data) == (paused.chunk, bytes([1])), "and goes on as it then was"
