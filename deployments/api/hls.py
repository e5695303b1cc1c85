"""Low-latency HLS of the same fragments: one playlist that waits for what it is asked for, parts and segments."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from deployments import hls
from deployments.api.errors import BadReload, FragmentsOver, NoSuchSegment
from deployments.api.media import HEADERS, MP4, PULL_SECONDS, watchable
from deployments.api.problems import problems
from deployments.api.services import Services
from deployments.fragments import FragmentRing
from deployments.logs import about

M3U8 = "application/vnd.apple.mpegurl"
KEEP = {"Cache-Control": "max-age=60"}  # a part never changes; a cache in between serves it for as long as it is listed
LAG_SECONDS = 1.0  # another ingress, whose playlist a player has read, may have what is not here yet
MOST_AHEAD = 2  # segments beyond the playlist's last that a reload may ask for, says the RFC
_PLAYLIST: dict[int | str, dict[str, Any]] = {
    200: {"content": {M3U8: {"schema": {"type": "string"}}}, "description": "The playlist."}
}

_PIECE = {**MP4, **problems(NoSuchSegment, FragmentsOver)}


def routes(services: Services) -> APIRouter:
    """The HLS of a session."""
    api = APIRouter(prefix="/v1/sessions/{sid}/hls", tags=["media"])
    hub = services.hub

    def over(sid: str, ring: FragmentRing) -> bool:
        """Whether the last fragment is here. A ring is also closed when this process stops."""
        session = hub.session(sid)
        return ring.closed and session is not None and session.status.over

    async def reach(ring: FragmentRing, msn: int | None, part: int | None) -> None:
        if msn is None:  # a player that comes: some of them cannot begin without a whole segment
            await ring.reach(0)
            await ring.reach(hls.chunks_of(hls.first_segment(ring.kept))[-1])
        else:
            await ring.reach(hls.chunks_of(msn)[-1] if part is None else hls.chunk_at(msn, part))

    @api.get("/live.m3u8", response_class=Response, responses={**_PLAYLIST, **problems(BadReload, FragmentsOver)})
    async def playlist(
        sid: str,
        msn: Annotated[int | None, Query(alias="_HLS_msn", ge=0, description="Wait for this segment,")] = None,
        part: Annotated[int | None, Query(alias="_HLS_part", ge=0, description="or this part of it.")] = None,
    ) -> Response:
        """A low-latency playlist for hls.js, Safari, ffmpeg: a part is a chunk, a segment is four of them.

        It answers when it has what was asked for, at first a whole segment, and as it is when that takes too long:
        while a session is queued or paused, it stays what it was.
        """
        with about(sid):
            session = await watchable(services, sid)
            async with hub.watch(session) as ring:
                newest = session.chunks - 1 if ring.newest is None else ring.newest.chunk
                if msn is None and part is not None:
                    raise BadReload("`_HLS_part` needs `_HLS_msn`.")
                if msn is not None and msn > hls.place(max(newest, 0))[0] + MOST_AHEAD:
                    raise BadReload(f"Segment {msn} is too far ahead: read the playlist without `_HLS_msn`.")
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(PULL_SECONDS, 3 * hls.target_seconds(session.fps))):
                        await reach(ring, msn, part)
                ended = over(sid, ring)
                if ended and not ring.kept:
                    raise FragmentsOver(sid)
                return Response(hls.playlist(ring.kept, session.fps, ended), media_type=M3U8, headers=HEADERS)

    @api.get(
        "/{segment:int}.{part:int}.m4s",
        response_class=Response,
        responses={**MP4, **problems(NoSuchSegment, FragmentsOver)},
    )
    async def one_part(sid: str, segment: int, part: int) -> Response:
        """One part. The next one that the playlist hints at is answered when it is there."""
        if part >= len(hls.chunks_of(segment)):
            raise NoSuchSegment(sid, f"{segment}.{part}")
        chunk = hls.chunk_at(segment, part)
        with about(sid):
            session = await watchable(services, sid)
            async with hub.watch(session) as ring:
                newest = session.chunks - 1 if ring.newest is None else ring.newest.chunk
                if chunk <= newest + hls.PARTS:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(PULL_SECONDS):
                            await ring.reach(chunk)
                for fragment in ring.kept:
                    if fragment.chunk == chunk:
                        return Response(fragment.data, media_type="video/mp4", headers=KEEP)
                raise NoSuchSegment(sid, f"{segment}.{part}")

    @api.get("/{segment:int}.m4s", response_class=Response, responses=_PIECE)
    async def whole_segment(sid: str, segment: int) -> Response:
        """A whole segment."""
        with about(sid):
            session = await watchable(services, sid)
            async with hub.watch(session) as ring:
                newest = session.chunks - 1 if ring.newest is None else ring.newest.chunk
                last = hls.chunks_of(segment)[-1]
                if last <= newest + hls.PARTS:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(LAG_SECONDS):
                            await ring.reach(last)
                data = hls.segment_data(segment, ring.kept, over(sid, ring))
                if data is None:
                    raise NoSuchSegment(sid, str(segment))
                return Response(data, media_type="video/mp4", headers=KEEP)

    return api
