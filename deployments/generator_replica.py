"""The generator as a Serve deployment: loads the model, measures it, and lends the pool's calls to a `Generator`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from functools import partial

import ray
import torch
from ray import serve
from ray.serve.handle import DeploymentHandle
from torch import Tensor

from deployments import admission, logs
from deployments.admission import Demand
from deployments.calls import ask
from deployments.draining import DrainWatch, ask_controller
from deployments.duty import Duty, Place
from deployments.encoding import VideoEncoding
from deployments.fragments import Fragment
from deployments.generator import Generator
from deployments.leases import Leases
from deployments.measurement import SessionCost, measure
from deployments.media_store import MediaStore
from deployments.parts import Limits, Parts
from deployments.placement import Placement, Refusal, TakeOver
from deployments.pool import GeneratorPool
from deployments.prompt_calls import PromptCalls
from deployments.prompt_writer import PromptWriter
from deployments.recent_fragments import RecentFragments
from deployments.replicas import Replicas
from deployments.session import Session
from deployments.settings import Settings
from deployments.snapshot_history import open_history
from deployments.snapshot_shelves import open_shelf
from deployments.store import connect
from deployments.timeline import Timeline
from deployments.waiting_room import WaitingRoom
from longlive.model import VideoModel
from longlive.pipeline import load_video_model
from longlive.stream import VideoStream
from prompt_agent.safety import WordList

FIRST_VIEWER_SECONDS = 30.0
"""Time to start a player. Who has not by then is taken to have left."""
RESTART_SECONDS = 45.0  # in which Serve has a new text encoder where one died, on a busy machine too
RETRY_SECONDS = 1.0
ALONE_SECONDS = 5  # in which Serve has a new controller

log = logging.getLogger(__name__)


class GeneratorReplica:
    """One replica. Loads and measures the model when constructed, off the event loop: health checks go on."""

    def __init__(
        self,
        settings: Settings,
        redis_url: str,
        snapshots_url: str,
        text_encoder: DeploymentHandle,
        prompt_expander: DeploymentHandle,
        video_encoder: DeploymentHandle,
    ) -> None:
        logs.configure(settings.log_level)
        torch.set_num_threads(1)
        self._settings = settings
        self._text_encoder = text_encoder
        prompts = PromptCalls(prompt_expander, settings.llm_seconds)
        self._prompt_writer = PromptWriter(prompts.expand, WordList(settings.safety_words))
        model = load_video_model(settings.model, settings.dtype, weights=settings.weights, decoder=settings.decoder)
        self._place = _place()
        encoding = VideoEncoding(video_encoder.encode.remote, video_encoder.init.remote, video_encoder.thumbnail.remote)
        self._generator = self._build(model, measure(model, settings.generators), encoding, redis_url, snapshots_url)
        redis = connect(redis_url)
        self._duty = Duty(self._place, self._generator, Replicas(redis), WaitingRoom(redis), DrainWatch(ask_controller))
        loops = {"generator": self._generator.run(), "duty": self._duty.run(), "lease": self._keep_lease()}
        self._loops = [asyncio.get_running_loop().create_task(loop, name=name) for name, loop in loops.items()]

    async def take(self, sid: str, take_over: TakeOver | None = None) -> Session | Refusal:
        if take_over is None and not self._duty.accepting:
            answer: Session | Refusal = Refusal(self._place.replica, ALONE_SECONDS)
        else:
            answer = await self._generator.take(sid, take_over)
        if isinstance(answer, Refusal):
            self._duty.refused()
        return answer

    async def offer(self, demand: Demand) -> Refusal | None:
        """Whether a session of another generator would be taken over."""
        if refusal := self._generator.offer(demand):
            self._duty.refused()
        return refusal

    async def watch(self, sid: str) -> AsyncGenerator[tuple[Fragment, ...], None]:
        async for fragments in self._generator.watch(sid):
            yield fragments

    async def ready(self) -> None:
        """Answers: this replica takes calls."""

    async def hold(self) -> None:
        """The call that Serve waits for where it stops this replica: it returns when no session is left here."""
        await self._duty.hold()

    async def close(self) -> None:
        """Put every session by and take no more: the service stops."""
        await self._duty.close()
        await self._generator.close()

    def record_routing_stats(self) -> dict[str, float]:
        free = self._generator.free if self._duty.accepting else -1.0
        return {"sessions": self._generator.sessions, "free": free} | self._place.routing_stats

    def record_autoscaling_stats(self) -> dict[str, float]:
        return self._duty.autoscaling_stats()

    def check_health(self) -> None:
        """Raises if one of the loops has stopped, or the device does not work: Serve then replaces the replica."""
        self._duty.beat()
        self._generator.check_health()
        for loop in self._loops:
            if loop.done() and not loop.cancelled():
                loop.result()

    async def _keep_lease(self) -> None:
        """Serve stops a replica at once that has no call: so there is one, of its own, for as long as it serves."""
        me = self._place.replica
        generators = serve.get_deployment_handle("Generator").options(session_id=str(Placement("lease", pin=me)))
        while not self._duty.over:
            try:
                await generators.hold.remote()
            except Exception as error:  # Serve knows this replica only a moment after it has started
                log.info("no lease of this replica yet: %r", error)
                await asyncio.sleep(RETRY_SECONDS)

    async def _others_have_room(self, sid: str, demand: Demand) -> bool:
        return await self._others().has_room(sid, demand, not_to=(self._place.replica,))

    async def _hand_over(self, sid: str) -> None:
        me = self._place.replica
        await self._others().take(sid, TakeOver(me, "handed-over"), not_to=(me,))

    def _others(self) -> GeneratorPool:
        return GeneratorPool(serve.get_deployment_handle("Generator"))

    def _build(
        self, model: VideoModel, cost: SessionCost, encoding: VideoEncoding, redis_url: str, snapshots_url: str
    ) -> Generator:
        settings, config = self._settings, model.config
        redis = connect(redis_url)
        timeline = Timeline(redis, connect(redis_url, blocking=True))
        memory_slots = admission.memory_slots(cost.free_bytes, cost.session_bytes)
        log.info("a chunk takes %.3f s; memory has room for %d sessions", cost.chunk_seconds, memory_slots)
        return Generator(
            name=self._place.replica,
            fps=config.fps,
            parts=Parts(
                timeline=timeline,
                leases=Leases(redis),
                media=MediaStore(settings.store_url),
                word=self._prompt_writer.word,
                encode_text=self._encode_text,
                encode_video=encoding.encode,
                thumbnail=encoding.thumbnail,
                init_segment=encoding.init,
                open_stream=partial(VideoStream, model),
                restore_stream=partial(VideoStream.restore, model),
                history=open_history(snapshots_url, settings.snapshot_mib * 2**20),
                recent=RecentFragments(open_shelf(snapshots_url)),
                others_have_room=self._others_have_room,
                hand_over=self._hand_over,
            ),
            limits=Limits(
                slots=settings.slots,
                unwatched_seconds=settings.unwatched_seconds,
                first_viewer_seconds=min(FIRST_VIEWER_SECONDS, settings.unwatched_seconds),
                memory_slots=memory_slots,
                offline_slots=settings.offline_slots,
            ),
            chunk_seconds=cost.chunk_seconds,
        )

    async def _encode_text(self, text: str) -> Tensor:
        return await ask("text encoder", lambda: self._text_encoder.encode.remote(text), patience=RESTART_SECONDS)


def _place() -> Place:
    context = ray.get_runtime_context()
    node = context.get_node_id()
    [resources] = [each["Resources"] for each in ray.nodes() if each["NodeID"] == node]
    return Place(
        replica=serve.get_replica_context().replica_id.unique_id,
        node=node,
        host=ray.util.get_node_ip_address(),
        head="node:__internal_head__" in resources,
        started=time.time(),
    )
