"""What is heard of a prompt while it is written: only what may be said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prompt_agent.backends import Heard
from prompt_agent.safety import SafetyHook


@asynccontextmanager
async def judged(safety: SafetyHook, heard: Heard) -> AsyncIterator[Heard]:
    """What passes on to `heard` what the hook allows of the text so far, as it allows it; after a refusal nothing.

    The last word is held back until it is whole. Who writes does not wait for the hook: it judges the newest alone.
    """
    written: asyncio.Queue[str] = asyncio.Queue()

    async def pass_on() -> None:
        passed = ""
        while True:
            text = await written.get()
            while not written.empty():
                text = written.get_nowait()
            whole = text.rpartition(" ")[0]
            if whole != passed:
                verdict = await safety.judge(whole)
                if verdict.reason:
                    return
                heard(verdict.text)
                passed = whole

    passing = asyncio.create_task(pass_on())
    try:
        yield written.put_nowait
    finally:
        passing.cancel()
        await asyncio.gather(passing, return_exceptions=True)  # a hook that breaks is told of with the whole prompt
