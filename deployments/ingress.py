"""The deployment behind the HTTP proxy: the API and the page, one hub, one sweeper, one waiting room."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from ray import serve
from ray.serve.handle import DeploymentHandle
from redis.exceptions import RedisError

from deployments import logs
from deployments.api.build import build_api
from deployments.api.services import Services
from deployments.calls import ask
from deployments.entries import SessionFailed
from deployments.export import Export
from deployments.exports import Exports
from deployments.hub import Hub
from deployments.idempotency import IdempotencyKeys
from deployments.leases import RENEW_SECONDS, Leases
from deployments.media_store import MediaError, MediaStore
from deployments.model_view import ModelView, UnreadWords
from deployments.pool import GeneratorPool
from deployments.pruning import PRUNE_SECONDS, prune
from deployments.settings import Settings
from deployments.steering import Steering
from deployments.stopping import stop
from deployments.store import connect
from deployments.sweeper import Sweeper
from deployments.timeline import Timeline
from deployments.video_config import InitSegment, VideoConfig
from deployments.waiting_room import WaitingRoom

log = logging.getLogger(__name__)


class Ingress:
    """One replica of the ingress: builds its own API, for handles and clients belong to a process."""

    def __init__(
        self,
        settings: Settings,
        redis_url: str,
        generators: DeploymentHandle,
        text_encoder: DeploymentHandle,
        video_encoder: DeploymentHandle,
        exporter: DeploymentHandle,
    ) -> None:
        logs.configure(settings.log_level)
        self._text_encoder = text_encoder
        self._video_encoder = video_encoder
        self._exporter = exporter
        self._media = MediaStore(settings.store_url)
        self._redis = connect(redis_url)
        self._blocking = connect(redis_url, blocking=True)
        self._timeline = Timeline(self._redis, self._blocking)
        self._exports = Exports(self._redis)
        name = serve.get_replica_context().replica_id.unique_id
        self._sweeper = Sweeper(self._timeline, Leases(self._redis), name)
        self._pool = GeneratorPool(generators)
        self._waiting = WaitingRoom(self._redis)
        self._hub = Hub(self._pool.watch, self._lost, self._timeline)
        self._model: ModelView | None = None

    def __serve_build_asgi_app__(self) -> FastAPI:
        services = Services(
            timeline=self._timeline,
            generators=self._pool,
            waiting=self._waiting,
            steering=Steering(self._redis),
            idempotency=IdempotencyKeys(self._redis),
            conclude=self._sweeper.conclude,
            hub=self._hub,
            model=self._view,
            unread_words=self._unread_words,
            init_segment=self._init_segment,
            media=self._media,
            exports=self._exports,
            make_export=self._make_export,
            poster=self._poster,
            ready=self._ready,
        )
        return build_api(services, self._lifespan)

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        loops = [
            asyncio.create_task(self._sweep(), name="sweep"),
            asyncio.create_task(self._prune(), name="prune"),
            asyncio.create_task(self._waiting.run(self._pool.take, self._give_up), name="waiting room"),
        ]
        try:
            yield
        finally:
            await stop(loops)
            await self._hub.close()
            self._media.close()
            await self._redis.aclose()
            await self._blocking.aclose()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            try:
                await self._sweeper.sweep()
            except RedisError as error:
                log.warning("no sweep: %s", error)
            except Exception:
                log.exception("no sweep")  # and the next one all the same: nobody else fails what has lost its owner

    async def _prune(self) -> None:
        while True:
            await asyncio.sleep(PRUNE_SECONDS)
            try:
                await prune(self._media, self._exports, self._timeline)
            except (RedisError, MediaError) as error:
                log.warning("nothing pruned: %s", error)
            except Exception:
                log.exception("nothing pruned")

    async def _give_up(self, sid: str, reason: str) -> None:
        await self._sweeper.conclude(sid, SessionFailed(reason=reason))

    async def _lost(self, sid: str, owner: str) -> None:
        try:
            await self._sweeper.fail(sid, dead_owner=owner)
        except RedisError as error:
            log.warning("not failed yet: %s", error)  # the sweeper will, once the store is back

    async def _view(self) -> ModelView:
        if self._model is None:
            self._model = await self._ask_view()
        return self._model

    async def _ask_view(self) -> ModelView:
        return await ask("text encoder", lambda: self._text_encoder.model.remote())

    async def _unread_words(self, text: str) -> UnreadWords:
        return await ask("text encoder", lambda: self._text_encoder.unread_words.remote(text))

    async def _init_segment(self, config: VideoConfig) -> InitSegment:
        return await ask("video encoder", lambda: self._video_encoder.init.remote(config))

    async def _make_export(self, export: Export) -> bool:
        return await ask("exporter", lambda: self._exporter.take.remote(export))

    async def _poster(self, sid: str, at: float | None, fps: int) -> bytes:
        return await ask("exporter", lambda: self._exporter.poster.remote(sid, at, fps))

    async def _ready(self) -> None:
        async def encoders() -> None:
            view = await self._ask_view()
            await self._init_segment(VideoConfig(width=view.width, height=view.height, fps=view.fps))

        await asyncio.gather(self._redis.ping(), self._pool.ready(), encoders())
