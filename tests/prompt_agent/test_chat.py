"""What the client of a language model sends, how it reads what comes, and what it says of what goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator

import pytest
from prompt_doubles import PlainForm, outcomes
from simulated_chat_server import GOOD, Behaviour, SimulatedChatServer, simulated_chat_server

from prompt_agent.agent import Attempt, PromptAgent
from prompt_agent.backends import Trouble
from prompt_agent.backends.chat import ChatBackend, ChatServer, always
from prompt_agent.backends.dialect import Dialect
from prompt_agent.expansion import Ask, Draft

ASK = Ask("a dog on a hill", 'make it "rain"', ("wind",))
DRAFT = Draft("A wet dog on a hill.", "rain")


@pytest.fixture
async def server() -> AsyncIterator[SimulatedChatServer]:
    async with simulated_chat_server() as server:
        yield server


@pytest.fixture
async def backend(server: SimulatedChatServer) -> AsyncIterator[ChatBackend]:
    backend = ChatBackend(PlainForm(), always(ChatServer(server.url, "qwen", "secret")))
    yield backend
    await backend.close()


async def write(backend: ChatBackend, heard: list[str] | None = None) -> Draft:
    return await backend.write(ASK, (heard if heard is not None else []).append)


async def test_an_answer_is_read_while_it_comes(backend: ChatBackend) -> None:
    heard: list[str] = []
    assert await write(backend, heard) == DRAFT
    assert heard[-1] == DRAFT.prompt
    assert len(heard) > 2
    assert all(DRAFT.prompt.startswith(each) for each in heard)


async def test_instructions_and_data_are_told_apart(backend: ChatBackend, server: SimulatedChatServer) -> None:
    await write(backend)
    (body,) = server.bodies
    system, user = body["messages"]
    assert (system["role"], system["content"]) == ("system", "Write a prompt.")
    assert user["role"] == "user"
    asked = {"scene": ASK.scene, "request": ASK.request, "history": ["wind"], "cut": False}
    assert json.loads(user["content"]) == asked
    assert server.keys == ["Bearer secret"]


async def test_vllm_is_held_to_the_pattern_and_does_not_think_aloud(
    backend: ChatBackend, server: SimulatedChatServer
) -> None:
    await write(backend)
    assert server.bodies[0]["structured_outputs"] == {"regex": ".*"}
    assert server.bodies[0]["chat_template_kwargs"] == {"enable_thinking": False}


async def test_another_server_gets_nothing_that_it_may_not_know(server: SimulatedChatServer) -> None:
    backend = ChatBackend(PlainForm(), always(ChatServer(server.url, "qwen")), Dialect.none)
    assert await write(backend) == DRAFT
    assert not {"structured_outputs", "chat_template_kwargs"} & set(server.bodies[0])
    assert server.bodies[0]["max_tokens"] > 0
    await backend.close()


ELSEWHERE = "127.1"  # an address of this machine that does not look like one


@pytest.mark.parametrize(
    ("host", "direct", "past"),
    [
        ("127.0.0.1", False, True),
        ("localhost", False, True),
        (ELSEWHERE, False, False),
        (ELSEWHERE, True, True),
    ],
)
async def test_a_proxy_of_the_environment_is_not_for_this_machine_nor_for_a_server_of_ours(
    host: str, direct: bool, past: bool, server: SimulatedChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    url = server.url.replace("127.0.0.1", host)
    backend = ChatBackend(PlainForm(), always(ChatServer(url, "qwen", direct=direct)))
    if past:
        assert await write(backend) == DRAFT
    else:
        assert "cannot be reached" in await asked_in_vain(backend, Trouble.unreachable)
    await backend.close()


@pytest.mark.parametrize("text", [f"```json\n{GOOD}\n```", f"<think>{{hm}}</think>\n{GOOD}", f"Here it is: {GOOD}"])
async def test_an_answer_may_be_wrapped(backend: ChatBackend, server: SimulatedChatServer, text: str) -> None:
    server.behaviour = Behaviour(text)
    assert await write(backend) == DRAFT


WRONG = {
    "a wrong key": (Behaviour(status=401), Trouble.wrong_key, "does not take the key"),
    "a key without rights": (Behaviour(status=403), Trouble.wrong_key, "not allowed"),
    "a wrong model": (Behaviour(status=404), Trouble.wrong_model, "There is no model 'qwen'"),
    "too many requests": (Behaviour(status=429), Trouble.overloaded, "answered 429"),
    "a broken server": (Behaviour(status=500), Trouble.overloaded, "answered 500"),
    "a request that it refuses": (Behaviour(status=400), Trouble.refused, "As told"),
    "an answer that is too long": (Behaviour(finish="length"), Trouble.truncated, "did not end its answer"),
    "a stream that ends too early": (Behaviour(cut_off=True), Trouble.truncated, "before it was whole"),
    "words without end": (Behaviour(flood=True), Trouble.truncated, "does not end its answer"),
    "a connection that breaks": (Behaviour(broken_off=True), Trouble.unreachable, "cannot be reached"),
    "an error in the stream": (
        Behaviour(raw='data: {"error": {"message": "The engine died.", "code": 500}}\n\n'),
        Trouble.overloaded,
        "broke over the request: The engine died.",
    ),
    "no words": (Behaviour(""), Trouble.empty, "is empty"),
    "an empty prompt": (Behaviour('{"added": "", "prompt": " "}'), Trouble.empty, "empty prompt"),
    "no JSON": (Behaviour("It rains on a dog."), Trouble.malformed, "answer is wrong"),
    "another object": (Behaviour('{"prompt": 3}'), Trouble.malformed, "answer is wrong"),
    "a prompt that is too long": (
        Behaviour(json.dumps({"added": "", "prompt": "x" * 5000})),
        Trouble.malformed,
        "prompt",
    ),
    "a page": (Behaviour(raw="<html>hello</html>"), Trouble.truncated, "before it was whole"),
    "an event without choices": (Behaviour(raw='data: {"choices": null}\n\n'), Trouble.malformed, "is no answer"),
    "an event without words": (
        Behaviour(raw='data: {"choices": [{"delta": null}]}\n\n'),
        Trouble.malformed,
        "is no answer",
    ),
    "an event that is a number": (Behaviour(raw="data: 3\n\n"), Trouble.malformed, "is no answer"),
    "rubbish in the stream": (Behaviour(raw="data: {]\n\n"), Trouble.malformed, "is no answer"),
}


@pytest.mark.parametrize(("behaviour", "trouble", "says"), WRONG.values(), ids=WRONG)
async def test_what_goes_wrong_is_named_in_warnings_and_attempts_and_the_rules_answer(
    backend: ChatBackend, server: SimulatedChatServer, behaviour: Behaviour, trouble: Trouble, says: str
) -> None:
    server.behaviour = behaviour
    warning = await asked_in_vain(backend, trouble)
    assert says in warning


async def asked_in_vain(backend: ChatBackend, trouble: Trouble, deadline: float = 30) -> str:
    """What the receipt says of it."""
    told: list[Attempt] = []
    expansion = await PromptAgent(PlainForm(), [backend], deadline=deadline, observe=told.append).expand(
        "a dog", "rain"
    )
    assert expansion.source == "rules"
    tries = 2 if trouble.chance else 1
    assert outcomes(told) == [*[("llm", trouble)] * tries, ("rules", "accepted")]
    (warning,) = expansion.warnings
    assert "\n" not in warning
    return warning


async def test_a_server_that_is_not_there_is_named() -> None:
    backend = ChatBackend(PlainForm(), always(ChatServer("http://127.0.0.1:9/v1", "qwen")))
    assert "http://127.0.0.1:9/v1 cannot be reached" in await asked_in_vain(backend, Trouble.unreachable)
    await backend.close()


async def test_a_server_that_takes_no_connection_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
        port = deaf.getsockname()[1]
        with contextlib.ExitStack() as waiting:
            for _ in range(4):  # the kernel keeps a few, and drops who comes after
                knocking = waiting.enter_context(socket.socket())
                knocking.setblocking(False)
                knocking.connect_ex(("127.0.0.1", port))
            backend = ChatBackend(PlainForm(), always(ChatServer(f"http://127.0.0.1:{port}/v1", "qwen")))
            assert "cannot be reached: ConnectTimeout" in await asked_in_vain(backend, Trouble.unreachable)
            await backend.close()


async def test_a_server_that_never_answers_is_given_up_at_the_deadline(
    backend: ChatBackend, server: SimulatedChatServer
) -> None:
    server.behaviour = Behaviour(silent=True)
    assert "did not answer within 0.5 s" in await asked_in_vain(backend, Trouble.timeout, deadline=0.5)


async def test_an_answer_without_end_is_given_up_at_the_deadline(
    backend: ChatBackend, server: SimulatedChatServer
) -> None:
    server.behaviour = Behaviour('{"added": "rain", "prompt": "A wet dog', endless=True)
    heard: list[str] = []
    agent = PromptAgent(PlainForm(), [backend], deadline=0.5)
    expansion = await agent.expand("a dog", "make it rain", heard=heard.append)
    assert (expansion.source, expansion.warnings) == ("rules", ("The language model did not answer within 0.5 s.",))
    assert heard[-1].startswith("A wet")
    async with asyncio.timeout(10):
        await server.left.wait()
