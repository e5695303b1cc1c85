"""Files of sessions in one place that fsspec can reach: a folder, S3, Google Cloud Storage, Azure, memory."""

from __future__ import annotations

import asyncio
import errno
import math
import re
import secrets
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import get_protocol

THREADS = 4
CALL_SECONDS = 30.0
PUT_SECONDS = 1800.0
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_WRITTEN = ("mtime", "LastModified", "last_modified", "updated", "created")
T = TypeVar("T")


class MediaError(Exception):
    """Its text is for people. Survives pickling, so it crosses processes."""


class NoSuchMedia(MediaError):
    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"There is no {self.path!r} in the media store: it was never written, or it was deleted."


class StoreFull(MediaError):
    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said

    def __str__(self) -> str:
        return f"The media store is full ({self.said}). Make room in it, or set LONGLIVE_STORE to a larger one."


class StoreUnavailable(MediaError):
    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said

    def __str__(self) -> str:
        return f"The media store does not work ({self.said}). Check LONGLIVE_STORE and what it names."


class MediaStore:
    """Objects at paths `{session}/{folder}/{name}` in `sessions`, a folder of an fsspec URL or of a local folder.

    What lies beside that folder is never looked at.

    An object is there whole or not at all. Every call runs in a thread of this store, takes CALL_SECONDS at most, and
    raises StoreFull or StoreUnavailable; ValueError for a path that no part of this service would name.
    """

    def __init__(self, url: str, seconds: float = CALL_SECONDS) -> None:
        local = get_protocol(url) in ("file", "local")
        options = {"auto_mkdir": True} if local else {}
        self._fs, root = fsspec.url_to_fs(url, use_listings_cache=False, skip_instance_cache=True, **options)
        self._root = f"{str(root).rstrip('/')}/sessions"
        self._seconds = seconds
        # Its own threads: what hangs in a dead network disk takes no thread from anybody else.
        self._threads = ThreadPoolExecutor(THREADS, "media")

    async def write(self, path: str, data: bytes) -> None:
        """Have `data` at `path`, instead of what may be there."""
        await self._call(self._write, self._at(path), data)

    async def put(self, file: Path, path: str) -> None:
        """Have a copy of a file of this machine at `path`; this may take PUT_SECONDS."""
        await self._call(self._put, self._at(path), file, seconds=PUT_SECONDS)

    async def read(self, path: str) -> bytes:
        """Raises NoSuchMedia."""
        return await self._call(self._fs.cat_file, self._at(path))

    async def read_range(self, path: str, start: int, stop: int) -> bytes:
        """Bytes [start, stop), fewer where the object ends before. Raises NoSuchMedia."""
        return await self._call(self._fs.cat_file, self._at(path), start=start, end=stop)

    async def exists(self, path: str) -> bool:
        return await self._call(self._fs.exists, self._at(path))

    async def names(self, folder: str) -> list[str]:
        """The objects of a folder such as `{session}/recording`, sorted; none if it does not exist."""
        return await self._call(self._list, self._at(folder))

    async def sizes(self, folder: str) -> dict[str, int]:
        """The objects of a folder, each with its size in bytes; none if it does not exist."""
        return await self._call(self._sizes, self._at(folder))

    async def copy(self, path: str, target: str) -> None:
        """Have at `target` what is at `path`, by the store itself where it can. Raises NoSuchMedia."""
        await self._call(self._copy, self._at(path), self._at(target))

    async def delete(self, path: str) -> None:
        """Repeatable."""
        await self._call(self._delete, self._at(path))

    async def delete_tree(self, sid: str) -> None:
        """All that a session has here. Repeatable."""
        await self._call(self._delete, self._at(sid), recursive=True)

    async def sessions(self) -> list[str]:
        """Every session that has something here."""
        return await self._call(self._list, self._root)

    async def idle_seconds(self, sid: str) -> float:
        """Since something of the session was last written; infinite if there is nothing."""
        return await self._call(self._idle, self._at(sid))

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _at(self, path: str) -> str:
        if not all(_NAME.fullmatch(part) for part in path.split("/")):
            raise ValueError(f"not a path of the media store: {path!r}")
        return f"{self._root}/{path}"

    def _write(self, target: str, data: bytes) -> None:
        self._replace(target, lambda temporary: self._fs.pipe_file(temporary, data))

    def _put(self, target: str, file: Path) -> None:
        self._replace(target, lambda temporary: self._fs.put_file(str(file), temporary))

    def _replace(self, target: str, write: Callable[[str], None]) -> None:
        if not isinstance(self._fs, LocalFileSystem):
            write(target)  # object stores show an object once it is whole
            return
        folder, _, name = target.rpartition("/")
        temporary = f"{folder}/.{name}.{secrets.token_hex(4)}"
        try:
            write(temporary)
            self._fs.mv(temporary, target)
        except BaseException:
            with suppress(Exception):
                self._fs.rm_file(temporary)
            raise

    def _list(self, folder: str) -> list[str]:
        try:
            found = self._fs.ls(folder, detail=False)
        except FileNotFoundError:
            return []
        names = (str(path).rstrip("/").rpartition("/")[2] for path in found)
        return sorted(name for name in names if _NAME.fullmatch(name))

    def _sizes(self, folder: str) -> dict[str, int]:
        try:
            found = self._fs.ls(folder, detail=True)
        except FileNotFoundError:
            return {}
        sizes = {str(info["name"]).rstrip("/").rpartition("/")[2]: int(info["size"] or 0) for info in found}
        return {name: size for name, size in sizes.items() if _NAME.fullmatch(name)}

    def _copy(self, source: str, target: str) -> None:
        self._replace(target, lambda temporary: self._fs.cp_file(source, temporary))

    def _idle(self, target: str) -> float:
        # One listing tells all: to ask for each object would be a request for each.
        found = self._fs.find(target, detail=True)
        written = [_written(info) or self._fs.modified(path).timestamp() for path, info in found.items()]
        return time.time() - max(written, default=-math.inf)

    def _delete(self, target: str, recursive: bool = False) -> None:
        with suppress(FileNotFoundError):
            self._fs.rm(target, recursive=recursive)

    async def _call(
        self, work: Callable[..., T], path: str, *args: object, seconds: float | None = None, **options: object
    ) -> T:
        """`work` in a thread. One that hangs goes on hanging there, but nobody waits for it."""
        loop = asyncio.get_running_loop()
        limit = seconds or self._seconds
        try:
            async with asyncio.timeout(limit):
                return await loop.run_in_executor(self._threads, lambda: work(path, *args, **options))
        except TimeoutError:
            raise StoreUnavailable(f"no answer in {limit:g} seconds") from None
        except FileNotFoundError as error:
            raise NoSuchMedia(path.removeprefix(f"{self._root}/")) from error
        except OSError as error:
            if error.errno in _FULL:
                raise StoreFull(error.strerror or str(error)) from error
            raise StoreUnavailable(str(error)) from error
        except Exception as error:  # whatever the library of a cloud raises
            raise StoreUnavailable(f"{type(error).__name__}: {error}") from error


def _written(info: Mapping[str, object]) -> float | None:
    """Unix time of the last write, if a listing tells: each filesystem has another word for it."""
    for name in _WRITTEN:
        match info.get(name):
            case float() | int() as seconds:
                return seconds
            case datetime() as moment:
                return moment.timestamp()
    return None
