"""What a client gets of a session's picture: fragments, frames, files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import httpx

from deployments.api.export_models import AskExport, ExportList, ExportView
from deployments.client_calls import SessionRef, path_part, state
from deployments.client_errors import ApiError, ExportFailed, Unreachable
from deployments.client_retries import Budget
from deployments.client_steps import Call, Give, Items, Read, Series, poll
from deployments.export import ExportFormat, ExportState
from deployments.fragments import RING_SIZE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class LiveFragment:
    """One chunk of the video, `frames` frames from `first_frame` on. `data` plays behind the init segment.

    `skipped`: chunks between the one that was given before and this one, which the reader was too slow for.
    """

    chunk: int
    first_frame: int
    frames: int
    skipped: int
    data: bytes


@dataclass(frozen=True)
class Saved:
    """What is in a file: its frames, and how many chunks between them were missed."""

    frames: int
    skipped: int


def init_segment(session: SessionRef) -> Call[bytes]:
    """What a player needs before the first fragment."""
    return (yield from session.retries.send(session.request("GET", "/init.mp4"))).content


def fragments(
    session: SessionRef, after: int = -1, most_behind: int = RING_SIZE, seconds: float | None = None
) -> Series[LiveFragment]:
    """The video as it is made, until it is over: from chunk `after` + 1 on, or from the oldest that is still kept.

    Or `seconds` of it and the rest of a chunk. Who is more than `most_behind` chunks behind skips to the newest; each
    fragment says how many were skipped.
    """
    most = None if seconds is None else seconds * (yield from state(session)).fps
    start: int | None = None
    last = after
    while True:
        params = {"after": after, "most_behind": most_behind}
        try:
            answer = yield from session.retries.send(session.request("GET", "/fragments", params=params))
        except ApiError as problem:
            if problem.code == "fragments-over":
                return
            if problem.code != "bad-cursor" or after < 0:
                raise
            after = -1  # the service forgot that it has made what we have: go on with what comes behind that
            yield from poll()
            continue
        if answer.status_code == httpx.codes.NO_CONTENT:
            yield from poll()
            continue
        after = int(answer.headers["X-Fragment"])
        if after > last:
            first_frame, count = int(answer.headers["X-First-Frame"]), int(answer.headers["X-Frames"])
            skipped = after - last - 1 if last >= 0 else 0
            last = after
            yield Give(LiveFragment(after, first_frame, count, skipped, answer.content))
            start = first_frame if start is None else start
            if most is not None and first_frame + count - start >= most:
                return


def frames(session: SessionRef, after: int = -1, most_behind: int = RING_SIZE) -> Series[NDArray[np.uint8]]:
    """The pictures of each fragment, [T, H, W, 3]. Needs PyAV; raises ImportError, which says so."""
    from deployments.client_video import decode

    init = yield from init_segment(session)
    found = Items(fragments(session, after, most_behind))
    while (fragment := (yield from found.next())) is not None:
        yield Give(decode(init, fragment.data))


def save(
    session: SessionRef,
    path: str | Path,
    seconds: float | None = None,
    told: Callable[[LiveFragment], None] | None = None,
) -> Call[Saved]:
    """Write the video to an mp4 file as it is made: `seconds` of it and the rest of a chunk, or all to its end.

    It begins with what the service still keeps, some seconds back; an export of a recorded session has all.
    The file can be played at any time, also while it is written. `told` is called for each fragment.
    """
    from deployments.client_video import moved

    init = yield from init_segment(session)
    found = Items(fragments(session, seconds=seconds))
    made = skipped = 0
    start: int | None = None
    with Path(path).open("wb") as file:
        file.write(init)
        while (fragment := (yield from found.next())) is not None:
            start = fragment.first_frame if start is None else start
            file.write(moved(fragment.data, -start))
            file.flush()
            made += fragment.frames
            skipped += fragment.skipped
            if told is not None:
                told(fragment)
    return Saved(made, skipped)


def export(
    session: SessionRef, format: ExportFormat | str = "mp4", start: float | None = None, end: float | None = None
) -> Call[ExportView]:
    """Have a file made of what is recorded between two times of the video, in seconds; `download` fetches it."""
    ask = AskExport.model_validate({"format": format, "from": start, "to": end})
    body = ask.model_dump(mode="json", by_alias=True, exclude_none=True)
    return (yield from session.retries.ask(ExportView, session.request("POST", "/exports", body=body)))


def exports(session: SessionRef) -> Call[list[ExportView]]:
    """Every export of the session, newest first."""
    return (yield from session.retries.ask(ExportList, session.request("GET", "/exports"))).data


def export_progress(session: SessionRef, export_id: str) -> Series[ExportView]:
    """An export as it is, and again whenever it has changed, until it is completed. Raises ExportFailed."""
    seen = None
    while True:
        view = yield from session.retries.ask(ExportView, session.request("GET", f"/exports/{path_part(export_id)}"))
        if view != seen:
            yield Give(view)
        if view.status is ExportState.failed:
            raise ExportFailed(f"Export {export_id} has failed. {view.reason or ''}".strip())
        if view.status is ExportState.completed:
            return
        seen = view
        yield from poll()


def download(session: SessionRef, export_id: str, path: str | Path) -> Call[ExportView]:
    """The file of an export, once it is completed; whole, or not there. Goes on where a connection broke."""
    made = Items(export_progress(session, export_id))
    while (view := (yield from made.next())) is not None:
        found = view
    part = Path(f"{path}.part")
    try:
        with part.open("wb") as file:
            yield from _fetch(session, f"/exports/{path_part(export_id)}/content", found.size or 0, file)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return found


def _fetch(session: SessionRef, below: str, size: int, file: BinaryIO) -> Call[None]:
    budget = Budget(session.retries)
    while (here := file.tell()) < size:
        request = session.request("GET", below, headers={"Range": f"bytes={here}-"})
        answer = yield from session.retries.open(request, budget)
        if answer.status_code == httpx.codes.OK:
            file.seek(0)  # somebody in between does not know ranges
        try:
            while (data := (yield Read())) is not None:
                file.write(data)
                budget.renew()
        except httpx.TransportError as error:
            yield from budget.wait(Unreachable(session.retries.url, error))
