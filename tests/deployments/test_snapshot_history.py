"""The history of snapshots over a real Redis, files and memory: whole, capped, damaged, written by the wrong one."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from deployments.redis_server import RedisServer
from deployments.snapshot_history import NEWEST_KEPT, NoSuchSnapshot, Place, SnapshotHistory, counted, open_history
from deployments.snapshot_shelves import KEEP_SECONDS, FileShelf, RedisShelf, Shelf, SnapshotsAway
from deployments.store import Fenced
from longlive.snapshot import Snapshot, TakenParts
from tests.longlive.small import prompt, small_rollout, small_transformer

CAP = 2**20
PATIENT_SECONDS = 20.0  # the tests' machine may be busy; how long a writer waits has a test of its own


@pytest.fixture(scope="module")
def snapshots() -> list[Snapshot]:
    """Of before every chunk of one video, with a switch in it."""
    rollout = small_rollout(small_transformer())
    taken: list[Snapshot] = []
    parts = TakenParts()
    for chunk in range(16):
        if chunk == 6:
            rollout.switch(prompt(4))
        taken.append(Snapshot.take("model", rollout.state(), 2, torch.float32, parts))
        rollout.next_chunk()
    return taken


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("snapshots")) as server:
        yield server


_unused = itertools.count()


@pytest.fixture(params=["redis", "folder", "memory"])
async def shelf(request: pytest.FixtureRequest, server: RedisServer, tmp_path: Path) -> AsyncIterator[Shelf]:
    seconds = PATIENT_SECONDS
    shelves: dict[str, Callable[[], Shelf]] = {
        "redis": lambda: RedisShelf(f"{server.url.removesuffix('/0')}/1", seconds),
        "folder": lambda: FileShelf(str(tmp_path), seconds),
        "memory": lambda: FileShelf(f"memory://history{next(_unused)}", seconds),
    }
    shelf = shelves[request.param]()
    yield shelf
    await shelf.forget("s1")
    await shelf.forget("s2")
    await shelf.close()


@pytest.fixture
def history(shelf: Shelf) -> SnapshotHistory:
    return SnapshotHistory(shelf, CAP)


async def fill(history: SnapshotHistory, snapshots: list[Snapshot], chunks: range, fence: int = 1) -> None:
    writer = history.writer("s1", fence)
    for chunk in chunks:
        await writer.add(chunk, snapshots[chunk])


async def damage(shelf: Shelf, name: str, change: Callable[[bytearray], None]) -> None:
    (data,) = await shelf.read("s1", [name])
    assert data is not None
    changed = bytearray(data)
    change(changed)
    await shelf.change("s1", {name: bytes(changed)}, ())


def flip(place: float) -> Callable[[bytearray], None]:
    def change(data: bytearray) -> None:
        data[int(place * (len(data) - 1))] ^= 1

    return change


def cut(data: bytearray) -> None:
    del data[len(data) // 2 :]


async def newest_part(shelf: Shelf, snapshots: list[Snapshot], chunk: int) -> str:
    """The part that the snapshot of before `chunk` alone needs: the latents of the chunk before."""
    name = f"part-1-{snapshots[chunk].head.latents[-1]}"
    assert name in await shelf.sizes("s1")
    return name


async def at(history: SnapshotHistory, sid: str, chunk: int) -> Snapshot:
    found = await history.newest(sid, chunk)
    if found is None or found.chunk != chunk:
        raise NoSuchSnapshot(sid, chunk)
    return found.snapshot


async def test_every_snapshot_comes_back_as_it_was(history: SnapshotHistory, snapshots: list[Snapshot]) -> None:
    await fill(history, snapshots, range(16))
    assert await history.chunks("s1") == [*range(16)]
    for chunk in range(16):
        assert (await at(history, "s1", chunk)).pack() == snapshots[chunk].pack()
    for at_most, expected in ((99, 15), (15, 15), (7, 7)):
        found = await history.newest("s1", at_most)
        assert found is not None
        assert (found.chunk, found.damaged) == (expected, ())
        assert found.snapshot.pack() == snapshots[expected].pack()


async def test_what_never_was_is_not_there(history: SnapshotHistory, snapshots: list[Snapshot]) -> None:
    assert await history.newest("s1", 99) is None
    assert await history.chunks("s1") == []
    await fill(history, snapshots, range(5, 7))
    assert await history.newest("s1", 4) is None
    for use in (at(history, "s1", 4), history.copy("s1", 9, "s2"), at(history, "s2", 5)):
        with pytest.raises(NoSuchSnapshot, match="take a later time"):
            await use


async def test_a_part_is_stored_once(shelf: Shelf, history: SnapshotHistory, snapshots: list[Snapshot]) -> None:
    await fill(history, snapshots, range(8, 13))
    before = (await shelf.sizes("s1")).keys()
    await fill(history, snapshots, range(13, 14))
    added = (await shelf.sizes("s1")).keys() - before
    assert added == {"head-1-13", await newest_part(shelf, snapshots, 13)}


@pytest.mark.parametrize("place", [0.0, 0.02, 0.1, 0.5, 1.0])
async def test_a_damaged_head_is_skipped_and_named(
    shelf: Shelf, history: SnapshotHistory, snapshots: list[Snapshot], place: float
) -> None:
    await fill(history, snapshots, range(10))
    await damage(shelf, "head-1-9", flip(place))
    found = await history.newest("s1", 99)
    assert found is not None
    assert (found.chunk, found.damaged) == (8, (9,))
    assert found.snapshot.pack() == snapshots[8].pack()
    with pytest.raises(NoSuchSnapshot):
        await at(history, "s1", 9)


@pytest.mark.parametrize("change", [flip(0.0), flip(0.2), flip(0.6), flip(1.0), cut, bytearray.clear])
async def test_a_damaged_part_costs_the_snapshots_that_need_it(
    shelf: Shelf, history: SnapshotHistory, snapshots: list[Snapshot], change: Callable[[bytearray], None]
) -> None:
    await fill(history, snapshots, range(10))
    await damage(shelf, await newest_part(shelf, snapshots, 8), change)
    found = await history.newest("s1", 99)
    assert found is not None
    assert (found.chunk, found.damaged) == (7, (9, 8))
    assert found.snapshot.pack() == snapshots[7].pack()


async def test_so_does_a_part_that_is_gone(shelf: Shelf, history: SnapshotHistory, snapshots: list[Snapshot]) -> None:
    await fill(history, snapshots, range(10))
    await shelf.change("s1", {"else": b""}, [await newest_part(shelf, snapshots, 9)])
    found = await history.newest("s1", 99)
    assert found is not None
    assert (found.chunk, found.damaged) == (8, (9,))
    with pytest.raises(NoSuchSnapshot):
        await history.copy("s1", 9, "s2")
    assert await history.chunks("s2") == []


async def test_where_all_is_damaged_there_is_nothing_to_go_on_from(
    shelf: Shelf, history: SnapshotHistory, snapshots: list[Snapshot]
) -> None:
    await fill(history, snapshots, range(3))
    for chunk in range(3):
        await damage(shelf, f"head-1-{chunk}", flip(0.9))
    assert await history.newest("s1", 99) is None


async def test_a_copy_outlives_its_origin(shelf: Shelf, history: SnapshotHistory, snapshots: list[Snapshot]) -> None:
    await fill(history, snapshots, range(10))
    await history.copy("s1", 7, "s2")
    await history.forget("s1")
    assert await shelf.sizes("s1") == {}
    assert await history.chunks("s2") == [7]
    assert (await at(history, "s2", 7)).pack() == snapshots[7].pack()
    await history.writer("s2", 1).add(8, replace(snapshots[8], head=replace(snapshots[8].head, seed=5)))
    assert await history.chunks("s2") == [7, 8]
    found = await history.newest("s2", 8)
    assert found is not None
    assert found.snapshot.head.seed == 5


async def test_a_whole_snapshot_is_put_there_as_bytes_and_gone_on_from(
    history: SnapshotHistory, snapshots: list[Snapshot]
) -> None:
    await history.put("s1", 7, snapshots[7].pack())
    assert await history.chunks("s1") == [7]
    assert (await at(history, "s1", 7)).pack() == snapshots[7].pack()
    await history.copy("s1", 7, "s2")
    assert (await at(history, "s2", 7)).pack() == snapshots[7].pack()
    await history.writer("s1", 1).add(8, snapshots[8])
    assert await history.chunks("s1") == [7, 8]


async def test_a_zombie_s_snapshots_count_for_nothing_and_harm_none(
    history: SnapshotHistory, snapshots: list[Snapshot]
) -> None:
    zombie, owner = history.writer("s1", 1), history.writer("s1", 3)
    for chunk in range(6):
        await zombie.add(chunk, snapshots[chunk])
    await owner.add(4, snapshots[14])
    assert await history.chunks("s1") == [0, 1, 2, 3, 4]
    assert (await at(history, "s1", 4)).pack() == snapshots[14].pack()
    with suppress(Fenced):  # where a writer is told what is there after each change
        await zombie.add(6, snapshots[6])
    found = await history.newest("s1", 99)
    assert found is not None
    assert (found.chunk, found.damaged) == (4, ())
    with pytest.raises(Fenced):
        await history.writer("s1", 2).add(5, snapshots[5])
    await owner.add(5, snapshots[15])
    assert await history.chunks("s1") == [0, 1, 2, 3, 4, 5]
    assert (await at(history, "s1", 5)).pack() == snapshots[15].pack()


@pytest.mark.parametrize(
    ("heads", "expected"),
    [
        ([], []),
        ([(1, 0), (1, 1)], [(1, 0), (1, 1)]),
        ([(1, 9), (1, 10), (1, 11), (2, 10)], [(1, 9), (2, 10)]),
        ([(2, 10), (10, 9)], [(10, 9)]),
        ([(1, 3), (1, 9), (2, 4), (2, 7), (3, 6), (3, 8)], [(1, 3), (2, 4), (3, 6), (3, 8)]),
        ([(1, 3), (1, 5), (2, 8), (3, 5)], [(1, 3), (3, 5)]),
    ],
)
def test_which_heads_count(heads: list[tuple[int, int]], expected: list[tuple[int, int]]) -> None:
    assert counted([Place(*head) for head in heads]) == [Place(*head) for head in expected]


async def test_beyond_the_cap_the_oldest_go_with_the_parts_that_no_other_needs(
    shelf: Shelf, snapshots: list[Snapshot]
) -> None:
    await fill(SnapshotHistory(shelf, CAP), snapshots, range(16))
    whole = sum((await shelf.sizes("s1")).values())
    await shelf.forget("s1")
    cap = whole // 2
    history = SnapshotHistory(shelf, cap)
    await fill(history, snapshots, range(16))
    kept, sizes = await history.chunks("s1"), await shelf.sizes("s1")
    assert cap // 2 < sum(sizes.values()) <= cap
    assert kept == [*range(kept[0], 16)]
    assert kept[0] > 0
    needed = {f"part-1-{name}" for chunk in kept for name in snapshots[chunk].parts}
    assert sizes.keys() == needed | {f"head-1-{chunk}" for chunk in kept}
    for chunk in kept:
        assert (await at(history, "s1", chunk)).pack() == snapshots[chunk].pack()


async def test_the_newest_are_kept_whatever_the_cap(shelf: Shelf, snapshots: list[Snapshot]) -> None:
    history = SnapshotHistory(shelf, 1)
    await fill(history, snapshots, range(12))
    assert await history.chunks("s1") == [*range(12 - NEWEST_KEPT, 12)]
    await fill(history, snapshots, range(12, 14), fence=2)
    await fill(history, snapshots, range(14, 16), fence=3)
    assert (await history.chunks("s1"))[-1] == 15
    for chunk in await history.chunks("s1"):
        assert (await at(history, "s1", chunk)).pack() == snapshots[chunk].pack()


async def test_a_later_owner_drops_what_earlier_ones_have_left(
    shelf: Shelf, history: SnapshotHistory, snapshots: list[Snapshot]
) -> None:
    await fill(history, snapshots, range(8))
    await shelf.change("s1", {"part-1-" + "0" * 32: bytes(64)}, ["head-1-3"])  # as a writer leaves it that was killed
    await damage(shelf, "head-1-2", cut)
    small = SnapshotHistory(shelf, 1)
    await fill(small, snapshots, range(8, 16), fence=2)
    sizes = await shelf.sizes("s1")
    kept = range(16 - NEWEST_KEPT, 16)
    needed = {f"part-2-{name}" for chunk in kept for name in snapshots[chunk].parts}
    assert sizes.keys() == needed | {f"head-2-{chunk}" for chunk in kept}


async def test_what_was_done_twice_is_there_once(
    shelf: Shelf, history: SnapshotHistory, snapshots: list[Snapshot]
) -> None:
    writer = history.writer("s1", 1)
    await writer.add(3, snapshots[3])
    await writer.add(3, snapshots[13])
    assert (await at(history, "s1", 3)).pack() == snapshots[13].pack()
    small = SnapshotHistory(shelf, 1).writer("s1", 1)
    for chunk in range(4, 12):
        await small.add(chunk, snapshots[chunk])
    assert await history.chunks("s1") == [8, 9, 10, 11]


async def test_after_a_rewind_parts_that_were_dropped_are_stored_again(shelf: Shelf, snapshots: list[Snapshot]) -> None:
    history = SnapshotHistory(shelf, 1)
    writer = history.writer("s1", 1)
    for chunk, logical in enumerate([*range(12), *range(2, 9)]):
        await writer.add(chunk, snapshots[logical])
        assert (await at(history, "s1", chunk)).pack() == snapshots[logical].pack()


async def test_a_session_that_nobody_writes_to_is_forgotten_after_a_day(
    tmp_path: Path, server: RedisServer, snapshots: list[Snapshot]
) -> None:
    in_redis = RedisShelf(server.url, PATIENT_SECONDS)
    await fill(SnapshotHistory(in_redis, CAP), snapshots, range(2))
    assert 0 < await in_redis._reading.ttl("{s1}:snapshots") <= KEEP_SECONDS
    await SnapshotHistory(in_redis, CAP).copy("s1", 1, "s2")
    assert 0 < await in_redis._reading.ttl("{s2}:snapshots") <= KEEP_SECONDS
    await in_redis.prune()
    await in_redis.forget("s1")
    await in_redis.forget("s2")
    await in_redis.close()
    in_files = FileShelf(str(tmp_path), PATIENT_SECONDS)
    history = SnapshotHistory(in_files, CAP)
    await fill(history, snapshots, range(2))
    await history.copy("s1", 1, "s2")
    long_ago = 1_000_000_000
    for path in (tmp_path / "history" / "sessions" / "s1").iterdir():
        os.utime(path, (long_ago, long_ago))
    await history.prune()
    assert await history.chunks("s1") == []
    assert await history.chunks("s2") == [1]
    await history.close()


async def test_a_redis_that_died_and_comes_back_empty_gets_all_that_is_missing(
    tmp_path: Path, snapshots: list[Snapshot]
) -> None:
    with RedisServer(tmp_path) as server:
        async with in_redis_at(server.url) as history:
            writer = history.writer("s1", 1)
            for chunk in range(6):
                await writer.add(chunk, snapshots[chunk])
            kill(server)
            for use in (writer.add(6, snapshots[6]), history.newest("s1", 9), history.chunks("s1")):
                with pytest.raises(SnapshotsAway, match="Check LONGLIVE_SNAPSHOTS"):
                    await use
            empty(tmp_path)
            server.keep()
            await writer.add(7, snapshots[7])
            assert await history.chunks("s1") == [7]
            assert (await at(history, "s1", 7)).pack() == snapshots[7].pack()


async def test_a_history_that_was_emptied_unseen_gets_all_that_is_missing(
    server: RedisServer, snapshots: list[Snapshot]
) -> None:
    async with in_redis_at(server.url) as history:
        writer = history.writer("s1", 1)
        for chunk in range(6):
            await writer.add(chunk, snapshots[chunk])
        await history.forget("s1")
        await writer.add(6, snapshots[6])
        assert await history.chunks("s1") == [6]
        assert (await at(history, "s1", 6)).pack() == snapshots[6].pack()
        await history.forget("s1")


async def test_a_redis_that_hangs_is_waited_for_in_bounded_time_and_gets_what_is_missing_later(
    tmp_path: Path, snapshots: list[Snapshot]
) -> None:
    with RedisServer(tmp_path) as server:
        assert server.pid is not None
        async with closed_after(open_history(server.url, CAP)) as history:
            writer = history.writer("s1", 1)
            await until(lambda: stored(writer.add(5, snapshots[5])))
            os.kill(server.pid, signal.SIGSTOP)
            try:
                for chunk in (6, 7):
                    with pytest.raises(SnapshotsAway):
                        await writer.add(chunk, snapshots[chunk])
            finally:
                os.kill(server.pid, signal.SIGCONT)
            await until(lambda: stored(writer.add(8, snapshots[8])))
            assert (await at(history, "s1", 8)).pack() == snapshots[8].pack()


async def test_a_writer_whose_caller_gave_up_waiting_stores_what_is_missing_with_the_next(
    server: RedisServer, snapshots: list[Snapshot]
) -> None:
    async with in_redis_at(server.url) as history:
        writer = history.writer("s1", 1)
        for chunk in range(2, 12):
            adding = asyncio.ensure_future(writer.add(chunk, snapshots[chunk]))
            for _ in range(chunk - 2):
                await asyncio.sleep(0)
            adding.cancel()
            await asyncio.wait([adding])
        await writer.add(12, snapshots[12])
        assert (await at(history, "s1", 12)).pack() == snapshots[12].pack()
        await history.forget("s1")


async def test_a_folder_that_cannot_be_written_to_is_away(tmp_path: Path, snapshots: list[Snapshot]) -> None:
    (tmp_path / "history").write_text("in the way")
    async with closed_after(SnapshotHistory(FileShelf(str(tmp_path), PATIENT_SECONDS), CAP)) as history:
        writer = history.writer("s1", 1)
        with pytest.raises(SnapshotsAway):
            await writer.add(3, snapshots[3])
        (tmp_path / "history").unlink()
        await writer.add(4, snapshots[4])
        assert (await at(history, "s1", 4)).pack() == snapshots[4].pack()


@asynccontextmanager
async def closed_after(history: SnapshotHistory) -> AsyncIterator[SnapshotHistory]:
    yield history
    await history.close()


def in_redis_at(url: str) -> AbstractAsyncContextManager[SnapshotHistory]:
    return closed_after(SnapshotHistory(RedisShelf(url, PATIENT_SECONDS), CAP))


def kill(server: RedisServer) -> None:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    while server.alive:
        pass


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name != "lock":
            path.unlink()


async def stored(adding: Awaitable[None]) -> bool:
    try:
        await adding
    except SnapshotsAway:
        return False
    return True


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await holds():
            pass
