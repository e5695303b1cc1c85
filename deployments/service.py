"""The whole service in one go: Redis, Ray, Serve, application; started, ready, stopped without a trace."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Self

import psutil

from deployments import logs
from deployments.operator_token import operator_token
from deployments.preflight import (
    CannotStart,
    require_address,
    require_devices,
    require_llm,
    require_model,
    require_prompts,
    require_redis,
    require_snapshots,
)
from deployments.redis_server import RedisServer, RedisServerError
from deployments.settings import Settings

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle

STORE_BYTES = 256 * 1024 * 1024
SNAPSHOT_MEMORY = 8
"""Snapshots of live sessions take at most this part of the machine's memory: one divided by it."""
APP = "longlive"
END_SECONDS = 5.0
READY_SECONDS = 60.0
WATCH_SECONDS = 1.0
ABANDONED = 130  # the exit status of a stop that did not wait
SECOND_SIGNAL_SECONDS = 0.5  # `make` passes a signal on that we got as well: that is not a second one
log = logging.getLogger(__name__)
# Read when Ray is first imported, here and in every process that it starts; what the operator set stays. Who may
# talk to Ray may run what he likes: so there is a token, of this run only, and Ray keeps none in the home directory.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "RAY_AUTH_MODE": "token",
    # Despite its name, what keeps Ray on loopback on every system: only the proxy listens where the settings say.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_SERVE_LOG_TO_STDERR": "0",
    # Ray's workers are background work by default (15); ours have somebody waiting for the next picture.
    "RAY_worker_niceness": "0",
    # A proxy on a busy machine is slow, not dead: by default it is killed after five seconds.
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60",
    # One that is dead fails its checks at once, and is replaced after the third: not half a minute later.
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "0.25",
    # What answers `live.mp4` without end has to be where its reader is.
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "deployments.live:middlewares",
    # With an arena of malloc for each of its many threads an ingress grows with every session that it has seen.
    "MALLOC_ARENA_MAX": "2",
    "RAY_DEDUP_LOGS": "0",
    "TOKENIZERS_PARALLELISM": "false",
}


class Broken(Exception):
    """The service ran and cannot go on; the text, one line, says why."""


class Service:
    """Start it, use `url`, stop it; or use it as a context manager. From the main thread, one in a process."""

    def __init__(self, settings: Settings, progress: Callable[[str], None] = lambda step: None) -> None:
        self._settings = settings
        self._progress = progress
        self._stack = contextlib.ExitStack()
        self._servers: list[RedisServer] = []

    @property
    def url(self) -> str:
        host = self._settings.host
        return f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{self._settings.port}"

    def start(self) -> None:
        """Returns when sessions can be created. Raises CannotStart, and what Ray raises where it cannot start."""
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def keep(self) -> None:
        """To be called about once a second while the service runs: starts a Redis that died again. Raises Broken."""
        try:
            for server in self._servers:
                server.keep()
        except RedisServerError as error:
            raise Broken(f"Redis died and cannot be started again: {error}") from error

    def update(self, settings: Settings) -> None:
        """Go on with other settings of the replicas: each is replaced by a new one, in turn, while its sessions move.

        Only how many there are changes in place. Part by part, for those that start take cores from those that run.
        Returns when the new ones run; the old ones may still hand over. Host, port, stores and model stay.
        """
        from ray import serve

        from deployments.app import PARTS

        generators = serve.status().applications[APP].deployments["Generator"]
        running = sum(count for state, count in generators.replica_states.items() if state != "STOPPING")
        parts = dict.fromkeys(PARTS, self._settings)
        for part in PARTS:
            parts[part] = settings
            self._run(parts, running)
        self._settings = settings

    def stop(self) -> None:
        """Returns when every process that was started is gone. Repeatable."""
        self._stack.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self) -> None:
        settings = self._settings
        logs.configure(settings.log_level)
        require_address(settings.host, settings.port)
        if settings.redis_url is not None:
            require_redis(settings.redis_url)
        if settings.snapshots is not None:
            require_snapshots(settings.snapshots)
        require_model(settings.model, settings.weights, settings.decoder)
        require_prompts(settings.prompt_profile, settings.safety_words)
        if settings.llm is not None:
            require_llm(settings.llm_python)
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        redis_url = settings.redis_url or self._start_redis(RedisServer(settings.data_dir))
        snapshots_url = settings.snapshots or self._start_redis(
            # What live sessions go on from: in memory alone, so that no disk is waited for before a fragment goes out.
            RedisServer(
                settings.data_dir / "snapshots",
                persistent=False,
                max_bytes=psutil.virtual_memory().total // SNAPSHOT_MEMORY,
            )
        )

        self._progress("starting Ray")
        # Importing what the deployments need takes as long as Ray's start, and mostly waits for the disk.
        imports = threading.Thread(target=import_module, args=("deployments.app",), daemon=True)
        imports.start()
        import ray
        from ray import serve
        from ray.serve.config import HTTPOptions
        from ray.serve.schema import LoggingConfig

        # A stale file of some other cluster must not be joined. CPUs are logical: replicas share the real ones.
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        self._stack.callback(ray.shutdown)
        ray.init(
            address="local",
            num_cpus=4,
            include_dashboard=False,
            object_store_memory=STORE_BYTES,
            configure_logging=False,
        )
        gpus = int(ray.cluster_resources().get("GPU", 0))
        require_devices(settings.generators, gpus, llm=settings.llm is not None)
        self._quiet = quiet = LoggingConfig(enable_access_log=False, log_level="WARNING")
        self._stack.callback(serve.shutdown)
        serve.start(http_options=HTTPOptions(host=settings.host, port=settings.port), logging_config=quiet)

        self._progress("loading the model")
        imports.join()
        from deployments.app import PARTS, build

        self._build = partial(build, redis_url=redis_url, snapshots_url=snapshots_url, gpus=gpus)
        try:
            self._run(dict.fromkeys(PARTS, settings))
        except RuntimeError as error:  # Serve keeps why a replica cannot run in its own log
            raise CannotStart(
                f"the model '{settings.model}' cannot be served here; `longlive generate` with the same --model, "
                "--weights, --decoder and --dtype fails for the same reason, and says which"
            ) from error
        if settings.llm is not None:
            from deployments.llm_calls import APP as LLM_APP
            from deployments.llm_server import build_llm

            serve.run(build_llm(settings, gpus), name=LLM_APP, route_prefix=None, logging_config=quiet)
        self._stack.callback(_broadcast, serve.get_deployment_handle("Ingress", APP), "leave")
        self._stack.callback(_broadcast, serve.get_deployment_handle("Generator", APP), "close")
        self._await_ready()

    def _run(self, settings: Mapping[str, Settings], running: int | None = None) -> None:
        from ray import serve

        # Also where there is a REDIS_URL and a store: whoever can read the data directory operates the service.
        token = self._settings.operator_token or operator_token(self._settings.data_dir)
        with_token = {part: each.model_copy(update={"operator_token": token}) for part, each in settings.items()}
        application = self._build(with_token, running=running)
        serve.run(application, name=APP, route_prefix="/", logging_config=self._quiet)

    def _start_redis(self, redis: RedisServer) -> str:
        if not self._servers:
            self._progress("starting Redis")
        try:
            redis.start()
        except RedisServerError as error:
            raise CannotStart(str(error)) from error
        self._stack.callback(redis.stop)
        self._servers.append(redis)
        return redis.url

    def _await_ready(self) -> None:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                direct.open(f"{self.url}/readyz", timeout=READY_SECONDS).close()
                return
            except OSError as error:  # refused, reset, or an answer that is not 200
                if time.monotonic() > deadline:
                    raise CannotStart(f"the service did not become ready in {READY_SECONDS:.0f} s ({error})") from error
                time.sleep(0.2)


def _broadcast(deployment: DeploymentHandle, stop: str) -> None:
    """Let history and viewers hear of the stop: a stream that is cut and one that has ended look different."""
    try:
        for answer in deployment.broadcast(stop).results(timeout_s=END_SECONDS, return_exceptions=True):
            if isinstance(answer, Exception):
                log.warning("%s was not heard by one: %s", stop, answer)
    except Exception as error:  # what does not answer is stopped all the same
        log.warning("%s was not heard: %s", stop, error)


def _abandon() -> None:
    """End what we started, at once: some of it would outlive us. Redis ends by itself, in order, because we do."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    os._exit(ABANDONED)


def serve_until_stopped(settings: Settings, progress: Callable[[str], None], ready: Callable[[str], None]) -> None:
    """Run the service; `ready` gets its URL. Returns after SIGINT or SIGTERM, when every process is gone.

    A second signal does not wait for sessions and processes to end in order. Raises CannotStart, Broken.
    """
    numbers = (signal.SIGINT, signal.SIGTERM)

    def interrupt(_: int, __: FrameType | None) -> None:
        first = time.monotonic()

        def again(_: int, __: FrameType | None) -> None:
            if time.monotonic() - first >= SECOND_SIGNAL_SECONDS:
                _abandon()

        for number in numbers:
            signal.signal(number, again)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in numbers}
    service = Service(settings, progress)
    try:
        service.start()
        for number in numbers:
            signal.signal(number, interrupt)  # Ray has put its own in place
        ready(service.url)
        while True:
            time.sleep(WATCH_SECONDS)
            service.keep()
    except KeyboardInterrupt:
        progress("stopping")
    finally:
        service.stop()
        for number, handler in before.items():
            signal.signal(number, handler)
