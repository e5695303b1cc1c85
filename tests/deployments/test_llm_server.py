"""The real vLLM with a small random model: `make test-llm` builds what this needs and runs it."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from service_process import ServiceProcess

from deployments.llm_process import LlmProcess
from prompt_agent.agent import Attempt, PromptAgent
from prompt_agent.backends.chat import ChatBackend, always
from prompt_agent.expansion import Ask, Draft
from prompt_agent.forms import open_form
from prompt_agent.profile import load_profile, profile_names
from tests.llm_model import make_random_qwen

PYTHON = os.environ.get("LONGLIVE_LLM_PYTHON", "")
START_SECONDS = 240.0
ASKED = "What the language model wrote cannot be used"
SCENE, REQUEST = "a red ball hops in the meadow by day in clear weather", "let it snow"
pytestmark = [
    pytest.mark.llm,
    pytest.mark.skipif(not PYTHON, reason="LONGLIVE_LLM_PYTHON names no vLLM"),
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("qwen")
    make_random_qwen(folder)
    return folder


@pytest.fixture(scope="module")
def process(model: Path) -> Iterator[LlmProcess]:
    process = LlmProcess(PYTHON, str(model), "127.0.0.1", gpu=False)
    process.start()
    try:
        asyncio.run(until_healthy(process))
        yield process
    finally:
        process.stop()


async def until_healthy(process: LlmProcess) -> None:
    async with asyncio.timeout(START_SECONDS):
        while not await process.healthy():
            assert process.alive, process.last_words
            await asyncio.sleep(0.5)


@pytest.fixture
async def backend(process: LlmProcess) -> AsyncIterator[ChatBackend]:
    backend = ChatBackend(FORM, always(process.server))
    yield backend
    await backend.close()


FORM = open_form(load_profile("tiny"))


async def write(backend: ChatBackend) -> Draft:
    return await backend.write(Ask(SCENE, REQUEST), lambda text: None)


def at(process: LlmProcess, key: str | None) -> httpx.AsyncClient:
    """A client of all routes of the server."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    url = process.server.url.removesuffix("/v1")
    return httpx.AsyncClient(base_url=url, headers=headers, timeout=60, trust_env=False)


async def running(process: LlmProcess) -> float:
    """Requests that the engine works on."""
    async with at(process, process.server.key) as client:
        told = (await client.get("/metrics")).text
    return sum(
        float(line.rpartition(" ")[2]) for line in told.splitlines() if line.startswith("vllm:num_requests_running")
    )


@pytest.mark.parametrize("profile", profile_names())
async def test_random_weights_write_what_the_pattern_allows_and_nothing_else(process: LlmProcess, profile: str) -> None:
    backend = ChatBackend(open_form(load_profile(profile)), always(process.server))
    draft = await write(backend)
    assert re.fullmatch(r"[ -~]+", draft.prompt)
    assert not set('<>"') & set(draft.prompt + draft.added)
    assert len(draft.prompt) > (100 if profile == "full" else 0)
    await backend.close()


async def test_sixteen_at_once_are_answered(backend: ChatBackend) -> None:
    drafts = await asyncio.gather(*(write(backend) for _ in range(16)))
    assert len(drafts) == 16
    assert all(draft.prompt for draft in drafts)


async def test_what_random_weights_write_is_rejected_and_the_rules_answer(backend: ChatBackend) -> None:
    told: list[Attempt] = []
    expansion = await PromptAgent(FORM, [backend], deadline=60, observe=told.append).expand(SCENE, REQUEST)
    assert (expansion.source, expansion.prompt.rpartition(" in ")[2]) == ("rules", "the snow")
    assert [attempt.outcome for attempt in told] == ["rejected", "rejected", "accepted"]
    assert "cannot be used" in expansion.warnings[0]


async def test_who_goes_away_frees_the_engine(backend: ChatBackend, process: LlmProcess) -> None:
    calls = [asyncio.create_task(write(backend)) for _ in range(8)]
    async with asyncio.timeout(60):
        while not await running(process):
            assert not all(call.done() for call in calls)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        while await running(process):
            pass


async def test_no_route_answers_without_the_key(process: LlmProcess) -> None:
    asked = {"model": process.server.model, "messages": [{"role": "user", "content": "rain"}], "max_tokens": 1}
    async with at(process, process.server.key) as known, at(process, None) as unknown:
        generating = ["/invocations", "/v1/chat/completions"]
        assert [(await known.post(path, json=asked)).status_code for path in generating] == [200, 200]
        assert [(await unknown.post(path, json=asked)).status_code for path in generating] == [401, 401]
        routes = (await known.get("/openapi.json")).json()["paths"]
        assert set(generating) < set(routes)
        for path, methods in routes.items():
            for method in methods:
                assert (await unknown.request(method, path)).status_code == 401, path


async def test_a_wrong_key_and_a_wrong_model_are_named(process: LlmProcess) -> None:
    wrong_key = ChatBackend(FORM, always(replace(process.server, key="wrong")))
    wrong_model = ChatBackend(FORM, always(replace(process.server, model="other")))
    agent = PromptAgent(FORM, [wrong_key, wrong_model], deadline=60)
    expansion = await agent.expand(SCENE, REQUEST)
    assert expansion.source == "rules"
    assert "does not take the key" in expansion.warnings[0]
    assert "There is no model 'other'" in expansion.warnings[1]
    for backend in (wrong_key, wrong_model):
        await backend.close()


@pytest.mark.parametrize("killed", ["engine", "server"])
async def test_a_death_is_noticed_and_leaves_nothing(model: Path, killed: str) -> None:
    process = LlmProcess(PYTHON, str(model), "127.0.0.1", gpu=False)
    process.start()
    try:
        await until_healthy(process)
        server = psutil.Process(process.pid)
        children = server.children(recursive=True)
        (engine,) = (child for child in children if "EngineCore" in child.name())
        (engine if killed == "engine" else server).kill()
        async with asyncio.timeout(60):
            while process.alive and await process.healthy():
                pass
    finally:
        process.stop()
    assert not process.alive
    _, left = psutil.wait_procs(children, timeout=60)
    assert not left


async def test_the_service_starts_it_anew_when_the_engine_dies_and_rules_answer_meanwhile(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LONGLIVE_LLM", str(model))
    monkeypatch.setenv("LONGLIVE_LLM_SECONDS", "20")
    service = ServiceProcess(tmp_path)
    try:
        await asyncio.to_thread(service.wait_until_ready)
        first = await preview(service.url)
        assert (first["source"], first["prompt"].rpartition(" in ")[2]) == ("rules", "the snow")
        await until_asked(service.url)
        before = service.processes("EngineCore")
        service.kill("EngineCore")
        async with asyncio.timeout(60):
            while not (away := " ".join((await preview(service.url))["warnings"])) or ASKED in away:
                pass
        await until_asked(service.url)
        assert not set(before) & set(service.processes("EngineCore"))
    finally:
        code, left = await asyncio.to_thread(service.interrupt)
    assert (code, left) == (0, [])


async def test_a_model_that_is_not_there_is_named_to_the_operator_and_in_receipts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("LONGLIVE_LLM", str(tmp_path / "empty"))
    service = ServiceProcess(tmp_path)
    cause = "Invalid repository ID or local directory specified: '{}'."
    try:
        await asyncio.to_thread(service.wait_until_ready)
        async with asyncio.timeout(START_SECONDS):
            while cause.format("empty") not in " ".join((await preview(service.url))["warnings"]):  # noqa: ASYNC110
                await asyncio.sleep(0.5)
            whole = cause.format(tmp_path / "empty")
            # The log comes by way of Ray, which hands it on a moment later.
            while not any("WARNING" in line and whole in line for line in service.output.splitlines()):  # noqa: ASYNC110
                await asyncio.sleep(0.5)
    finally:
        code, left = await asyncio.to_thread(service.interrupt)
    assert (code, left) == (0, [])


async def preview(url: str) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
        answer = (await client.post("/v1/prompts/preview", json={"scene": SCENE, "text": REQUEST})).json()
    assert answer["source"] == "rules"
    return answer


async def until_asked(url: str) -> None:
    """The language model has answered, with what cannot be used: its weights are random."""
    async with asyncio.timeout(START_SECONDS):
        while ASKED not in " ".join((await preview(url))["warnings"]):  # noqa: ASYNC110  (it is another process)
            await asyncio.sleep(0.5)
