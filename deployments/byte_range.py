"""Which bytes of a file a client asks for (RFC 9110, section 14): one range, or all."""

from __future__ import annotations

import re

_RANGE = re.compile(r"bytes\s*=\s*(\d*)\s*-\s*(\d*)", re.IGNORECASE)


class Unsatisfiable(Exception):
    """The range begins behind the end of the file."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size

    def __str__(self) -> str:
        return f"The file ends before that range begins: it has {self.size} bytes."


def wanted(header: str | None, if_range: str | None, etag: str, size: int) -> range | None:
    """The bytes to answer with; None: all of them, because no range, several, or none of this version was asked for.

    Raises Unsatisfiable.
    """
    match = _RANGE.fullmatch(header.strip()) if header and if_range in (None, etag) else None
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:  # the last so many bytes
        start, stop = max(0, size - int(match[2])), size
    else:
        start, stop = int(match[1]), min(size, int(match[2]) + 1) if match[2] else size
        if match[2] and int(match[2]) < start:
            return None  # not valid, so not a range
    if start >= size:
        raise Unsatisfiable(size)
    return range(start, stop)


def content_range(part: range, size: int) -> str:
    return f"bytes {part.start}-{part.stop - 1}/{size}"
