"""What is kept of a session's picture: exports of its recording, a poster, thumbnails."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from deployments import thumbnails
from deployments.api.export_models import AskExport, ExportList, ExportView
from deployments.api.export_refusals import (
    ExporterBusy,
    ExportFailed,
    ExportNotReady,
    NoPicture,
    NoSuchThumbnail,
    NothingRecorded,
    NotRecorded,
    TooLong,
    TooManyExports,
)
from deployments.api.models import MAX_FRAME, MAX_SECONDS, AnswerModel
from deployments.api.problems import problems
from deployments.api.services import Services
from deployments.byte_range import Unsatisfiable, content_range, wanted
from deployments.download import PIECE_BYTES
from deployments.export import Export, ExportFormat, ExportState
from deployments.exports import MOST_KEPT, MOST_PICTURES_SECONDS, Exports, NoSuchExport, Span, span
from deployments.logs import about
from deployments.media_store import MediaError, MediaStore, NoSuchMedia, StoreUnavailable
from deployments.recording import recorded
from deployments.session import Session, chunk_first_frame
from deployments.store import NoSuchSession

FOREVER = {"Cache-Control": "public, max-age=86400, immutable"}
FOR_AN_HOUR = {"Cache-Control": "public, max-age=3600"}
BRIEFLY = {"Cache-Control": "max-age=2"}
_SECONDS: dict[str, Any] = {"ge": 0, "le": MAX_SECONDS, "allow_inf_nan": False}
_SCHEMA = {"schema": {"type": "string", "format": "binary"}}
log = logging.getLogger(__name__)
_FILE = {"content": {kind.media_type: _SCHEMA for kind in ExportFormat}}


class Thumbnail(AnswerModel):
    """A small picture of a chunk."""

    chunk: int
    media_seconds: float = Field(description="Where in the video the chunk begins.")
    url: str


class ThumbnailList(AnswerModel):
    """In the order of the video."""

    data: list[Thumbnail]


def routes(services: Services) -> APIRouter:
    """The routes of what is kept of a session's picture."""
    api = APIRouter(prefix="/v1/sessions/{sid}", tags=["recording"], responses=problems(NoSuchSession))
    timeline, exports, store = services.timeline, services.exports, services.media

    @api.post(
        "/exports",
        status_code=HTTPStatus.ACCEPTED,
        responses={
            202: {"headers": {"Location": {"description": "Path of the export.", "schema": {"type": "string"}}}},
            **problems(NotRecorded, NothingRecorded, TooManyExports, TooLong, ExporterBusy, StoreUnavailable),
        },
    )
    async def export(sid: str, ask: AskExport, response: Response) -> ExportView:
        """Make a file of what is recorded, cut at the borders of chunks so that all that was asked for is in it.

        Of a live session, too: what is recorded so far, which is all but the last few chunks. Read the export for its
        progress; it is kept as long as the session, the newest 100 of them.
        """
        with about(sid):
            session = await timeline.session(sid)
            found = await _span(store, session, ask)
            known = await exports.list(sid)
            if sum(not other.status.over for other in known) >= MOST_KEPT:
                raise TooManyExports(sid)
            made = Export(
                id=secrets.token_hex(6),
                session=sid,
                format=ask.format,
                from_seconds=ask.start,
                to_seconds=ask.end,
                start_seconds=found.start_seconds,
                end_seconds=found.end_seconds,
                first_chunk=found.first_chunk,
                end_chunk=found.end_chunk,
                frames=found.frames,
                fps=session.fps,
                created_at=round(time.time() * 1000),
            )
            await exports.add(made)
            try:
                taken = await services.make_export(made)
            except BaseException:
                await exports.remove(sid, made.id)
                raise
            if not taken:
                await exports.remove(sid, made.id)
                raise ExporterBusy
            await _make_room(store, exports, known)
        view = ExportView.of(made)
        response.headers["Location"] = view.links.self
        return view

    @api.get("/exports")
    async def list_exports(sid: str) -> ExportList:
        """Every export of the session, newest first."""
        await timeline.session(sid)
        return ExportList(data=[ExportView.of(export) for export in await exports.list(sid)])

    @api.get("/exports/{eid}", responses=problems(NoSuchExport))
    async def read_export(sid: str, eid: str) -> ExportView:
        """An export and how far it is."""
        await timeline.session(sid)
        return ExportView.of(await exports.get(sid, eid))

    @api.head("/exports/{eid}/content", include_in_schema=False)
    @api.get(
        "/exports/{eid}/content",
        response_class=StreamingResponse,
        responses={
            200: {"description": "The file.", **_FILE},
            206: {"description": "The part that `Range` asked for, or the first 4 MiB of it.", **_FILE},
            **problems(NoSuchExport, ExportNotReady, ExportFailed, Unsatisfiable, StoreUnavailable),
        },
    )
    async def content(
        sid: str,
        eid: str,
        request: Request,
        asked: Annotated[str | None, Header(alias="range", description="One range of bytes.")] = None,
        if_range: Annotated[str | None, Header(description="The range, if the file still has this `ETag`.")] = None,
    ) -> Response:
        """The file of a completed export. A download that broke off is resumed with `Range`."""
        await timeline.session(sid)
        export = await exports.get(sid, eid)
        if export.status is ExportState.failed:
            raise ExportFailed(eid, export.reason or "")
        if export.status is not ExportState.completed or export.size is None:
            raise ExportNotReady(eid, export.progress)
        etag = f'"{eid}"'
        headers = {
            "Accept-Ranges": "bytes",
            "ETag": etag,
            "Cache-Control": "private, max-age=3600",
            "Content-Disposition": f'attachment; filename="longlive-{eid}.{export.format}"',
        }
        part = wanted(asked, if_range, etag, export.size)
        if request.method == "HEAD":
            headers["Content-Length"] = str(export.size)
            return Response(headers=headers, media_type=export.format.media_type)
        if part is None:
            # As one piece after the other; beside the socket, `Download` asks for ranges only.
            headers["Content-Length"] = str(export.size)
            body = _pieces(store, export.path, export.size)
            return StreamingResponse(body, headers=headers, media_type=export.format.media_type)
        part = part[:PIECE_BYTES]
        headers["Content-Range"] = content_range(part, export.size)
        data = await store.read_range(export.path, part.start, part.stop)
        return Response(data, HTTPStatus.PARTIAL_CONTENT, headers, media_type=export.format.media_type)

    @api.get(
        "/poster.jpg",
        response_class=Response,
        responses={200: {"content": {"image/jpeg": _SCHEMA}}, **problems(NoPicture, StoreUnavailable)},
    )
    async def poster(
        sid: str,
        at: Annotated[
            float | None, Query(description="Seconds of the video; not given: its newest picture.", **_SECONDS)
        ] = None,
    ) -> Response:
        """A still picture: of the size of the video where it is recorded, else a small one."""
        session = await timeline.session(sid)
        headers = FOR_AN_HOUR if session.status.over else BRIEFLY
        try:
            data = await services.poster(sid, at, session.fps)
        except NoSuchMedia:
            raise NoPicture(sid) from None
        return Response(data, headers=headers, media_type="image/jpeg")

    @api.get("/thumbnails", responses=problems(StoreUnavailable))
    async def list_thumbnails(
        sid: str,
        after: Annotated[int, Query(ge=-1, le=MAX_FRAME, description="Only those of later chunks than this one.")] = -1,
    ) -> ThumbnailList:
        """Small pictures along the video: of every fourth chunk, and of those at which a new prompt takes hold.

        One may come a little later than that of the next chunk.
        """
        fps = (await timeline.session(sid)).fps
        return ThumbnailList(
            data=[
                Thumbnail(
                    chunk=chunk,
                    media_seconds=chunk_first_frame(chunk) / fps,
                    url=f"/v1/sessions/{sid}/thumbnails/{chunk:09d}.webp",
                )
                for chunk in await thumbnails.stored(store, sid)
                if chunk > after
            ]
        )

    @api.get(
        "/thumbnails/{chunk}.webp",
        response_class=Response,
        responses={200: {"content": {"image/webp": _SCHEMA}}, **problems(NoSuchThumbnail, StoreUnavailable)},
    )
    async def thumbnail(sid: str, chunk: int) -> Response:
        """A small picture of a chunk. It never changes."""
        await timeline.session(sid)
        try:
            data = await store.read(thumbnails.path(sid, chunk))
        except (NoSuchMedia, ValueError):
            raise NoSuchThumbnail(sid, chunk) from None
        return Response(data, headers=FOREVER, media_type="image/webp")

    return api


async def _span(store: MediaStore, session: Session, ask: AskExport) -> Span:
    segments = await recorded(store, session.id)
    if not segments and not session.record:
        raise NotRecorded(session.id)
    found = span(segments, session.fps, ask.start, ask.end)
    if found is None:
        raise NothingRecorded(session.id)
    length = min(ask.end or found.end_seconds, found.end_seconds) - max(ask.start or 0.0, found.start_seconds)
    if ask.format is not ExportFormat.mp4 and length > MOST_PICTURES_SECONDS:
        raise TooLong(ask.format, length)
    return found


async def _make_room(store: MediaStore, exports: Exports, known: Sequence[Export]) -> None:
    """Forget what is too much beside the new one: those that failed first, then the oldest that are made."""
    over = [export for export in known if export.status.over]
    over.sort(key=lambda export: (export.status is ExportState.completed, export.created_at))
    for export in over[: max(0, len(known) + 1 - MOST_KEPT)]:
        await exports.remove(export.session, export.id)
        try:
            await store.delete(export.path)
        except MediaError as error:
            log.warning("not deleted: %s", error)  # it goes with its session


async def _pieces(store: MediaStore, path: str, size: int) -> AsyncIterator[bytes]:
    for start in range(0, size, PIECE_BYTES):
        yield await store.read_range(path, start, min(start + PIECE_BYTES, size))
