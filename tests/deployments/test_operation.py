"""Who operates the service sees its replicas and drains them, with the operator's token and not without."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
import typer.testing
from api_parts import OPERATOR, Parts
from pydantic import SecretStr

from deployments import cli_drain
from deployments.api.operation import Drain, ReplicaList
from deployments.cli_drain import concerned, named
from deployments.cli_input import WrongInput
from deployments.operator_token import OperatorTokenMissing, OperatorTokenWrong, operator_token, require_operator
from deployments.replicas import Replica

HEADERS = {"Authorization": f"Bearer {OPERATOR.get_secret_value()}"}


def replica(name: str, node: str = "n1", host: str = "10.0.0.1", sessions: int = 0) -> Replica:
    return Replica(
        id=name, node=node, host=host, sessions=sessions, more=1, accepting=True, draining=False, stopping=False,
        started_at=0,
    )  # fmt: skip


async def test_replicas_are_listed_and_drained(parts: Parts, http: httpx.AsyncClient) -> None:
    replicas = parts.services().replicas
    for each in (replica("a", "n1"), replica("b", "n2")):
        await replicas.beat(each)
    listed = (await http.get("/v1/replicas", headers=HEADERS)).json()
    assert [each["id"] for each in listed["data"]] == ["a", "b"]
    for _ in range(2):
        answer = await http.post("/v1/drains", json={"replica": "a"}, headers=HEADERS)
        assert answer.status_code == 202
        assert await replicas.beat(replica("a", "n1"))
    assert (await http.post("/v1/drains", json={"node": "n2"}, headers=HEADERS)).json()["drained_nodes"] == ["n2"]
    assert await replicas.beat(replica("late", "n2"))
    for what in ({"replica": "a"}, {"node": "n2"}):
        assert (await http.delete("/v1/drains", params=what, headers=HEADERS)).status_code == 204
    assert not await replicas.beat(replica("a", "n1"))
    assert not await replicas.beat(replica("late", "n2"))


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [({}, 401, "not-authorized"), ({"Authorization": "Bearer guessed"}, 403, "not-operator")],
)
async def test_nobody_else_may(http: httpx.AsyncClient, headers: dict[str, str], status: int, code: str) -> None:
    for answer in (
        await http.get("/v1/replicas", headers=headers),
        await http.post("/v1/drains", json={"replica": "a"}, headers=headers),
        await http.delete("/v1/drains", params={"replica": "a"}, headers=headers),
    ):
        assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_what_is_not_there_or_not_said_is_refused(http: httpx.AsyncClient) -> None:
    for what in ({"replica": "x"}, {"node": "x"}):
        for answer in (
            await http.post("/v1/drains", json=what, headers=HEADERS),
            await http.delete("/v1/drains", params=what, headers=HEADERS),
        ):
            assert (answer.status_code, answer.json()["code"]) == (404, "no-such-replica")
    for wrong in ({}, {"replica": "x", "node": "y"}):
        assert (await http.post("/v1/drains", json=wrong, headers=HEADERS)).status_code == 422
        assert (await http.delete("/v1/drains", params=wrong, headers=HEADERS)).status_code == 422


def test_a_token_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    token = operator_token(tmp_path / "data")
    assert operator_token(tmp_path / "data") == token
    assert (tmp_path / "data" / "operator-token").stat().st_mode & 0o777 == 0o600
    assert operator_token(tmp_path / "other") != token
    require_operator(token.get_secret_value(), token)
    with pytest.raises(OperatorTokenMissing):
        require_operator(None, token)
    with pytest.raises(OperatorTokenWrong):
        require_operator("ü", SecretStr("u"))


LISTED = ReplicaList(
    data=[replica("abc", "n10", "10.0.0.1"), replica("abd", "n11", "10.0.0.1"), replica("x", "n20", "10.0.0.2")],
    drained_nodes=["m1"],
)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("abc", Drain(replica="abc")),
        ("x", Drain(replica="x")),
        ("n2", Drain(node="n20")),
        ("10.0.0.2", Drain(node="n20")),
        ("m", Drain(node="m1")),  # nobody runs there any more, and its drain can be undone
    ],
)
def test_a_name_on_the_command_line_is_a_replica_or_a_node_or_the_start_of_one(name: str, what: Drain) -> None:
    assert named(name, LISTED) == what


@pytest.mark.parametrize(
    ("name", "told"), [("ab", "2 generators"), ("10.0.0.1", "2"), ("zz", "no generator"), ("", "")]
)
def test_a_name_that_is_not_clear_is_told_so(name: str, told: str) -> None:
    with pytest.raises(WrongInput, match=told):
        named(name, LISTED)


def test_who_is_concerned_is_the_replica_or_all_of_its_node() -> None:
    assert [each.id for each in concerned(Drain(replica="abd"), LISTED)] == ["abd"]
    assert [each.id for each in concerned(Drain(node="n10"), LISTED)] == ["abc"]


def test_what_is_not_listed_for_a_moment_has_not_been_drained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    busy, empty = (replica("a", sessions=count).model_copy(update={"draining": True}) for count in (1, 0))
    answers = [[], [replica("a")], [busy], [], [empty]]
    monkeypatch.setattr(cli_drain, "_ask", lambda *_: ReplicaList(data=answers.pop(0), drained_nodes=[]))
    monkeypatch.setattr(cli_drain, "POLL_SECONDS", 0.0)
    cli_drain._await_empty(None, tmp_path, Drain(replica="a"))  # type: ignore[arg-type]
    assert not answers


def test_a_replica_that_has_gone_for_good_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_drain, "_ask", lambda *_: ReplicaList(data=[replica("b", sessions=2)], drained_nodes=[]))
    monkeypatch.setattr(cli_drain, "GONE_SECONDS", 0.0)
    cli_drain._await_empty(None, tmp_path, Drain(replica="a"))  # type: ignore[arg-type]


def test_without_a_token_the_command_says_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from deployments.cli import app

    monkeypatch.delenv("LONGLIVE_OPERATOR_TOKEN", raising=False)
    result = typer.testing.CliRunner().invoke(app, ["replicas", "--data-dir", str(tmp_path)])
    assert isinstance(result.exception, WrongInput)
    assert "operator token" in str(result.exception)
