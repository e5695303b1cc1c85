"""The description of the API: complete, true, and as committed. What the other tests are answered is in it, too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from deployments.api.document import FILE, SESSION, document, operations, text
from deployments.api.examples import EXAMPLES

DOCUMENT = document()
OPERATIONS = {f"{method} {path}": operation for path, method, operation in operations(DOCUMENT)}


def test_it_is_the_committed_one() -> None:
    assert FILE.read_text() == text(), (
        "the API is another one: if that is meant, run `make openapi` and commit the file"
    )


async def test_it_is_served(http: httpx.AsyncClient) -> None:
    assert (await http.get("/openapi.json")).json() == DOCUMENT


def test_every_operation_has_a_name_of_its_own_and_says_what_it_does() -> None:
    names = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(set(names)) == len(names)
    for operation in OPERATIONS.values():
        assert operation["description"]
        assert {tag["name"] for tag in DOCUMENT["tags"]} >= set(operation["tags"])


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_names_its_errors(name: str) -> None:
    operation = OPERATIONS[name]
    method, path = name.split()
    codes = set(_codes(operation))
    if path.startswith(SESSION) and not path.endswith("/ws"):
        assert {"no-such-session", "store-unavailable"} <= codes
    if method == "post":
        keys = {"bad-idempotency-key", "in-progress", "idempotency-key-reused"}
        assert keys | {"not-json", "body-too-large", "slow-body"} <= codes
        assert "Idempotency-Key" in {parameter["name"] for parameter in operation["parameters"]}
        assert "Idempotent-Replayed" in operation["responses"]["200"]["headers"]
    if "requestBody" in operation:
        assert {"invalid-request", "bad-json"} <= codes
    schemes = {name for scheme in operation.get("security", ()) for name in scheme}
    assert ({"not-authorized", "not-yours"} <= codes) == ("control_token" in schemes)
    assert ({"not-authorized", "not-operator"} <= codes) == ("operator_token" in schemes)
    for status, response in operation["responses"].items():
        assert response["description"]
        if status >= "400":
            assert list(response["content"]) == ["application/problem+json"]
            examples = response["content"]["application/problem+json"]["examples"]
            assert {int(status)} == {example["value"]["status"] for example in examples.values()}


def test_everything_that_steers_wants_the_token_and_nothing_else_does() -> None:
    steering = {name for name, operation in OPERATIONS.items() if "security" in operation}
    operating = {"get /v1/replicas", "post /v1/drains", "delete /v1/drains"}
    assert (
        operating
        | {
            f"post {SESSION}/prompts",
            f"delete {SESSION}/prompts/{{prompt_id}}",
            f"post {SESSION}/pause",
            f"post {SESSION}/resume",
            f"post {SESSION}/rewind",
            f"delete {SESSION}",
        }
        == steering
    )


def test_every_field_is_described() -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        for field, said in schema.get("properties", {}).items():
            assert said.get("description") or "const" in said, f"{name}.{field}: describe it there or in the glossary"


def test_every_parameter_is_described() -> None:
    for name, operation in OPERATIONS.items():
        for parameter in operation.get("parameters", []):
            assert parameter.get("description"), f"{name}: {parameter['name']}"


def test_every_answer_and_every_message_has_an_example() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    answers = {
        content["schema"]["$ref"].rpartition("/")[2]
        for operation in OPERATIONS.values()
        for status, response in operation["responses"].items()
        for kind, content in response.get("content", {}).items()
        if status < "400" and kind == "application/json"
    }
    sent = {
        part["$ref"].rpartition("/")[2]
        for union in ("ClientMessage", "ServerMessage")
        for part in schemas[union]["oneOf"]
    }
    assert len(answers) > 10
    assert len(sent) > 10
    assert {name for name in answers | sent if not schemas[name].get("examples")} == set()


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_what_the_service_may_say(name: str) -> None:
    [shown] = DOCUMENT["components"]["schemas"][name]["examples"]
    assert type(EXAMPLES[name]).model_validate_json(json.dumps(shown)) == EXAMPLES[name]
    said = DOCUMENT["components"]["schemas"][name]["properties"]
    assert set(shown) == set(said), "every field of it, and no other"


def test_every_reference_leads_somewhere() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    references = {value for key, value in _walk(DOCUMENT) if key == "$ref"}
    assert references
    assert {reference.rpartition("/")[2] for reference in references} <= set(schemas)
    assert {"Problem", "ClientMessage", "ServerMessage"} <= set(schemas)


def _codes(operation: dict[str, Any]) -> Iterator[str]:
    for response in operation["responses"].values():
        for content in response.get("content", {}).values():
            yield from content.get("examples", {})


def _walk(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key, inner
            yield from _walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _walk(inner)
