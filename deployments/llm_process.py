"""A vLLM server as a child process: the OpenAI-compatible API of one model, in an interpreter of its own."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import httpx

from deployments.child_process import end_with_parent, free_port, last_line

CONTEXT = 4096  # tokens of an ask and its answer
STOP_SECONDS = 10.0
HEALTH_SECONDS = 5.0
CPU_KV_BYTES = 2**30
CPU_SEQUENCES = 16
_STRUCTURED = {"backend": "xgrammar", "disable_any_whitespace": True}  # else blanks are free, and without end


class LlmProcess:
    """Start it, use `url` and `key` once it is `healthy`, stop it. It ends with the process that started it."""

    def __init__(self, python: str, model: str, host: str, *, gpu: bool) -> None:
        """`python`: an interpreter that has vLLM. `model`: a name on the Hugging Face hub, or a folder."""
        self._python = python
        self._model = model
        self._host = host
        self._gpu = gpu
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="longlive-llm-")
        self._log = Path(self._folder.name) / "vllm.log"
        self._port = free_port(host)
        self.key = secrets.token_hex(16)

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self._port}/v1"

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def last_words(self) -> str:
        return last_line(self._log)

    def start(self) -> None:
        """Returns at once; it takes half a minute or some to be healthy."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment(),
                process_group=0,
                preexec_fn=end_with_parent(),
            )

    async def healthy(self) -> bool:
        """Whether it answers, and its engine lives."""
        async with httpx.AsyncClient(timeout=HEALTH_SECONDS, trust_env=False) as client:
            try:
                return (await client.get(self.url.removesuffix("/v1") + "/health")).is_success
            except httpx.TransportError:
                return False

    def stop(self) -> None:
        """Returns when it is gone. Repeatable."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._folder.cleanup()

    def _command(self) -> list[str]:
        options = {
            "model": self._model,
            "served-model-name": self._model,
            "host": self._host,
            "port": str(self._port),
            "max-model-len": str(CONTEXT),
            "structured-outputs-config": json.dumps(_STRUCTURED),
            "generation-config": "vllm",
            "uvicorn-log-level": "warning",
        }
        if not self._gpu:  # compiling wants a compiler, and memory is shared with everything else
            options |= {"kv-cache-memory-bytes": str(CPU_KV_BYTES), "max-num-seqs": str(CPU_SEQUENCES)}
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        eager = [] if self._gpu else ["--enforce-eager"]
        return [self._python, "-m", "vllm.entrypoints.openai.api_server", *arguments, *eager]

    def _environment(self) -> Mapping[str, str]:
        # Ray counts the threads of its workers; vLLM's are its own. Our secrets are not for it, and its key is no
        # argument: those everybody can read.
        ours = ("OMP_NUM_THREADS", "PYTHONPATH", "REDIS_URL", "LONGLIVE_", "RAY_")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        own = {"VLLM_API_KEY": self.key, "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
        offline = {"HF_HUB_OFFLINE": "1"} if Path(self._model).is_dir() else {}
        return inherited | own | offline
