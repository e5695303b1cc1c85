"""Calls to other parts: asked twice at most, never for ever, with one error that names the part."""

from __future__ import annotations

import asyncio

import pytest
from ray.exceptions import RayActorError

from deployments.calls import PartDown, ask


class Part:
    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)

    async def call(self) -> object:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            await asyncio.Event().wait()
        return answer


async def test_an_answer_is_given() -> None:
    assert await ask("text encoder", Part("yes").call) == "yes"


@pytest.mark.parametrize("first", [RayActorError(), None], ids=["died", "silent"])
async def test_another_replica_is_asked_when_one_died_or_is_silent(first: object) -> None:
    assert await ask("text encoder", Part(first, "yes").call, seconds=0.05) == "yes"


async def test_a_part_that_fails_twice_is_named() -> None:
    part = Part(RayActorError(), RayActorError(), "too late")
    with pytest.raises(PartDown, match="text encoder"):
        await ask("text encoder", part.call)
    assert part.answers == ["too late"]


async def test_what_the_part_itself_raises_is_passed_on() -> None:
    with pytest.raises(ValueError, match="no such word"):
        await ask("text encoder", Part(ValueError("no such word"), "yes").call)


async def test_what_must_not_be_lost_waits_for_a_new_replica() -> None:
    part = Part(RayActorError(), RayActorError(), RayActorError(), "here")
    assert await ask("video encoder", part.call, patience=30.0) == "here"
