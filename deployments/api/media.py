"""The picture: init segment, pulled fragments, and one endless MP4."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from deployments.api.errors import FragmentsOver, NoSuchFragment
from deployments.api.services import Services
from deployments.session import Session
from deployments.video_encoder import InitSegment, VideoConfig

PULL_SECONDS = 20.0
LIVE_DEPTH = 2
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_MP4: dict[int | str, dict[str, Any]] = {200: {"content": {"video/mp4": {}}}}


def routes(services: Services) -> APIRouter:
    """The media of a session."""
    api = APIRouter(prefix="/v1/sessions/{sid}", tags=["media"])
    hub = services.hub

    async def init_of(session: Session) -> InitSegment:
        return await services.init_segment(VideoConfig(width=session.width, height=session.height, fps=session.fps))

    async def watchable(sid: str) -> Session:
        """The session, if anything can still come of it or is still kept here."""
        session = await services.timeline.session(sid)
        if session.status.over and hub.ring(sid) is None:
            raise FragmentsOver(sid)
        return session

    @api.get("/init.mp4", response_class=Response, responses=_MP4)
    async def init(sid: str) -> Response:
        """What a player needs before the first fragment. The media type names the codec for MSE."""
        segment = await init_of(await services.timeline.session(sid))
        return Response(segment.data, media_type=_media_type(segment), headers={"Cache-Control": "max-age=3600"})

    @api.get(
        "/fragments",
        response_class=Response,
        responses={**_MP4, 204: {"description": "Nothing new yet: ask again."}},
    )
    async def fragments(
        sid: str,
        after: Annotated[int, Query(ge=-1, description="The last `X-Fragment` you have; the answer is newer.")] = -1,
    ) -> Response:
        """The newest fragment (moof + mdat), once there is one after `after`. A slow reader skips by construction."""
        # Who watches already needs no store: the picture goes on while Redis is away.
        owner = "" if hub.ring(sid) else (await watchable(sid)).owner or ""
        async with hub.watch(sid, owner) as ring:
            newest = -1 if ring.newest is None else ring.newest.chunk
            if after > newest and after >= (await services.timeline.session(sid)).chunks:
                raise NoSuchFragment(sid, after)
            try:
                async with asyncio.timeout(PULL_SECONDS):
                    fragment = await ring.newest_after(after)
            except TimeoutError:
                return Response(status_code=HTTPStatus.NO_CONTENT, headers=HEADERS)
        if fragment is None:
            if (await services.timeline.session(sid)).status.over:
                raise FragmentsOver(sid)
            return Response(status_code=HTTPStatus.NO_CONTENT, headers=HEADERS)
        numbers = {
            "X-Fragment": str(fragment.chunk),
            "X-First-Frame": str(fragment.first_frame),
            "X-Frames": str(fragment.frames),
        }
        return Response(fragment.data, media_type="video/mp4", headers=HEADERS | numbers)

    @api.get("/live.mp4", response_class=StreamingResponse, responses=_MP4)
    async def live(sid: str) -> StreamingResponse:
        """One endless fragmented MP4 from the live edge on, for curl, ffplay and `<video>`; ends with the session.

        Who falls behind skips to the newest fragment. What a stalled reader has been sent already waits in the proxy.
        """
        session = await watchable(sid)
        segment = await init_of(session)

        async def stream() -> AsyncIterator[bytes]:
            yield segment.data
            async with hub.watch(sid, session.owner or "") as ring:
                newest = -1 if ring.newest is None else ring.newest.chunk - 1
                async for fragment in ring.follow(newest, LIVE_DEPTH):
                    yield fragment.data

        return StreamingResponse(stream(), media_type=_media_type(segment), headers=HEADERS)

    return api


def _media_type(segment: InitSegment) -> str:
    return f'video/mp4; codecs="{segment.codec}"'
