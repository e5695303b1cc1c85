"""Snapshots in the media store: the newest stays, whoever cleans up and however late."""

from __future__ import annotations

from pathlib import Path

from deployments.media_store import MediaStore
from deployments.snapshots import Snapshots


async def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    snapshots = Snapshots(MediaStore(str(tmp_path)))
    assert await snapshots.load(await snapshots.save("s1", 1, 4, b"data")) == b"data"


async def test_a_late_clean_up_deletes_earlier_ones_only(tmp_path: Path) -> None:
    store = MediaStore(str(tmp_path))
    snapshots = Snapshots(store)
    paths = [await snapshots.save("s1", fence, chunk, b"") for fence, chunk in ((2, 9), (10, 3), (10, 20), (11, 1))]
    await store.write("s1/snapshots/else", b"")
    await snapshots.forget_others(paths[2])
    assert await store.names("s1/snapshots") == ["10-20", "11-1", "else"]
    await snapshots.forget_others(paths[0])
    await snapshots.forget_others("s2/snapshots/1-1")
    assert await store.names("s1/snapshots") == ["10-20", "11-1", "else"]
