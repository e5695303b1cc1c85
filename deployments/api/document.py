"""The API's description, complete: what FastAPI finds, with every problem, key and WebSocket message, and examples.

`python -m deployments.api.document` writes it to docs/openapi.json.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, nullcontext
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from redis.exceptions import RedisError

from deployments.api.body import BODY_TOO_LARGE, NOT_JSON, SLOW_BODY
from deployments.api.errors import BAD_JSON, MEDIA_TYPE, explain, make_problem
from deployments.api.examples import EXAMPLES, example_of
from deployments.api.glossary import GLOSSARY, PARAMETERS, TAGS
from deployments.api.idempotency import BAD_KEY, HEADER, REPLAYED
from deployments.api.messages import CLIENT_MESSAGE, SERVER_MESSAGE
from deployments.api.models import Problem
from deployments.api.problems import SID, response_of
from deployments.api.refusals import Unsuitable
from deployments.idempotency import KeyInUse, KeyReused
from deployments.store import NoSuchSession

FILE = Path(__file__).parents[2] / "docs" / "openapi.json"
SESSION = "/v1/sessions/{sid}"
_REF = "#/components/schemas/{model}"
_INVALID = Unsuitable((("query.limit", "Input should be greater than or equal to 1"),))
_KEY = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "A random UUID: keys are shared by all clients. The same request with the same key "
    f"counts once, for a day: a later one is answered as the first was, with 200 and `{REPLAYED}: true`. "
    "What failed may be tried again.",
    "schema": {"type": "string", "pattern": r"^[\x21-\x7e]{1,255}$"},
}


def operation_id(route: APIRoute) -> str:
    return f"{route.tags[0]}_{route.name}" if route.tags else route.name


def describe(api: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of the whole API."""
    document = get_openapi(
        title=api.title,
        version=api.version,
        summary=api.summary,
        description=api.description,
        routes=api.routes,
        tags=[{"name": name, "description": text} for name, text in TAGS.items()],
    )
    schemas = document["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = Problem.model_json_schema(ref_template=_REF)
    for name, adapter in (("ClientMessage", CLIENT_MESSAGE), ("ServerMessage", SERVER_MESSAGE)):
        schema = adapter.json_schema(
            ref_template=_REF, mode="serialization" if name == "ServerMessage" else "validation"
        )
        for part, definition in schema.pop("$defs").items():
            schemas.setdefault(part, definition)
        schemas[name] = schema
    for model in EXAMPLES:
        schemas[model]["examples"] = [example_of(model)]
    for schema in schemas.values():
        for name, field in schema.get("properties", {}).items():
            if "description" not in field and "const" not in field and name in GLOSSARY:
                field["description"] = GLOSSARY[name]
    for path, method, operation in operations(document):
        _complete(path, method, operation)
    for unused in _unused(document):  # pydantic defines what fields that are left out would need
        del schemas[unused]
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    return document


def _unused(document: dict[str, Any]) -> set[str]:
    """Schemas that nothing leads to."""
    schemas = document["components"]["schemas"]
    roots = {name: value for name, value in document.items() if name != "components"}
    seen: set[str] = {"Problem", "ClientMessage", "ServerMessage"}
    news = seen | _references(roots)
    while news:
        seen |= news
        news = {name for each in news for name in _references(schemas[each])} - seen
    return set(schemas) - seen


def _references(value: Any) -> set[str]:
    return set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(value)))


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    if "HTTPValidationError" in json.dumps(responses.get("422", {})):
        del responses["422"]
    if _may_be_invalid(operation):
        _add(responses, explain(_INVALID)[0])
    if method == "post":
        success = next(answer for status, answer in responses.items() if status.startswith("2"))
        operation.setdefault("parameters", []).append(_KEY)
        replayed = {REPLAYED: {"description": "The answer to an earlier request.", "schema": {"type": "string"}}}
        answer = responses.setdefault("200", {"description": "As the first request with this key was answered."})
        answer.setdefault("content", success["content"])
        answer["headers"] = answer.get("headers", {}) | success.get("headers", {}) | replayed
        if "requestBody" in operation:
            _add(responses, make_problem(*BAD_JSON))
        for said in (BAD_KEY, BODY_TOO_LARGE, NOT_JSON, SLOW_BODY):
            _add(responses, make_problem(*said))
        for error in (KeyInUse(), KeyReused()):
            _add(responses, explain(error)[0])
    for parameter in operation.get("parameters", []):
        parameter.setdefault("description", PARAMETERS.get(parameter["name"], ""))
    if path.startswith(SESSION) and not path.endswith("/ws"):
        _add(responses, explain(NoSuchSession(SID))[0])
    if path.startswith("/v1/") and path != "/v1/model":
        _add(responses, explain(RedisError())[0])
    operation["responses"] = dict(sorted(responses.items()))


def _may_be_invalid(operation: dict[str, Any]) -> bool:
    """Whether something is parsed: any text will do for an id."""
    return "requestBody" in operation or any(
        parameter["in"] == "query" or parameter["schema"].get("type") != "string"
        for parameter in operation.get("parameters", [])
        if parameter["in"] != "header"
    )


def _add(responses: dict[str, Any], said: Problem) -> None:
    answer = responses.setdefault(str(int(said.status)), response_of(said.status))
    content = answer.setdefault("content", {}).setdefault(MEDIA_TYPE, response_of(said.status)["content"][MEDIA_TYPE])
    content["examples"][said.code] = {"summary": said.code, "value": said.model_dump(exclude_none=True)}


class _Nothing:
    """Services of which only the names matter: nothing is called."""

    def __getattr__(self, name: str) -> None:
        return None


def document() -> dict[str, Any]:
    """The document of the API as this code has it."""
    from deployments.api.build import build_api

    def lifespan(_: FastAPI) -> AbstractAsyncContextManager[None]:
        return nullcontext()

    return build_api(cast("Any", _Nothing()), lifespan).openapi()


def text() -> str:
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
    print(f"{FILE}: {HTTPStatus.OK.phrase}")
