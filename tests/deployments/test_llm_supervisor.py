"""The supervision of a vLLM server, with a simulated one: a new one comes when it dies or hangs, and ever later."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from simulated_vllm import simulated_python

from deployments import llm_process, llm_supervisor
from deployments.llm_process import LlmProcess
from deployments.llm_supervisor import LONGEST_PAUSE, LlmState, LlmSupervisor, pause_before


class Watched:
    """A supervisor with what it has made, and the pauses that it wanted to make."""

    def __init__(self, python: str, *models: str, lasting_seconds: float = 0.0) -> None:
        """One model after the other, the last for ever."""
        self.made: list[LlmProcess] = []
        self.failures: list[int] = []
        self._python = python
        self._models = list(models)
        self.supervisor = LlmSupervisor(
            self._make, probe_seconds=0.01, lasting_seconds=lasting_seconds, pause=self._pause
        )

    @property
    def state(self) -> LlmState:
        return self.supervisor.state

    def _make(self) -> LlmProcess:
        model = self._models.pop(0) if len(self._models) > 1 else self._models[0]
        self.made.append(LlmProcess(self._python, model, "127.0.0.1", gpu=False))
        return self.made[-1]

    def _pause(self, failures: int) -> float:
        self.failures.append(failures)
        return 0.0

    async def until_it_answers(self, number: int) -> LlmState:
        """The server that was made so many servers after the first one."""
        await self.until(lambda: len(self.made) > number and self.state.server == self.made[number].server)
        return self.state

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not holds():  # noqa: ASYNC110  (it is another process)
                await asyncio.sleep(0.01)


@asynccontextmanager
async def supervised(watched: Watched) -> AsyncIterator[Watched]:
    task = asyncio.create_task(watched.supervisor.run())
    try:
        yield watched
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        watched.supervisor.stop()
    assert not any(process.alive for process in watched.made)


async def test_one_that_dies_is_replaced_at_once_and_meanwhile_it_is_told_what_became_of_it(tmp_path: Path) -> None:
    async with supervised(Watched(simulated_python(tmp_path), "good", "slow", "good")) as watched:
        assert watched.state == LlmState()
        assert (await watched.until_it_answers(0)).died == ""
        os.kill(pid_of(watched.made[0]), signal.SIGKILL)
        await watched.until(lambda: len(watched.made) == 2)
        assert watched.state == LlmState(died="vLLM was ended by SIGKILL: it left no message")
        os.kill(pid_of(watched.made[1]), signal.SIGTERM)
        assert (await watched.until_it_answers(2)).died == ""
        assert watched.failures == [0, 1]


async def test_one_that_never_answers_is_started_ever_later_and_its_last_words_are_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "deployments.llm_supervisor"):
        async with supervised(Watched(simulated_python(tmp_path), "wrong", "wrong", "good")) as watched:
            await watched.until_it_answers(2)
    assert watched.failures == [1, 2]
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert all("Invalid repository ID or local directory specified: 'wrong'" in line for line in lines)


async def test_one_that_answers_and_soon_dies_each_time_is_started_ever_later(tmp_path: Path) -> None:
    async with supervised(Watched(simulated_python(tmp_path), "good", lasting_seconds=math.inf)) as watched:
        for number in range(3):
            await watched.until_it_answers(number)
            os.kill(pid_of(watched.made[number]), signal.SIGKILL)
        await watched.until_it_answers(3)
    assert watched.failures == [1, 2, 3]


async def test_one_that_hangs_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llm_process, "HEALTH_SECONDS", 0.2)
    monkeypatch.setattr("deployments.child_process.STOP_SECONDS", 0.2)
    async with supervised(Watched(simulated_python(tmp_path), "good")) as watched:
        await watched.until_it_answers(0)
        os.kill(pid_of(watched.made[0]), signal.SIGSTOP)
        await watched.until_it_answers(1)


async def test_one_that_starts_for_too_long_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llm_supervisor, "START_SECONDS", 0.1)
    async with supervised(Watched(simulated_python(tmp_path), "slow", "slow", "slow")) as watched:
        await watched.until(lambda: len(watched.made) == 3)
        assert watched.state.died == "vLLM does not answer: it left no message"


async def test_an_interpreter_that_is_not_there_is_named(tmp_path: Path) -> None:
    async with supervised(Watched(str(tmp_path / "python"), "good")) as watched:
        await watched.until(lambda: bool(watched.state.died))
        assert "vLLM cannot be started" in watched.state.died
        assert str(tmp_path / "python") in watched.state.died


def test_pauses_grow_up_to_a_limit_and_one_that_has_lasted_waits_for_none() -> None:
    assert [pause_before(failures) for failures in range(5)] == [0, 2, 4, 8, 16]
    assert pause_before(1000) == LONGEST_PAUSE


def pid_of(process: LlmProcess) -> int:
    assert process.pid is not None
    return process.pid
