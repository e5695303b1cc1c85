"""A language model behind any URL that speaks the OpenAI chat API: vLLM, or another."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import openai
from openai import AsyncOpenAI
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from prompt_agent.backends import BackendError, Heard, Trouble
from prompt_agent.backends.dialect import Dialect
from prompt_agent.expansion import Ask, Draft
from prompt_agent.form import Form

CONNECT_SECONDS = 1.0
READ_SECONDS = 30.0
"""Longer than any deadline: who asks ends a call that takes too long."""
MAX_TOKENS = 600
MAX_LETTERS = 8000
"""What is longer has no end, whatever the server makes of MAX_TOKENS."""
TEMPERATURE = 0.3
_NO_KEY = "none"  # servers without keys take any
_NOWHERE = "http://127.0.0.1:9/v1"  # each call says where it goes
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, slots=True)
class ChatServer:
    """`url`: of the API, with its `/v1`. `model`: as the server names it. `direct`: it is ours, so that a proxy which
    the environment names is not for it, wherever it is."""

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    direct: bool = False


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    added: str = Field(max_length=400)
    prompt: str = Field(max_length=4000)


class ChatBackend:
    """Asks a model for an object of `added` and `prompt`, and reads it while it comes."""

    name = "llm"

    def __init__(
        self,
        form: Form,
        find: Callable[[], Awaitable[ChatServer]],
        dialect: Dialect = Dialect.vllm,
    ) -> None:
        """`find`: the server to ask now, or a BackendError where there is none. `form`: how prompts are written."""
        self._form = form
        self._find = find
        self._dialect = dialect
        self._clients = {direct: _client(direct) for direct in (True, False)}

    async def write(self, ask: Ask, heard: Heard) -> Draft:
        """What the model makes of the ask, not yet judged. Raises BackendError."""
        server = await self._find()
        url, model = server.url, server.model
        try:
            return _draft(await self._say(server, ask, heard))
        except openai.AuthenticationError:
            message = f"The language model at {url} does not take the key: set the one that it was started with."
            raise BackendError(Trouble.wrong_key, message) from None
        except openai.PermissionDeniedError:
            message = f"The key is not allowed to use {model!r} at {url}: use another key or model."
            raise BackendError(Trouble.wrong_key, message) from None
        except openai.NotFoundError:
            message = f"There is no model {model!r} at {url}: `GET {url}/models` lists those there are."
            raise BackendError(Trouble.wrong_model, message) from None
        except (openai.RateLimitError, openai.InternalServerError) as error:
            message = f"The language model at {url} is too busy or broken: it answered {error.status_code}."
            raise BackendError(Trouble.overloaded, message) from None
        except openai.APIStatusError as error:
            said = str(error.message)[:200]
            message = f"The language model at {url} refuses the request with {error.status_code}: {said}"
            raise BackendError(Trouble.refused, message) from None
        except openai.APIConnectionError as error:
            message = f"The language model at {url} cannot be reached: {_why(error)}."
            raise BackendError(Trouble.unreachable, message) from None
        except openai.APIError as error:  # told in the stream, after an answer of 200
            message = f"The language model at {url} broke over the request: {str(error.message)[:200]}"
            raise BackendError(Trouble.overloaded, message) from None
        except (ValueError, TypeError, AttributeError) as error:  # what says it is an event, and is none
            raise BackendError(Trouble.malformed, f"What came from {url} is no answer: {error}.") from None

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()

    async def _say(self, server: ChatServer, ask: Ask, heard: Heard) -> str:
        client = self._clients[server.direct].with_options(base_url=server.url, api_key=server.key or _NO_KEY)
        stream = await client.chat.completions.create(
            model=server.model,
            messages=[
                {"role": "system", "content": self._form.instructions()},
                {"role": "user", "content": _question(ask)},
            ],
            max_tokens=MAX_TOKENS,
            temperature=TEMPERATURE,
            stream=True,
            extra_body=self._extra(),
        )
        text, finish = "", None
        async with stream:
            async for event in stream:
                for choice in event.choices[:1]:
                    text += choice.delta.content or ""
                    finish = choice.finish_reason or finish
                if len(text) > MAX_LETTERS:
                    raise BackendError(Trouble.truncated, f"{server.model!r} does not end its answer.")
                if said := _said(text):
                    heard(said)
        if finish is None:
            raise BackendError(Trouble.truncated, f"The answer of {server.model!r} ended before it was whole.")
        if finish != "stop":
            raise BackendError(Trouble.truncated, f"{server.model!r} did not end its answer ({finish}).")
        return text

    def _extra(self) -> dict[str, Any]:
        if self._dialect is Dialect.none:
            return {}
        # Models that think aloud first, as Qwen3 does, would be past every deadline before their first word.
        quick = {"chat_template_kwargs": {"enable_thinking": False}}
        return {"structured_outputs": {"regex": self._form.pattern()}} | quick


def _client(direct: bool) -> AsyncOpenAI:
    """Goes past the proxies that the environment names where it is `direct`, and else only to this machine."""
    timeout = openai.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
    here = {f"all://{host}": None for host in _LOOPBACK}
    http = openai.DefaultAsyncHttpxClient(timeout=timeout, trust_env=not direct, mounts=here)
    return AsyncOpenAI(api_key=_NO_KEY, base_url=_NOWHERE, max_retries=0, timeout=timeout, http_client=http)


def _why(error: openai.APIConnectionError) -> str:
    cause = error.__cause__ or error
    return str(cause) or type(cause).__name__  # a timeout has no words


def _question(ask: Ask) -> str:
    """The ask as data: JSON, so that nothing in it can end it."""
    return json.dumps(
        {"scene": ask.scene, "request": ask.request, "history": ask.history, "cut": ask.cut},
        ensure_ascii=False,
    )


def _answer_in(text: str) -> str:
    """The object in an answer that may have thoughts before it, or a fence around it."""
    text = text.rpartition("</think>")[2]
    return text[max(0, text.find("{")) :].strip().removesuffix("```").rstrip()


def _said(text: str) -> str:
    """The prompt as far as it has come."""
    if '"prompt"' not in text:
        return ""
    try:
        answer = from_json(_answer_in(text), allow_partial="trailing-strings")
    except ValueError:
        return ""
    prompt = answer.get("prompt") if isinstance(answer, dict) else None
    return prompt if isinstance(prompt, str) else ""


def _draft(text: str) -> Draft:
    if not text.strip():
        raise BackendError(Trouble.empty, "The language model's answer is empty.")
    try:
        answer = _Answer.model_validate_json(_answer_in(text))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the answer"
        raise BackendError(
            Trouble.malformed, f"The language model's answer is wrong at {where}: {first['msg']}."
        ) from None
    if not answer.prompt.strip():
        raise BackendError(Trouble.empty, "The language model's answer has an empty prompt.")
    return Draft(" ".join(answer.prompt.split()), " ".join(answer.added.split()))


def always(server: ChatServer) -> Callable[[], Awaitable[ChatServer]]:
    """`find` for a server that stays where it is."""

    async def find() -> ChatServer:
        return server

    return find
