"""A vLLM process, with a simulated one: whether it is ours that answers, and how it says why it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import psutil
import pytest
from simulated_vllm import simulated_python

from deployments import llm_process
from deployments.llm_process import MOST_WORDS, LlmProcess, cause


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110  (it is another process)
            await asyncio.sleep(0.01)


async def test_it_is_healthy_while_it_answers(tmp_path: Path) -> None:
    process = LlmProcess(simulated_python(tmp_path), "good", "127.0.0.1", gpu=False)
    process.start()
    try:
        await until_healthy(process)
    finally:
        process.stop()
    assert not await process.healthy()
    assert not process.alive
    assert process.last_words == "vLLM was ended by SIGTERM: it left no message"


def test_no_proxy_is_between_us_and_it(tmp_path: Path) -> None:
    process = LlmProcess(simulated_python(tmp_path), "good", "127.0.0.1", gpu=False)
    assert process.server.direct


async def test_one_connection_serves_to_ask_whether_it_is_healthy(tmp_path: Path) -> None:
    process = LlmProcess(simulated_python(tmp_path), "good", "127.0.0.1", gpu=False)
    process.start()
    try:
        await until_healthy(process)
        before = connections(process)
        assert await process.healthy()
        assert connections(process) == before
    finally:
        process.stop()


async def until_healthy(process: LlmProcess) -> None:
    async with asyncio.timeout(60):
        while not await process.healthy():
            assert process.alive, process.last_words
            await asyncio.sleep(0.01)


def connections(process: LlmProcess) -> set[int]:
    """Our ports of those that are open."""
    port = int(process.server.url.removesuffix("/v1").rpartition(":")[2])
    ours = psutil.Process().net_connections("tcp")
    return {each.laddr.port for each in ours if each.raddr and each.raddr.port == port}


class Yes(BaseHTTPRequestHandler):
    """A program that has nothing against anything."""

    said = b"yes"

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.said)

    def log_message(self, *_: object) -> None:
        pass


class SameModel(Yes):
    said = b'{"data": [{"id": "good"}]}'


@pytest.mark.parametrize("handler", [Yes, SameModel])
async def test_another_program_that_has_taken_its_port_does_not_count(
    handler: type[Yes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as stranger:
        Thread(target=stranger.serve_forever, daemon=True).start()
        monkeypatch.setattr(llm_process, "free_port", lambda host: stranger.server_port)
        process = LlmProcess(simulated_python(tmp_path), "good", "127.0.0.1", gpu=False)
        process.start()
        await until(lambda: not process.alive)
        assert not await process.healthy()
        assert "ddress already in use" in process.last_words
        process.stop()
        stranger.shutdown()


async def test_it_says_in_one_line_why_it_ended(tmp_path: Path) -> None:
    process = LlmProcess(simulated_python(tmp_path), "wrong", "127.0.0.1", gpu=False)
    process.start()
    await until(lambda: not process.alive)
    assert process.last_words == (
        "vLLM ended with 1: pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig "
        "Value error, Invalid repository ID or local directory specified: 'wrong'."
    )
    process.stop()


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "it left no message"),
        (["loading", "half of it"], "half of it"),
        (["ConnectError: no name", "Traceback", "OSError: no hub", "Check your connection."], "OSError: no hub"),
        (["ValueError: no memory", "RuntimeError: It failed. See root cause above.", "bye"], "ValueError: no memory"),
        (
            ["(APIServer pid=3) ERROR 11-22 [llm.py:9] EngineDeadError: It died.", "bye"],
            "EngineDeadError: It died.",
        ),
        (["EngineDeadError: See above for the root cause.", "bye"], "EngineDeadError: See above for the root cause."),
        (["WARNING: errors like `OSError: [24]` may come", "done"], "done"),
        (["a.b.OddException: " + "x" * 999], ("a.b.OddException: " + "x" * 999)[:MOST_WORDS]),
    ],
)
def test_the_cause_is_the_last_error_that_tells_one(lines: list[str], said: str) -> None:
    assert cause(lines) == said
