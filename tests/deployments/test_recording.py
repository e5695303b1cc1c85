"""Recordings: every chunk in order, whatever the store does; live video never waits for it."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import av
import pytest
from synthetic_session import CONFIG, fragment

from deployments import recording
from deployments.fragments import Fragment
from deployments.media_store import MediaStore, StoreFull, StoreUnavailable
from deployments.recording import Recording, Segment, recorded
from deployments.session import chunk_first_frame
from deployments.video_encoder import init_segment

SID = "s1"


class SlowStore(MediaStore):
    """Takes a write when told to."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.allowed = asyncio.Semaphore(0)

    async def write(self, path: str, data: bytes) -> None:
        await self.allowed.acquire()
        await super().write(path, data)


class SmallStore(MediaStore):
    """A disk of some bytes."""

    def __init__(self, url: str, room: int) -> None:
        super().__init__(url)
        self.room = room

    async def write(self, path: str, data: bytes) -> None:
        if len(data) > self.room:
            raise StoreFull("quota")
        self.room -= len(data)
        await super().write(path, data)


class FlakyStore(MediaStore):
    """Does not answer the first few times that anything is asked of it."""

    def __init__(self, url: str, faults: int) -> None:
        super().__init__(url)
        self.faults = {"exists": faults, "write": faults}

    async def exists(self, path: str) -> bool:
        self.fault("exists")
        return await super().exists(path)

    async def write(self, path: str, data: bytes) -> None:
        self.fault("write")
        await super().write(path, data)

    def fault(self, call: str) -> None:
        self.faults[call] -= 1
        if self.faults[call] >= 0:
            raise StoreUnavailable("connection reset")


async def init() -> bytes:
    return init_segment(CONFIG).data


def never(reason: str) -> None:
    pytest.fail(reason)


def plain(chunk: int, size: int = 10) -> Fragment:
    return Fragment(SID, chunk, 1, chunk_first_frame(chunk), 12, "", bytes(size))


async def played(store: MediaStore) -> list[int]:
    """Frame numbers of the file that init segment and segments make."""
    data = await store.read(recording.init_path(SID))
    for segment in await recorded(store, SID):
        data += await store.read(segment.path(SID))
    with av.open(io.BytesIO(data)) as container:
        return [round(float(f.pts * f.time_base) * CONFIG.fps) for f in container.decode(video=0)]


async def test_segments_of_four_chunks_and_a_shorter_last_one_play_gaplessly(tmp_path: Path) -> None:
    store = MediaStore(str(tmp_path))
    kept = Recording(store, SID, init, never)
    for chunk in range(10):
        kept.add(fragment(SID, chunk))
    await kept.flush()
    assert await recorded(store, SID) == [Segment(0, 4), Segment(4, 4), Segment(8, 2)]
    assert await store.names(f"{SID}/recording") == ["000000000-4.m4s", "000000004-4.m4s", "000000008-2.m4s"]
    assert await played(store) == list(range(9 + 12 * 9))


async def test_a_resumed_session_is_recorded_behind_what_is_there(tmp_path: Path) -> None:
    store = MediaStore(str(tmp_path))
    for chunks in (range(6), range(6, 13)):
        kept = Recording(store, SID, init, never)
        for chunk in chunks:
            kept.add(fragment(SID, chunk))
        await kept.flush()
    assert [list(s.chunks) for s in await recorded(store, SID)] == [
        [0, 1, 2, 3], [4, 5], [6, 7], [8, 9, 10, 11], [12],
    ]  # fmt: skip
    assert await played(store) == list(range(9 + 12 * 12))


async def test_a_segment_has_no_hole(tmp_path: Path) -> None:
    store = MediaStore(str(tmp_path))
    kept = Recording(store, SID, init, never)
    for chunk in (0, 1, 3, 4):
        kept.add(plain(chunk))
    await kept.flush()
    assert await recorded(store, SID) == [Segment(0, 2), Segment(3, 1), Segment(4, 1)]


async def test_a_full_store_keeps_what_it_has_and_fails_the_recording_once(tmp_path: Path) -> None:
    store = SmallStore(str(tmp_path), room=3000)
    reasons: list[str] = []
    kept = Recording(store, SID, init, reasons.append)
    for chunk in range(40):
        kept.add(plain(chunk, size=100))
        await asyncio.sleep(0)
    await kept.flush()
    await kept.room()
    assert len(reasons) == 1
    assert "not recorded any more" in reasons[0]
    assert "full (quota)" in reasons[0]
    stored = await recorded(store, SID)
    assert stored
    assert [chunk for segment in stored for chunk in segment.chunks] == list(range(4 * len(stored)))


def test_a_really_full_disk_fails_the_recording_and_keeps_what_is_stored(tmp_path: Path) -> None:
    """The kernel refuses the third, larger segment: a limit of this process, as good as a disk that is full."""
    script = """
import asyncio, resource, sys
from deployments.fragments import Fragment
from deployments.media_store import MediaStore
from deployments.recording import Recording, recorded
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
async def init(): return b"init"
async def main():
    store = MediaStore(sys.argv[1])
    kept = Recording(store, "s1", init, print)
    for chunk in range(16):
        kept.add(Fragment("s1", chunk, 1, 0, 12, "", bytes(10_000 if chunk < 8 else 20_000)))
    await kept.flush()
    print([segment.first_chunk for segment in await recorded(store, "s1")])
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    reason, stored = done.stdout.splitlines()
    assert "full" in reason
    assert stored == "[0, 4]"
    assert sorted(path.name for path in (tmp_path / "sessions" / SID / "recording").iterdir()) == [
        "000000000-4.m4s", "000000004-4.m4s",
    ]  # fmt: skip


async def test_a_live_recording_whose_store_is_too_slow_fails_and_says_so(tmp_path: Path) -> None:
    reasons: list[str] = []
    kept = Recording(SlowStore(str(tmp_path)), SID, init, reasons.append, most_pending=10_000)
    for chunk in range(400):
        kept.add(plain(chunk, size=100))
        await asyncio.sleep(0)
        assert kept.pending_bytes <= 10_000
    assert len(reasons) == 1
    assert "too slow" in reasons[0]


async def test_an_offline_recording_waits_for_its_store_and_loses_nothing(tmp_path: Path) -> None:
    store = SlowStore(str(tmp_path))
    kept = Recording(store, SID, init, never, most_pending=10_000)
    made = 0

    async def render() -> None:
        nonlocal made
        for chunk in range(100):
            await kept.room()
            kept.add(plain(chunk, size=1000))
            made += 1
        await kept.flush()

    rendering = asyncio.create_task(render())
    for _ in range(1000):
        await asyncio.sleep(0)
    assert 0 < made < 20
    for _ in range(26):  # an init segment, 25 segments
        store.allowed.release()
    await rendering
    assert await recorded(store, SID) == [Segment(first, 4) for first in range(0, 100, 4)]


async def test_a_store_that_does_not_answer_for_a_while_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "AGAIN_SECONDS", 0.0)
    store = FlakyStore(str(tmp_path), faults=20)
    kept = Recording(store, SID, init, never)
    for chunk in range(8):
        kept.add(plain(chunk))
    await kept.flush()
    assert await recorded(store, SID) == [Segment(0, 4), Segment(4, 4)]


async def test_a_store_that_stays_away_fails_the_recording_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(recording, "PATIENCE_SECONDS", 0.05)
    reasons: list[str] = []
    kept = Recording(FlakyStore(str(tmp_path), faults=10**6), SID, init, reasons.append)
    for chunk in range(8):
        kept.add(plain(chunk))
    await kept.flush()
    assert len(reasons) == 1
    assert "connection reset" in reasons[0]


async def test_a_store_that_is_away_fails_a_live_recording_when_too_much_waits(tmp_path: Path) -> None:
    reasons: list[str] = []
    kept = Recording(FlakyStore(str(tmp_path), faults=10**6), SID, init, reasons.append, most_pending=1000)
    for chunk in range(8):
        assert not reasons
        kept.add(plain(chunk, size=150))
        await asyncio.sleep(0)
    assert len(reasons) == 1
    assert "wait for it" in reasons[0]


async def test_an_init_segment_that_nobody_gives_fails_the_recording(tmp_path: Path) -> None:
    async def nothing() -> bytes:
        raise ConnectionError

    reasons: list[str] = []
    kept = Recording(MediaStore(str(tmp_path)), SID, nothing, reasons.append)
    kept.add(plain(3))
    await kept.flush()
    assert len(reasons) == 1


async def test_a_killed_owner_loses_the_open_segment_at_most(tmp_path: Path) -> None:
    script = """
import asyncio, os, signal, sys
from deployments.media_store import MediaStore
from deployments.recording import Recording, recorded
from synthetic_session import CONFIG, fragment
from deployments.video_encoder import init_segment
async def init(): return init_segment(CONFIG).data
async def main():
    store = MediaStore(sys.argv[1])
    kept = Recording(store, "s1", init, print)
    for chunk in range(11):
        kept.add(fragment("s1", chunk))
    while kept.pending_bytes:
        await asyncio.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(tmp_path), env=os.environ | {"PYTHONPATH": paths}
    )
    assert await process.wait() == -signal.SIGKILL
    store = MediaStore(str(tmp_path))
    assert await recorded(store, SID) == [Segment(0, 4), Segment(4, 4)]
    assert await played(store) == list(range(9 + 12 * 7))
