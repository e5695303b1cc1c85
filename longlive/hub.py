"""Fetches the files of a preset from the hub that publishes them: sizes first, resumable, every file verified.

The hub's own library keeps no part of a file whose download was interrupted. These are gigabytes, so the transfer is
ours: a `.part` file beside the destination, gone on with by a range request, renamed once its hash is right. An empty
lock file stays there: who removed it would let two downloads in that wait for it and come after it.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants as hub_constants
from huggingface_hub import get_hf_file_metadata, get_session, hf_hub_url
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HTTPError, RepositoryNotFoundError
from huggingface_hub.utils import WeakFileLock, build_hf_headers, hf_raise_for_status

from longlive.presets import Source

PIECE = 1 << 20
TIMEOUT = 30.0  # seconds without a byte
PATIENCE = 5  # attempts in a row that bring nothing
PARTIAL = 206
SHA1, SHA256 = re.compile(r"[0-9a-f]{40}"), re.compile(r"[0-9a-f]{64}")

Advance = Callable[[int], None]


class FetchError(Exception):
    """A file cannot be had; the text, one line, says why."""


class _Interrupted(FetchError):
    """The connection failed, which may pass."""


@dataclass(frozen=True)
class RemoteFile:
    """A file as the hub describes it. `digest` is the SHA-256 of a large file, the git blob's SHA-1 of a small one."""

    source: Source
    size: int
    digest: str

    def is_at(self, path: Path, advance: Advance = lambda count: None) -> bool:
        """Whether this is what the file at a path holds, read from beginning to end; `advance` gets bytes."""
        if not path.is_file() or path.stat().st_size != self.size:
            return False
        large = SHA256.fullmatch(self.digest)
        hashed = hashlib.sha256() if large else hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False)
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                hashed.update(piece)
                advance(len(piece))
        return hashed.hexdigest() == self.digest


class Hub:
    """The Hugging Face hub, or the one that HF_ENDPOINT names. Every method raises FetchError.

    A token is taken from HF_TOKEN, or from where the hub's own tools keep it.
    """

    def __init__(self, endpoint: str | None = None, sleep: Callable[[float], None] = time.sleep) -> None:
        self.endpoint = endpoint or hub_constants.ENDPOINT
        self._sleep = sleep

    def look_up(self, source: Source) -> RemoteFile:
        """What the hub says of a published file."""
        repo, url = self._place(source)
        with self._faults(repo):
            found = get_hf_file_metadata(url, timeout=TIMEOUT, endpoint=self.endpoint)
        digest = found.etag or ""
        if found.size is None or not (SHA1.fullmatch(digest) or SHA256.fullmatch(digest)):
            raise FetchError(f"{self.endpoint} does not answer as a hub does; check HF_ENDPOINT and the proxy settings")
        return RemoteFile(source, found.size, digest)

    def download(self, remote: RemoteFile, path: Path, advance: Advance = lambda count: None) -> None:
        """Brings a file to `path`, going on where an earlier attempt stopped; `advance` gets bytes, old ones at once.

        Nothing is at `path` before it is whole and verified. Who else is bringing it there is waited for.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(path.with_name(f".{path.name}.lock")):
            if remote.is_at(path):
                advance(remote.size)
            else:
                self._download(remote, path, advance)

    def _download(self, remote: RemoteFile, path: Path, advance: Advance) -> None:
        part = partial_path(path, remote.digest)
        if part.exists() and part.stat().st_size > remote.size:
            part.unlink()
        part.touch()
        advance(part.stat().st_size)
        attempts = 0
        while (had := part.stat().st_size) < remote.size:
            try:
                self._append(remote.source, part, advance)
            except _Interrupted:
                attempts = 0 if part.stat().st_size > had else attempts + 1
                if attempts >= PATIENCE:
                    raise
                self._sleep(1 + attempts)
        if not remote.is_at(part):
            part.unlink()
            raise FetchError(f"{remote.source.file} arrived damaged: its hash is not the one that the hub says")
        part.replace(path)

    def _append(self, source: Source, part: Path, advance: Advance) -> None:
        repo, url = self._place(source)
        had = part.stat().st_size
        headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
        if had:
            headers["Range"] = f"bytes={had}-"
        with (
            self._faults(repo),
            get_session().stream("GET", url, headers=headers, follow_redirects=True, timeout=TIMEOUT) as response,
        ):
            hf_raise_for_status(response)
            if had and response.status_code != PARTIAL:  # the whole file comes again
                advance(-had)
                part.write_bytes(b"")
            with part.open("ab") as file:
                for piece in response.iter_bytes():  # as they come: what waits for more is lost when the line breaks
                    file.write(piece)
                    advance(len(piece))

    def _place(self, source: Source) -> tuple[str, str]:
        assert source.repo is not None
        return source.repo, hf_hub_url(source.repo, source.file, endpoint=self.endpoint)

    @contextmanager
    def _faults(self, repo: str) -> Iterator[None]:
        try:
            yield
        except RepositoryNotFoundError as error:
            raise FetchError(
                f"{self.endpoint} has no {repo} for you; a wrong token in HF_TOKEN looks like that"
            ) from error
        except EntryNotFoundError as error:
            raise FetchError(f"{repo} has no such file any more: {_line(error)}") from error
        except HfHubHTTPError as error:
            raise FetchError(f"{self.endpoint} refuses {repo}: {_line(error)}") from error
        except (HTTPError, ConnectionError) as error:
            raise _Interrupted(f"cannot reach {self.endpoint} ({_line(error)})") from error


def partial_path(path: Path, digest: str) -> Path:
    """Where the file with this digest is while it is being downloaded: another one's part is not gone on with."""
    return path.with_name(f"{path.name}.{digest[:12]}.part")


def missing_bytes(files: Sequence[RemoteFile], folder: Path) -> int:
    """How much is still to be downloaded of files that are to be in a folder."""
    parts = [partial_path(folder / remote.source.path, remote.digest) for remote in files]
    there = sum(part.stat().st_size for part in parts if part.is_file())
    return max(0, sum(remote.size for remote in files) - there)


def free_bytes(folder: Path) -> int:
    """Room on the disk that a folder is on, or will be on."""
    existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.is_dir())
    return shutil.disk_usage(existing).free


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
