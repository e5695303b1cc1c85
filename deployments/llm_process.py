"""A vLLM server as a child process: the OpenAI-compatible API of one model, in an interpreter of its own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from deployments.child_process import ChildProcess, free_port
from prompt_agent.backends.chat import ChatServer

CONTEXT = 4096  # tokens of an ask and its answer
HEALTH_SECONDS = 5.0
CPU_KV_BYTES = 2**30
CPU_SEQUENCES = 16
MOST_WORDS = 300  # letters
GATE = "longlive_key_gate.KeyGate"
GATE_FOLDER = Path(__file__).parent / "llm_gate"
_STRUCTURED = {"backend": "xgrammar", "disable_any_whitespace": True}  # else blanks are free, and without end
_ERROR = re.compile(r"(?:\(\w+ pid=\d+\) ERROR .*?\] )?([\w.]+(?:Error|Exception): .*)")


class LlmProcess:
    """Start it, use `server` once it is `healthy`, stop it. It ends with the thread that started it."""

    def __init__(self, python: str, model: str, host: str, *, gpu: bool) -> None:
        """`python`: an interpreter that has vLLM. `model`: a name on the Hugging Face hub, or a folder."""
        self._python = python
        self._host = host
        self._port = free_port(host)
        self._gpu = gpu
        self._child = ChildProcess("vLLM")
        self.server = ChatServer(f"http://{host}:{self._port}/v1", model, secrets.token_hex(16), direct=True)
        key = {"Authorization": f"Bearer {self.server.key}"}
        self._client = httpx.Client(timeout=HEALTH_SECONDS, trust_env=False, headers=key)

    @property
    def pid(self) -> int | None:
        return self._child.pid

    @property
    def alive(self) -> bool:
        return self._child.alive

    @property
    def last_words(self) -> str:
        """What became of it, and the error that it wrote last: one line."""
        code = self._child.exit_code
        if code is None:
            what = "vLLM does not answer"
        else:
            what = f"vLLM ended with {code}" if code >= 0 else f"vLLM was ended by {signal.Signals(-code).name}"
        return f"{what}: {cause(self._child.last_lines())}"

    def start(self) -> None:
        """Returns at once; it takes half a minute or some to be healthy. Raises OSError: no such interpreter."""
        self._child.start(self._command(), environment=self._environment())

    async def healthy(self) -> bool:
        """Whether it answers, and its engine lives; whoever else may have taken its port does not count."""
        # In a thread, for `stop` closes the client, and is called where no event loop runs.
        return self.alive and await asyncio.to_thread(self._answers) and self.alive

    def stop(self) -> None:
        """Returns when it is gone; it is not started again. Repeatable."""
        self._child.stop()
        self._client.close()

    def _answers(self) -> bool:
        root = self.server.url.removesuffix("/v1")
        try:
            models = self._client.get(f"{self.server.url}/models")
            ours = models.is_success and self.server.model in {model["id"] for model in models.json()["data"]}
            return ours and self._client.get(f"{root}/health").is_success
        except (httpx.HTTPError, ValueError, LookupError, TypeError):
            return False

    def _command(self) -> list[str]:
        options = {
            "model": self.server.model,
            "served-model-name": self.server.model,
            "host": self._host,
            "port": str(self._port),
            "middleware": GATE,
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
        own = {
            "VLLM_API_KEY": str(self.server.key),
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "PYTHONPATH": str(GATE_FOLDER),
        }
        offline = {"HF_HUB_OFFLINE": "1"} if Path(self.server.model).is_dir() else {}
        return inherited | own | offline


def cause(lines: Sequence[str]) -> str:
    """Of a Python program's last lines, the one that says why it ended: its last error, at most MOST_WORDS long."""
    errors = [(number, found[1]) for number, line in enumerate(lines) if (found := _ERROR.match(line))]
    if not errors:
        said = lines[-1] if lines else "it left no message"
    else:
        number, said = ([error for error in errors if "root cause" not in error[1]] or errors)[-1]
        after = lines[number + 1 : number + 2]
        said = " ".join([said, *(line for line in after if line.startswith("  "))])  # details of pydantic's errors
    return " ".join(said.split())[:MOST_WORDS]
