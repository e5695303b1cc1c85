"""The deployment behind the HTTP proxy: the API and the page, one hub, one sweeper, one waiting room."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from pydantic import SecretStr
from ray import serve
from ray.serve.handle import DeploymentHandle
from redis.exceptions import RedisError

from deployments import logs
from deployments.api.build import build_api
from deployments.api.services import Services
from deployments.calls import ask
from deployments.draining import HEALTH_CHECK_SECONDS, Condition, DrainWatch, ask_controller
from deployments.entries import SessionFailed
from deployments.export import Export
from deployments.exports import Exports
from deployments.farewell import GO_AWAY_SECONDS, Farewell
from deployments.hub import Hub
from deployments.idempotency import IdempotencyKeys
from deployments.leases import RENEW_SECONDS, Leases
from deployments.media_store import MediaError, MediaStore
from deployments.model_view import ModelView, UnreadWords
from deployments.pool import GeneratorPool
from deployments.prompt_calls import PromptCalls
from deployments.pruning import PRUNE_SECONDS, prune
from deployments.replicas import Replicas
from deployments.settings import Settings
from deployments.sleeping_pool import SleepingPool
from deployments.snapshot_history import open_history
from deployments.snapshot_shelves import SnapshotsAway
from deployments.steering import Steering
from deployments.stopping import stop
from deployments.store import connect
from deployments.sweeper import Sweeper
from deployments.timeline import Timeline
from deployments.video_config import InitSegment, VideoConfig
from deployments.waiting_room import WaitingRoom
from prompt_agent.safety import WordList

LEAVING_SECONDS = 15.0
"""In which an ingress that Serve stops finds out, tells its clients, and lets them go."""

log = logging.getLogger(__name__)


class Ingress:
    """One replica of the ingress, of any number: builds its own API, for handles and clients belong to a process."""

    def __init__(
        self,
        settings: Settings,
        redis_url: str,
        snapshots_url: str,
        generators: DeploymentHandle,
        text_encoder: DeploymentHandle,
        prompt_expander: DeploymentHandle,
        video_encoder: DeploymentHandle,
        exporter: DeploymentHandle,
    ) -> None:
        logs.configure(settings.log_level)
        self._text_encoder = text_encoder
        self._prompts = PromptCalls(prompt_expander, settings.llm_seconds)
        self._safety = WordList(settings.safety_words)
        self._video_encoder = video_encoder
        self._exporter = exporter
        self._media = MediaStore(settings.store_url)
        self._history = open_history(snapshots_url, settings.snapshot_mib * 2**20)
        self._redis = connect(redis_url)
        self._blocking = connect(redis_url, blocking=True)
        self._timeline = Timeline(self._redis, self._blocking)
        self._exports = Exports(self._redis)
        name = serve.get_replica_context().replica_id.unique_id
        self._replicas = Replicas(self._redis)
        may_sleep = settings.generator_range[0] == 0
        self._pool = SleepingPool(generators, self._replicas) if may_sleep else GeneratorPool(generators)
        self._operator_token = settings.operator_token or SecretStr(secrets.token_urlsafe())  # one that nobody has
        self._sweeper = Sweeper(self._timeline, Leases(self._redis), name, self._pool.take)
        self._waiting = WaitingRoom(self._redis)
        self._hub = Hub(self._pool.watch, self._sweeper.lost, self._sweeper.wanted, self._timeline)
        self._drain = DrainWatch(ask_controller)
        self._farewell = Farewell()
        self._model: ModelView | None = None

    def check_health(self) -> None:
        """Serve asks for as long as it wants this replica."""
        self._drain.beat()

    async def leave(self) -> None:
        """Let go of everybody who is connected: the service stops."""
        self._farewell.say(0.0, for_good=True)
        await self._hub.close()

    def __serve_build_asgi_app__(self) -> FastAPI:
        services = Services(
            timeline=self._timeline,
            generators=self._pool,
            waiting=self._waiting,
            steering=Steering(self._redis),
            idempotency=IdempotencyKeys(self._redis),
            conclude=self._sweeper.conclude,
            hub=self._hub,
            farewell=self._farewell,
            model=self._view,
            unread_words=self._unread_words,
            prompts=self._prompts,
            safety=self._safety,
            init_segment=self._init_segment,
            media=self._media,
            exports=self._exports,
            history=self._history,
            make_export=self._make_export,
            poster=self._poster,
            replicas=self._replicas,
            operator_token=self._operator_token,
            ready=self._ready,
        )
        return build_api(services, self._lifespan)

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        loops = [
            asyncio.create_task(self._sweep(), name="sweep"),
            asyncio.create_task(self._prune(), name="prune"),
            asyncio.create_task(self._waiting.run(self._pool.take, self._give_up), name="waiting room"),
            asyncio.create_task(self._leave_in_time(), name="drain"),
        ]
        try:
            yield
        finally:
            await stop(loops)
            await self._sweeper.close()
            await self._hub.close()
            self._media.close()
            await self._history.close()
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
                log.exception("no sweep")  # and the next one all the same

    async def _leave_in_time(self) -> None:
        while True:
            await asyncio.sleep(HEALTH_CHECK_SECONDS)
            if await self._drain.look() is Condition.stopping:
                break
        log.info("this ingress stops: clients are told to go")
        self._farewell.say()
        await asyncio.sleep(GO_AWAY_SECONDS)
        await self._hub.close()  # who still waits for a fragment asks another one

    async def _prune(self) -> None:
        while True:
            await asyncio.sleep(PRUNE_SECONDS)
            try:
                await self._history.prune()
                await prune(self._media, self._exports, self._timeline)
            except (RedisError, MediaError, SnapshotsAway) as error:
                log.warning("nothing pruned: %s", error)
            except Exception:
                log.exception("nothing pruned")

    async def _give_up(self, sid: str, reason: str) -> None:
        await self._sweeper.conclude(sid, SessionFailed(reason=reason))

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
