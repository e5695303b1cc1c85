"""Keeps a vLLM server running: another when it dies or hangs, ever later while none of them lasts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from deployments.llm_process import LlmProcess
from prompt_agent.backends.chat import ChatServer

PROBE_SECONDS = 2.0
SILENT_PROBES = 3
"""So many in a row that are not answered, and it is taken for dead."""
START_SECONDS = 1800.0
"""A large model is downloaded first."""
LONGEST_PAUSE = 300.0
LASTING_SECONDS = 60.0
"""One that answers for so long may die and is replaced at once: it does not die over every prompt."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LlmState:
    """`server`: where it answers; None while it starts. `died`: why the one before it ended, until it answers."""

    server: ChatServer | None = None
    died: str = ""


def pause_before(failures: int) -> float:
    """Seconds until the next start, after so many servers in a row that did not last."""
    return min(2.0**failures, LONGEST_PAUSE) if failures else 0.0


class LlmSupervisor:
    """`run` it as a task, and `stop` what it has started last."""

    def __init__(
        self,
        make: Callable[[], LlmProcess],
        *,
        probe_seconds: float = PROBE_SECONDS,
        lasting_seconds: float = LASTING_SECONDS,
        pause: Callable[[int], float] = pause_before,
    ) -> None:
        self._make = make
        self._probe_seconds = probe_seconds
        self._lasting_seconds = lasting_seconds
        self._pause = pause
        self._process: LlmProcess | None = None
        self._failures = 0
        self.state = LlmState()

    async def run(self) -> None:
        """Never returns."""
        while True:
            self._failures += 1  # until it has lasted
            died = await self._serve()
            self.state = LlmState(died=died)
            seconds = self._pause(self._failures)
            log.warning("the language model is gone, another is started in %.0f s: %s", seconds, died)
            await asyncio.sleep(seconds)

    def stop(self) -> None:
        """Returns when the server is gone. Repeatable; the task of `run` is to be cancelled before."""
        if self._process is not None:
            self._process.stop()

    async def _serve(self) -> str:
        """One server from its start until it is of no more use; what became of it."""
        self._process = process = self._make()
        try:
            process.start()  # from this thread, which stays: it ends with the one that starts it
        except OSError as error:
            return f"vLLM cannot be started: {error}"
        try:
            return await self._watch(process)
        finally:
            await asyncio.to_thread(process.stop)

    async def _watch(self, process: LlmProcess) -> str:
        clock = asyncio.get_running_loop().time
        began = answered = clock()
        silent = 0
        while process.alive:
            if await process.healthy():
                silent = 0
                if self.state.server is None:
                    answered = clock()
                    log.info("the language model answers after %.0f s", answered - began)
                    self.state = LlmState(process.server)
                if clock() - answered >= self._lasting_seconds:
                    self._failures = 0
            elif self.state.server is None:
                if clock() - began > START_SECONDS:
                    break
            else:
                silent += 1
                if silent == SILENT_PROBES:
                    break
            await asyncio.sleep(self._probe_seconds)
        return await asyncio.to_thread(lambda: process.last_words)
