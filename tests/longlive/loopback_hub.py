"""A double of the hub on this machine: it speaks as much of its protocol as a download needs, and can misbehave."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

LARGE = 1000  # from this size on a file is stored by its SHA-256


class LoopbackHub(ThreadingHTTPServer):
    """`files` by `repo/file`; a request that needs a token is refused unless it brings `token`."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = files
        self.token: str | None = None
        self.cut_after: list[int] = []
        """Bytes after which the next answers break off, one entry each."""
        self.ranges_work = True
        self.damage = False
        self.requests: list[tuple[str, str, str | None]] = []
        """Method, file and range of every request."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: LoopbackHub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        hub = self.server
        repo, _, file = unquote(self.path.lstrip("/")).partition("/resolve/main/")
        span = self.headers.get("Range")
        hub.requests.append((self.command, file, span))
        if hub.token is not None and self.headers.get("Authorization") != f"Bearer {hub.token}":
            return self._refuse(401, "RepoNotFound")
        content = hub.files.get(f"{repo}/{file}")
        if content is None:
            return self._refuse(404, "EntryNotFound")
        start = int(span.removeprefix("bytes=").rstrip("-")) if span and hub.ranges_work else 0
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{digest(content)}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if not body:
            return None
        if hub.damage:
            content = bytes(len(content))
        if hub.cut_after:
            self.wfile.write(content[start : start + hub.cut_after.pop(0)])
            self.close_connection = True
        else:
            self.wfile.write(content[start:])
        return None

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Not into the tests' output."""


def digest(content: bytes) -> str:
    """As the hub names a file's content."""
    if len(content) >= LARGE:
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[LoopbackHub]:
    with LoopbackHub(files) as hub:
        thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()
