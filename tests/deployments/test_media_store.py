"""The media store: whole objects or none, in any place, and errors that say what to do."""

from __future__ import annotations

import asyncio
import errno
import math
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from deployments.media_store import MediaStore, NoSuchMedia, StoreFull, StoreUnavailable


@pytest.fixture(params=["path", "file", "memory"])
def media(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MediaStore]:
    urls = {"path": str(tmp_path / "media"), "file": f"file://{tmp_path}/media", "memory": "memory://media"}
    store = MediaStore(urls[request.param])
    yield store
    store.close()
    MemoryFileSystem.store.clear()


async def test_what_was_written_is_read_whole_in_part_and_listed(media: MediaStore) -> None:
    await media.write("s1/recording/b", b"hello")
    await media.write("s1/recording/a", b"")
    await media.write("s2/init.mp4", b"x")
    assert await media.read("s1/recording/b") == b"hello"
    assert await media.read_range("s1/recording/b", 1, 3) == b"el"
    assert await media.read_range("s1/recording/b", 3, 300) == b"lo"
    assert await media.names("s1/recording") == ["a", "b"]
    assert await media.sessions() == ["s1", "s2"]
    assert [await media.exists(path) for path in ("s1/recording/b", "s1/recording/c")] == [True, False]


async def test_what_is_not_there_is_named_and_a_folder_that_is_not_there_is_empty(media: MediaStore) -> None:
    for read in (media.read("s1/x"), media.read_range("s1/x", 0, 1)):
        with pytest.raises(NoSuchMedia, match=r"'s1/x'"):
            await read
    assert await media.names("s1/recording") == []
    assert await media.sessions() == []


async def test_a_deleted_session_is_gone_and_can_be_deleted_again(media: MediaStore) -> None:
    await media.write("s1/exports/e.mp4", b"x")
    await media.write("s1/init.mp4", b"x")
    await media.delete("s1/init.mp4")
    await media.delete("s1/init.mp4")
    assert await media.exists("s1/exports/e.mp4")
    await media.delete_tree("s1")
    await media.delete_tree("s1")
    assert await media.sessions() == []


async def test_a_file_is_put_and_replaces_what_was_there(media: MediaStore, tmp_path: Path) -> None:
    await media.write("s1/exports/e.mp4", b"old and longer")
    (tmp_path / "made").write_bytes(b"new")
    await media.put(tmp_path / "made", "s1/exports/e.mp4")
    assert await media.read("s1/exports/e.mp4") == b"new"
    assert await media.names("s1/exports") == ["e.mp4"]


@pytest.mark.parametrize(
    "path", ["..", "../x", "s1/../../x", "/etc/passwd", "s1//x", "", "s1/.hidden", "s1/a b", "s\n"]
)
async def test_a_path_cannot_leave_the_store(media: MediaStore, path: str) -> None:
    for call in (media.read, media.idle_seconds, media.names, media.delete_tree, media.exists):
        with pytest.raises(ValueError, match="not a path"):
            await call(path)


async def test_a_write_that_fails_leaves_the_old_object_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    media = MediaStore(str(tmp_path))
    await media.write("s1/init.mp4", b"old")
    real = LocalFileSystem.pipe_file

    def full(fs: LocalFileSystem, path: str, data: bytes, **_: object) -> None:
        real(fs, path, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(LocalFileSystem, "pipe_file", full)
    with pytest.raises(StoreFull, match=r"No space left on device.*LONGLIVE_STORE"):
        await media.write("s1/init.mp4", b"new and long")
    assert await media.read("s1/init.mp4") == b"old"
    assert [path.name for path in (tmp_path / "sessions" / "s1").iterdir()] == ["init.mp4"]


def test_a_disk_that_takes_no_more_is_full(tmp_path: Path) -> None:
    """A real limit of the kernel, in a process of its own."""
    script = (
        "import asyncio, resource, sys; from deployments.media_store import *\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: asyncio.run(MediaStore(sys.argv[1]).write('s1/x', bytes(2000)))\n"
        "except StoreFull as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "The media store is full" in done.stdout
    assert list((tmp_path / "sessions" / "s1").iterdir()) == []


async def test_a_place_that_cannot_be_a_store_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StoreUnavailable, match=r"Not a directory|File exists"):
        await MediaStore(str(tmp_path / "file")).write("s1/x", b"")


async def test_nobody_waits_for_a_store_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(LocalFileSystem, "pipe_file", lambda *_: go_on.wait(60))
    media = MediaStore(str(tmp_path), seconds=0.05)
    try:
        with pytest.raises(StoreUnavailable, match=r"no answer in 0\.05 seconds"):
            await media.write("s1/x", b"")
    finally:
        go_on.set()
        await asyncio.to_thread(media.close)


@pytest.mark.parametrize("error", [StoreFull("quota"), StoreUnavailable("gone"), NoSuchMedia("s1/x")])
def test_errors_cross_processes(error: Exception) -> None:
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


async def test_what_else_lies_in_the_place_is_none_of_its_business(tmp_path: Path) -> None:
    media = MediaStore(str(tmp_path))
    (tmp_path / "holiday").mkdir()
    await media.write("s1/init.mp4", b"x")
    assert await media.sessions() == ["s1"]


async def test_it_tells_how_long_ago_a_session_was_written_to(media: MediaStore) -> None:
    await media.write("s1/init.mp4", b"x")
    assert 0 <= await media.idle_seconds("s1") < 3600
    assert await media.idle_seconds("s2") == math.inf


async def test_one_listing_tells_when_a_session_was_written_to(
    media: MediaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for fs in (LocalFileSystem, MemoryFileSystem):
        monkeypatch.setattr(fs, "modified", lambda *_: pytest.fail("asked for one object"))
    await media.write("s1/init.mp4", b"x")
    await media.write("s1/recording/000000000-4.m4s", b"x")
    assert 0 <= await media.idle_seconds("s1") < 3600


@pytest.mark.parametrize(
    "info",
    [
        {"mtime": 1e9, "created": 2e9},
        {"LastModified": datetime.fromtimestamp(1e9, UTC), "ETag": "x"},
        {"last_modified": datetime.fromtimestamp(1e9, UTC), "creation_time": datetime.fromtimestamp(2e9, UTC)},
        {"mtime": datetime.fromtimestamp(1e9, UTC), "updated": "2001-09-09T01:46:40.000Z"},
        {"updated": "2001-09-09T01:46:40.000Z"},
        {},
    ],
    ids=["local", "s3", "azure", "google", "a text", "nothing"],
)
async def test_every_filesystem_says_in_its_own_words_when_an_object_was_written(
    monkeypatch: pytest.MonkeyPatch, info: dict[str, object]
) -> None:
    """As it lists them; of one whose words nobody knows, each object is asked for."""
    media = MediaStore("memory://media")
    monkeypatch.setattr(MemoryFileSystem, "find", lambda *_, **__: {"/media/sessions/s1/init.mp4": info})
    monkeypatch.setattr(MemoryFileSystem, "modified", lambda *_: datetime.fromtimestamp(1e9, UTC))
    assert await media.idle_seconds("s1") == pytest.approx(time.time() - 1e9, abs=3600)
    media.close()
