"""What must hold before anything is started: each check takes moments and tells a person, in one line, what to do."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import fsspec
import redis
from fsspec.utils import get_protocol
from redis.backoff import NoBackoff
from redis.retry import Retry

from deployments.session import FRAMES_PER_LATENT, LATENTS_PER_CHUNK
from deployments.snapshot_shelves import is_redis
from longlive.config import DecoderName, ModelConfig


class CannotStart(Exception):
    """The service cannot run with these settings, here; the text, one line, says why and what to do."""


def require_address(host: str, port: int) -> None:
    """Ray's proxies share their port with whoever asks, so a second service would take every other request."""
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        fault = error.strerror or str(error)
        raise CannotStart(f"cannot listen on {host}:{port} ({fault}); choose another --port or --host") from error


def require_redis(url: str, setting: str = "REDIS_URL") -> None:
    try:
        with redis.Redis.from_url(
            url, socket_timeout=5.0, socket_connect_timeout=5.0, retry=Retry(NoBackoff(), 0)
        ) as client:
            client.ping()
    except (redis.RedisError, OSError, ValueError) as error:
        raise CannotStart(
            f"the Redis of {setting} does not answer ({_line(error)}); start it, or unset {setting} to have one"
        ) from error


def require_snapshots(url: str) -> None:
    """There is such a Redis, or such a kind of place."""
    name = "LONGLIVE_SNAPSHOTS"
    if is_redis(url):
        require_redis(url, name)
        return
    try:
        fsspec.get_filesystem_class(get_protocol(url))
    except (ValueError, ImportError) as error:
        raise CannotStart(f"{name} cannot be opened ({_line(error)}); correct it, or unset it") from error


def require_model(name: str, weights: Path | None, decoder: DecoderName) -> None:
    """There is such a model, its files can be loaded, and its chunks are as long as the service counts them."""
    from longlive.checkpoints import check_files
    from longlive.errors import CheckpointError, InputError
    from longlive.model_folder import find_model

    try:
        model = find_model(name, weights)
        _require_chunks(name, model.config)
        check_files(model, decoder)
    except (CheckpointError, InputError, OSError) as error:
        raise CannotStart(_line(error)) from error


def _require_chunks(name: str, config: ModelConfig) -> None:
    sizes = config.rollout.chunk_frames, config.vae.temporal_stride
    if sizes != (LATENTS_PER_CHUNK, FRAMES_PER_LATENT):
        raise CannotStart(
            f"the model '{name}' has chunks of {sizes[0]} latent frames of {sizes[1]} frames each; the service can "
            f"only time {LATENTS_PER_CHUNK} of {FRAMES_PER_LATENT}: use another model, or `longlive generate`"
        )


def require_prompts(profile: str | None, words: Path | None) -> None:
    """There is such a profile, and such a list of words."""
    from prompt_agent.forms import open_form
    from prompt_agent.profile import ProfileError, load_profile
    from prompt_agent.safety import SafetyError, WordList

    try:
        if profile is not None:
            open_form(load_profile(profile))
        WordList(words)
    except (ProfileError, SafetyError) as error:
        raise CannotStart(_line(error)) from error


def require_llm(python: Path | None) -> None:
    """The interpreter that shall serve a language model can."""
    named = sys.executable if python is None else str(python)
    check = "import importlib.util, sys; sys.exit(importlib.util.find_spec('vllm') is None)"
    try:
        lacks = subprocess.run([named, "-c", check], check=False, capture_output=True, timeout=60).returncode != 0
    except (OSError, subprocess.SubprocessError) as error:
        raise CannotStart(f"LONGLIVE_LLM_PYTHON cannot be run: {_line(error)}") from error
    if lacks:
        raise CannotStart(
            f"{named} has no vLLM to serve a language model with; `make llm-env` builds an interpreter that has, to be "
            "named by LONGLIVE_LLM_PYTHON; or use --llm-url"
        )


def require_devices(generators: int, gpus: int, *, llm: bool = False) -> None:
    """With GPUs each generator owns one, and so does a language model. Without any they share the cores."""
    if 0 < gpus < generators:
        raise CannotStart(
            f"there are {generators} generators for {gpus} GPU(s), and each owns one; ask for at most {gpus}, or hide "
            "the GPUs with CUDA_VISIBLE_DEVICES= to share the cores"
        )
    if llm and gpus and gpus == generators:
        raise CannotStart(
            f"each of the {gpus} GPU(s) has a generator, and the language model wants one of its own; ask for fewer "
            "generators, or use --llm-url"
        )


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
