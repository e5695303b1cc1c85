"""Where the language model is, as the prompt agent is told: there, starting, dead and why, or nowhere."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ray import serve
from ray.serve.exceptions import RayServeException

from deployments.llm_calls import LlmFinder, without_folders
from deployments.llm_supervisor import LlmState
from prompt_agent.backends import BackendError, Trouble
from prompt_agent.backends.chat import ChatServer

SERVER = ChatServer("http://127.0.0.1:1/v1", "qwen", "secret")


def deployed(monkeypatch: pytest.MonkeyPatch, state: LlmState) -> LlmFinder:
    """A finder in front of a simulated handle."""

    async def remote() -> LlmState:
        return state

    monkeypatch.setattr(serve, "get_app_handle", lambda app: SimpleNamespace(state=SimpleNamespace(remote=remote)))
    return LlmFinder()


async def test_a_server_that_answers_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await deployed(monkeypatch, LlmState(SERVER)).find() == SERVER


@pytest.mark.parametrize(
    ("state", "trouble", "says"),
    [
        (LlmState(), Trouble.starting, "is still starting"),
        (
            LlmState(died="vLLM ended with 1: OSError: no '/srv/qwen'"),
            Trouble.died,
            "again: vLLM ended with 1: OSError: no 'qwen'$",
        ),
    ],
)
async def test_one_that_does_not_says_why(
    state: LlmState, trouble: Trouble, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BackendError, match=says) as caught:
        await deployed(monkeypatch, state).find()
    assert caught.value.trouble is trouble
    assert not caught.value.trouble.chance
    assert not caught.value.trouble.of_the_server


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("OSError: '/srv/my models/qwen' is no folder", "OSError: 'qwen' is no folder"),
        ("(/srv/qwen), path=~/models/q.json, file:///srv/q.json", "(qwen), path=q.json, q.json"),
        ('no "/qwen" in /srv/models/', 'no "qwen" in models/'),
        ("'namespace/name', ./a/b or 1 / 2", "'namespace/name', ./a/b or 1 / 2"),
        ("see https://huggingface.co/docs/hub.", "see https://huggingface.co/docs/hub."),
    ],
)
def test_of_the_operators_paths_only_the_last_part_is_told(text: str, told: str) -> None:
    assert without_folders(text) == told


async def test_without_its_application_it_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(app: str) -> None:
        raise RayServeException("There is no such application.")

    monkeypatch.setattr(serve, "get_app_handle", none)
    with pytest.raises(BackendError, match="is not there") as caught:
        await LlmFinder().find()
    assert caught.value.trouble is Trouble.unreachable
