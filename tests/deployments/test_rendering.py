"""Renders, lengths, frame rates and what is kept of a video: nothing is lost, and nobody live is late for it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from generator_rig import VIDEO, FakeVideoStream, Rig, owns
from generator_rig import rig as make_rig
from redis_store import Store
from torch import Tensor

from deployments import generator, thumbnails
from deployments.entries import PromptRequested, RecordingFailed, SessionEnded
from deployments.media_store import MediaStore, StoreFull
from deployments.placement import Refusal
from deployments.recording import SEGMENT_CHUNKS, recorded
from deployments.session import Session, SessionState, chunk_first_frame
from deployments.store import Keys


class GatedStore(MediaStore):
    """Takes nothing until told to."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.open = asyncio.Event()

    async def write(self, path: str, data: bytes) -> None:
        await self.open.wait()
        await super().write(path, data)


class FullStore(MediaStore):
    async def write(self, path: str, data: bytes) -> None:
        raise StoreFull("quota")


async def test_a_render_needs_no_viewers_and_is_kept_whole(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path, first_viewer_seconds=0.01, unwatched_seconds=0.01)
    async with rig.running() as generator:
        script = PromptRequested(prompt_id="p", text="p", at_frame=chunk_first_frame(21))
        await rig.begin("s", script, pace="offline", max_seconds=12.0, record=True)
        session = await rig.over("s")
        await owns(generator, 0)
        kept = [chunk for segment in await recorded(rig.media, "s") for chunk in segment.chunks]
    assert (session.status, session.reason) == (SessionState.ended, "finished")
    assert session.media_seconds >= 12.0 > (session.frames - 12) / VIDEO.fps
    assert kept == list(range(session.chunks))
    assert session.slack_ms is None
    assert session.stalls == 0


async def test_thumbnails_come_every_few_chunks_and_where_a_prompt_begins(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path)
    async with rig.running():
        await rig.begin("s", PromptRequested(prompt_id="p", text="p", at_frame=chunk_first_frame(2)))
        watching = asyncio.create_task(rig.watch("s", 10))
        await watching
        while await thumbnails.stored(rig.media, "s") != [0, 2, 4, 8]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_render_goes_no_faster_than_its_store_and_loses_nothing(store: Store, tmp_path: Path) -> None:
    class HeavyRig(Rig):
        async def encode_video(self, *_: object) -> bytes:
            return bytes(1024 * 1024)

    media = GatedStore(str(tmp_path))
    rig = HeavyRig(store, media)
    async with rig.running():
        await rig.begin("render", pace="offline", max_seconds=6.0, record=True)
        await rig.begin("live")
        made = await rig.idle("render")
        assert chunk_first_frame(made) < 6.0 * VIDEO.fps
        assert len(await rig.watch("live", 12)) == 12, "nobody live is held up"
        media.open.set()
        session = await rig.over("render")
        kept = [chunk for segment in await recorded(media, "render") for chunk in segment.chunks]
    assert session.record
    assert kept == list(range(session.chunks))


async def test_a_full_store_ends_the_recording_once_and_not_the_video(store: Store, tmp_path: Path) -> None:
    rig = Rig(store, FullStore(str(tmp_path)))
    async with rig.running():
        await rig.begin("s", record=True)
        watching = asyncio.create_task(rig.watch("s", 20))
        failed = await rig.next_of(RecordingFailed, "s")
        assert [f.chunk for f in await watching] == list(range(20))
        session = await store.timeline.session("s")
    assert "quota" in failed.reason
    assert (session.status, session.record) == (SessionState.live, False)
    assert len(await rig.all_of(RecordingFailed, "s")) == 1


class LastSegmentStore(MediaStore):
    """Takes a last segment, which is a short one, when told to, or refuses it with `error`."""

    error: Exception | None = None

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.asked, self.open = asyncio.Event(), asyncio.Event()

    async def write(self, path: str, data: bytes) -> None:
        if path.endswith(".m4s") and not path.endswith(f"-{SEGMENT_CHUNKS}.m4s"):
            self.asked.set()
            await self.open.wait()
            if self.error:
                raise self.error
        await super().write(path, data)


async def test_a_finished_render_keeps_its_lease_for_as_long_as_its_store_takes(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generator, "RENEW_SECONDS", 0.01)
    media = LastSegmentStore(str(tmp_path))
    rig = Rig(store, media)
    async with rig.running() as replica:
        await rig.begin("s", pace="offline", max_seconds=0.4, record=True)
        await media.asked.wait()  # it is over then, but for what is kept of it
        await store.redis.delete(Keys("s").lease)
        while not await store.redis.exists(Keys("s").lease):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        media.open.set()
        assert (await rig.over("s")).reason == "finished"
        await owns(replica, 0)
    assert not await store.redis.exists(Keys("s").lease)


async def test_a_render_that_is_not_kept_any_more_has_failed_and_is_not_made_on(store: Store, tmp_path: Path) -> None:
    rig = Rig(store, FullStore(str(tmp_path)))
    async with rig.running() as replica:
        await rig.begin("s", pace="offline", max_seconds=1e6, record=True)
        session = await rig.over("s")
        await owns(replica, 0)
    assert session.status is SessionState.failed
    assert "quota" in (session.reason or "")
    assert len(await rig.all_of(RecordingFailed, "s")) == 1


async def test_a_render_whose_end_is_not_kept_has_failed(store: Store, tmp_path: Path) -> None:
    media = LastSegmentStore(str(tmp_path))
    media.error = StoreFull("quota")
    media.open.set()
    rig = Rig(store, media)
    async with rig.running() as replica:
        await rig.begin("s", pace="offline", max_seconds=0.4, record=True)
        session = await rig.over("s")
        await owns(replica, 0)
    assert session.status is SessionState.failed
    assert "quota" in (session.reason or "")


async def test_a_live_session_ends_at_its_length_too(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path)
    async with rig.running() as generator:
        await rig.begin("s", max_seconds=0.5)
        shown = await rig.watch("s", 1000)
        session = await rig.over("s")
        await owns(generator, 0)
    assert session.reason == "finished"
    assert [f.chunk for f in shown] == list(range(session.chunks))
    assert session.frames == chunk_first_frame(session.chunks) >= 80 > chunk_first_frame(session.chunks - 1)
    assert len(await rig.all_of(SessionEnded, "s")) == 1


async def test_a_session_of_fewer_frames_a_second_leaves_room_for_more(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path, slots=None, chunk_seconds=0.025)  # a third of the 75 ms that a chunk plays
    generator = rig.build()
    answers = [await rig.offer(f"fast{n}") for n in range(3)]
    assert [isinstance(answer, Refusal) for answer in answers] == [False, False, True]
    assert generator.free < 0
    answers = [await rig.offer(f"slow{n}", fps=40) for n in range(2)]
    assert [isinstance(answer, Refusal) for answer in answers] == [False, True]


async def test_a_session_of_fewer_frames_a_second_plays_slower(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path)
    async with rig.running():
        await rig.begin("s", fps=40)
        shown = await rig.watch("s", 4)
        session = await store.timeline.session("s")
        chunks = await store.timeline.chunks("s")
    assert VIDEO.hash not in {fragment.config_hash for fragment in shown}
    assert session.media_seconds == session.frames / 40
    assert chunks[3].at - chunks[0].at >= 1000 * (chunks[2].first_frame / 40 - 0.1), "no more than a chunk ahead"


async def test_renders_have_their_own_few_slots(store: Store, tmp_path: Path) -> None:
    rig = make_rig(store, tmp_path, slots=None, offline_slots=2)
    async with rig.running():
        answers = [await rig.offer(f"r{n}", pace="offline", max_seconds=1e6) for n in range(3)]
        assert [isinstance(answer, Refusal) for answer in answers] == [False, False, True]
        assert isinstance(await rig.offer("live"), Session)
        assert len(await rig.watch("live", 5)) == 5


async def test_a_chunk_says_how_long_before_it_was_due_it_was_out(store: Store, tmp_path: Path) -> None:
    class Slow(FakeVideoStream):
        def next_frames(self) -> Tensor:
            time.sleep(0.6 if self.chunk == 4 else 0.0)
            return super().next_frames()

    rig = make_rig(store, tmp_path, stream=Slow)
    async with rig.running():
        await rig.begin("s", fps=40)
        await rig.watch("s", 8)
        chunks = await store.timeline.chunks("s")
    assert chunks[0].slack_ms is None
    assert chunks[4].slack_ms == 0
    assert chunks[4].gap_ms > 0
    assert all(chunk.slack_ms is not None and 0 <= chunk.slack_ms <= 600 for chunk in chunks[1:8])
    assert any(chunk.slack_ms for chunk in chunks[1:])
