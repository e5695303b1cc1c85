"""The picture: init segment, pulled fragments, and one endless MP4."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from redis.exceptions import RedisError

from deployments.api.errors import FragmentsOver, NoSuchFragment, ServiceStops
from deployments.api.problems import problems
from deployments.api.services import Services
from deployments.calls import PartDown
from deployments.fragments import RING_SIZE, FragmentRing
from deployments.logs import about
from deployments.session import Session
from deployments.video_config import InitSegment, VideoConfig

PULL_SECONDS = 20.0
BROKEN_SECONDS = 0.5
LAG_SECONDS = 0.5
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
MP4: dict[int | str, dict[str, Any]] = {
    200: {"content": {"video/mp4": {"schema": {"type": "string", "format": "binary"}}}, "description": "The bytes."}
}


async def watchable(services: Services, sid: str) -> Session:
    """The session, if anything can still come of it or is still kept here. Who watches already needs no store."""
    session = services.hub.session(sid)
    if session is None:
        session = await services.timeline.session(sid)
        if session.status.over:
            raise FragmentsOver(sid)
    return session


def routes(services: Services) -> APIRouter:
    """The media of a session."""
    api = APIRouter(prefix="/v1/sessions/{sid}", tags=["media"])
    hub = services.hub

    async def init_of(session: Session) -> InitSegment:
        return await services.init_segment(VideoConfig(width=session.width, height=session.height, fps=session.fps))

    @api.get("/init.mp4", response_class=Response, responses={**MP4, **problems(PartDown)})
    async def init(sid: str) -> Response:
        """What a player needs before the first fragment. The media type names the codec for MSE."""
        segment = await init_of(await services.timeline.session(sid))
        return Response(segment.data, media_type=segment.media_type, headers={"Cache-Control": "max-age=3600"})

    @api.get(
        "/fragments",
        response_class=Response,
        responses={
            **MP4,
            204: {"description": "Nothing new yet: ask again."},
            **problems(FragmentsOver, ServiceStops, NoSuchFragment),
        },
    )
    async def fragments(
        sid: str,
        after: Annotated[int, Query(ge=-1, description="The last `X-Fragment` you have; the answer is newer.")] = -1,
        most_behind: Annotated[
            int, Query(ge=1, le=RING_SIZE, description="You get the next fragment while no more than these are newer.")
        ] = 1,
        wait: Annotated[
            float, Query(ge=0, le=PULL_SECONDS, description="Seconds until the answer, if nothing is new by then.")
        ] = PULL_SECONDS,
    ) -> Response:
        """The newest fragment (moof + mdat), once there is one after `after`. A slow reader skips by construction.

        Ask just in time with a short `wait`, or hold on with a long one. While a session is queued or paused nothing
        is new; when it goes on, so do its fragments.
        """
        with about(sid):
            if services.farewell.for_good:
                raise ServiceStops(sid)
            async with hub.watch(await watchable(services, sid)) as ring:
                if after >= 0 and not await _reached(ring, after, min(wait, LAG_SECONDS)):
                    with suppress(RedisError):
                        if after >= (await services.timeline.session(sid)).chunks:
                            raise NoSuchFragment(sid, after)
                try:
                    async with asyncio.timeout(wait):
                        fragment = await ring.next_after(after, most_behind)
                except TimeoutError:
                    return _nothing_yet()
            if fragment is None:
                if services.farewell.for_good:
                    raise ServiceStops(sid)
                if (await services.timeline.session(sid)).status.over:
                    raise FragmentsOver(sid)
                # This process stops watching. Who is sent away at once asks again at once.
                await asyncio.sleep(BROKEN_SECONDS)
                return _nothing_yet()
        numbers = {
            "X-Fragment": str(fragment.chunk),
            "X-First-Frame": str(fragment.first_frame),
            "X-Frames": str(fragment.frames),
        }
        return Response(fragment.data, media_type="video/mp4", headers=HEADERS | numbers)

    @api.get("/live.mp4", response_class=Response, responses={**MP4, **problems(FragmentsOver, PartDown)})
    async def live(sid: str) -> Response:
        """One endless fragmented MP4 from the live edge on, for curl, ffplay and `<video>`; ends with the session.

        Who falls behind skips to the newest fragment; who stops reading is held no more than that.
        """
        # The start of it: `LiveStream`, in the proxy, goes on with fragments.
        with about(sid):
            segment = await init_of(await watchable(services, sid))
        return Response(segment.data, media_type=segment.media_type, headers=HEADERS)

    return api


async def _reached(ring: FragmentRing, chunk: int, seconds: float) -> bool:
    """Whether a fragment is here, after a moment: another ingress may have been first with it."""
    try:
        async with asyncio.timeout(seconds):
            return await ring.reach(chunk)
    except TimeoutError:
        return False


def _nothing_yet() -> Response:
    return Response(status_code=HTTPStatus.NO_CONTENT, headers=HEADERS)
