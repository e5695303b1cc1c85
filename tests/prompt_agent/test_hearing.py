"""What is heard of a prompt while it is written: whole words, as the safety hook allows them, none after a refusal."""

from __future__ import annotations

import asyncio

from prompt_agent.hearing import judged
from prompt_agent.safety import Verdict


class Hook:
    """Refuses "blood", writes "red" for "crimson", and judges nothing while it is not `open`."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.judged: list[str] = []

    async def judge(self, text: str) -> Verdict:
        self.judged.append(text)
        await self.open.wait()
        return Verdict(text.replace("crimson", "red"), "No blood." if "blood" in text.split() else "")


async def hear(hook: Hook, *texts: str) -> list[str]:
    heard: list[str] = []
    async with judged(hook, heard.append) as write:
        for text in texts:
            write(text)
            await settle()
    return heard


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_words_are_heard_once_they_are_whole_and_as_they_may_be_said() -> None:
    heard = await hear(Hook(), "a", "a crim", "a crimson", "a crimson fox", "a crimson fox runs")
    assert heard == ["a", "a red", "a red fox"]


async def test_nothing_is_heard_after_a_refusal_nor_the_word_that_it_is_about() -> None:
    assert await hear(Hook(), "a blo", "a blood ", "a blood bath", "a blood bath here") == ["a"]


async def test_a_slow_hook_judges_the_newest_alone_and_keeps_nobody_from_writing() -> None:
    hook, heard = Hook(), list[str]()
    hook.open.clear()
    async with judged(hook, heard.append) as write:
        for text in ("a b", "a b c", "a b c d"):
            write(text)
            await settle()
        hook.open.set()
        await settle()
    assert hook.judged == ["a", "a b c"]
    assert heard == ["a", "a b c"]


async def test_a_hook_that_breaks_lets_nothing_through() -> None:
    class Broken(Hook):
        async def judge(self, text: str) -> Verdict:
            raise RuntimeError

    assert await hear(Broken(), "a b", "a b c") == []
