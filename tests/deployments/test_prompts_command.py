"""`longlive sessions prompt` over the API: one change or several, as lines for people and for scripts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from api_parts import Parts, served
from redis_store import Store

from deployments.client import AsyncClient
from deployments.control_tokens import ControlTokens
from deployments.entries import PromptApplied, PromptRequested, SessionEnded
from deployments.session import chunk_first_frame
from tests.test_cli import run

ONE, TWO = "make it rain", "make it rain and add a dog"


class Shell:
    """Runs `longlive sessions prompt` on a session that was created here; gives exit status, stdout and stderr."""

    def __init__(self, capsys: pytest.CaptureFixture[str], url: str, sid: str, parts: Parts) -> None:
        self._capsys, self._url = capsys, url
        self.sid, self.parts = sid, parts

    async def __call__(self, *arguments: str) -> tuple[int, str, str]:
        command = ("sessions", "prompt", self.sid, *arguments, "--url", self._url)
        return await asyncio.to_thread(run, self._capsys, *command)

    async def show(self, most: int) -> None:
        """Have the video show what is asked of it, so many prompts."""
        chunk = 0
        async for entry in self.parts.store.timeline.tail(self.sid):
            if isinstance(entry, PromptRequested):
                chunk += 1
                frame = chunk_first_frame(chunk)
                where = {"chunk": chunk, "frame": frame, "media_seconds": frame / 16}
                shown = PromptApplied(prompt_id=entry.prompt_id, text=entry.text, latency_ms=9, **where)
                await self.parts.state(self.sid, shown)
                if chunk == most:
                    return


@pytest.fixture
async def shell(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[Shell]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    parts = Parts(store)
    async with served(parts) as address, AsyncClient(f"http://{address}") as client:
        session = await client.create("a ball")
        assert session.control_token is not None
        ControlTokens().keep(session.id, session.control_token)
        await parts.make(session.id, 1)
        yield Shell(capsys, f"http://{address}", session.id, parts)


async def test_each_change_is_a_document_on_a_line_of_its_own(shell: Shell) -> None:
    code, said, err = await shell(TWO, "--json")
    first, second = map(json.loads, said.splitlines())
    assert (code, err) == (0, "")
    assert [first["text"], second["text"]] == ["make it rain", "add a dog"]
    assert first["then"] == [second["prompt_id"]]
    assert [each["status"] for each in (first, second)] == ["accepted", "accepted"]


async def test_of_several_changes_each_is_waited_for_and_told(shell: Shell) -> None:
    (code, said, err), _ = await asyncio.gather(shell(TWO, "--json", "--wait"), shell.show(2))
    first, second = map(json.loads, said.splitlines())
    assert (code, err) == (0, "")
    assert [(each["text"], each["status"]) for each in (first, second)] == [
        ("make it rain", "applied"),
        ("add a dog", "applied"),
    ]


async def test_people_read_a_line_for_each_change_and_the_warnings_beside(shell: Shell) -> None:
    code, said, err = await shell(TWO)
    first, second = said.splitlines()
    assert code == 0
    assert first.endswith("accepted: make it rain")
    assert second.endswith("accepted: add a dog")
    assert "2 changes" in err


async def test_what_was_shown_before_the_session_ended_is_told_all_the_same(shell: Shell) -> None:
    async def show_one_and_end() -> None:
        await shell.show(1)
        await shell.parts.state(shell.sid, SessionEnded(reason="requested"))

    (code, said, err), _ = await asyncio.gather(shell(TWO, "--json", "--wait"), show_one_and_end())
    (first,) = map(json.loads, said.splitlines())
    assert (code, first["text"], first["status"]) == (1, "make it rain", "applied")
    assert "The video ended before this took effect." in err


@pytest.mark.parametrize("option", [(), ("--preview",)])
async def test_a_single_change_is_a_single_document(shell: Shell, option: tuple[str, ...]) -> None:
    code, said, err = await shell(ONE, "--json", *option)
    assert (code, err) == (0, "")
    assert ONE in json.dumps(json.loads(said))
