"""Doubles of the agent's parts: a form of few rules, and backends that do what a test says."""

from __future__ import annotations

import asyncio
from typing import Any

from prompt_agent.backends import BackendError, Heard
from prompt_agent.expansion import Ask, Draft, NotUnderstood
from prompt_agent.validation import Fault, FaultKind


class PlainForm:
    """A prompt is the scene, a comma, the request. It makes nothing of "blah", and a good prompt is never "bad"."""

    def whole(self, text: str) -> bool:
        return len(text.split()) > 5

    def write(self, ask: Ask) -> Draft:
        if "blah" in ask.request:
            raise NotUnderstood("Nothing is made of blah.")
        left_out = tuple(word for word in ask.request.split() if word == "please")
        return Draft(f"{ask.scene}, {ask.request}", ask.request, left_out)

    def faults(self, draft: Draft, ask: Ask) -> list[Fault]:
        return [Fault(FaultKind.characters, "it is bad")] if "bad" in draft.prompt else []

    def stock(self, ask: Ask) -> Draft:
        return Draft(ask.scene, "")

    def instructions(self) -> str:
        return "Write a prompt."

    def pattern(self) -> str:
        return ".*"

    def suggest(self, scene: str, history: tuple[str, ...], count: int) -> list[str]:
        return [f"{scene}?"][:count]


class ScriptedBackend:
    """Answers with one after the other: a prompt, an error, or never (None). The last goes on for ever."""

    name = "llm"

    def __init__(self, *answers: str | BackendError | None) -> None:
        self._answers = list(answers)
        self.asked: list[Ask] = []
        self.waiting = asyncio.Event()
        self.cancelled = 0

    async def write(self, ask: Ask, heard: Heard) -> Draft:
        self.asked.append(ask)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if answer is None:
            self.waiting.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        if isinstance(answer, BackendError):
            raise answer
        assert answer is not None
        for end in range(1, len(answer) + 1):
            heard(answer[:end])
            await asyncio.sleep(0)  # as what comes over a network does
        return Draft(answer, "something")


def outcomes(told: list[Any]) -> list[tuple[str, str]]:
    return [(attempt.source, attempt.outcome) for attempt in told]
