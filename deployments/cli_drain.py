"""`longlive replicas` and `longlive drain`: which generators run, and those that shall hand over what they have."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deployments.cli_input import WrongInput
from deployments.cli_session_calls import URL, JsonOption, UrlOption, service

if TYPE_CHECKING:
    from rich.table import Table

    from deployments.api.operation import Drain, ReplicaList
    from deployments.client import Client
    from deployments.replicas import Replica

TOKEN = "LONGLIVE_OPERATOR_TOKEN"
POLL_SECONDS = 0.5
GONE_SECONDS = 5.0
SHOWN = 12  # of a node's id, which has 56

DataDirOption = Annotated[Path, typer.Option(help=f"The service's data directory, for its token; else {TOKEN}.")]


def replicas(data_dir: DataDirOption = Path("var"), url: UrlOption = URL, as_json: JsonOption = False) -> None:
    """The generators that run: where, with how many sessions, and how many more they would take."""
    with service(url) as client:
        listed = _ask(client, data_dir, "GET", "/v1/replicas")
    if as_json:
        print(json.dumps(listed.model_dump(mode="json"), indent=2))
        return
    from rich.console import Console

    Console().print(_table(listed) if listed.data else "No generator runs.")


def drain(
    name: Annotated[str, typer.Argument(metavar="REPLICA|NODE", help="As 'longlive replicas' tells it, or its start.")],
    undo: Annotated[bool, typer.Option("--undo", help="Have it take sessions again.")] = False,
    wait: Annotated[bool, typer.Option(help="Until every session has moved.")] = True,
    data_dir: DataDirOption = Path("var"),
    url: UrlOption = URL,
    as_json: JsonOption = False,
) -> None:
    """Empty a generator, or all of a node: they take nothing more, and their sessions move while people watch.

    Nothing is stopped. It lasts until '--undo', for a node also for generators that start there later.
    """
    with service(url) as client:
        listed = _ask(client, data_dir, "GET", "/v1/replicas")
        what = named(name, listed)
        if undo:
            _ask(client, data_dir, "DELETE", "/v1/drains", params=what.model_dump(exclude_none=True))
        else:
            _ask(client, data_dir, "POST", "/v1/drains", json=what.model_dump(exclude_none=True))
            if wait:
                _await_empty(client, data_dir, what)
        listed = _ask(client, data_dir, "GET", "/v1/replicas")
    if as_json:
        print(json.dumps(listed.model_dump(mode="json"), indent=2))
        return
    told = f"replica {what.replica}" if what.replica else f"node {what.node}"
    left = sum(each.sessions for each in concerned(what, listed))
    state = "takes sessions again" if undo else "takes no more sessions" + ("" if left else " and has none left")
    print(f"{told} {state}")


def named(name: str, listed: ReplicaList) -> Drain:
    """What `name` means: the id of a replica or a node, its address, or the beginning of one. Raises WrongInput."""
    from deployments.api.operation import Drain

    nodes = {each.node for each in listed.data} | set(listed.drained_nodes)
    found = {Drain(replica=each.id) for each in listed.data if each.id.startswith(name)}
    found |= {Drain(node=node) for node in nodes if node.startswith(name)}
    found |= {Drain(node=each.node) for each in listed.data if each.host == name}
    exact = {what for what in found if name in (what.replica, what.node)}
    match list(exact or found):
        case [what] if name:
            return what
        case []:
            raise WrongInput(f"there is no generator and no node '{name}'; 'longlive replicas' lists them")
    raise WrongInput(f"'{name}' can mean {len(found)} generators or nodes; write more of its id")


def concerned(what: Drain, listed: ReplicaList) -> list[Replica]:
    return [each for each in listed.data if what.replica == each.id or what.node == each.node]


def _await_empty(client: Client, data_dir: Path, what: Drain) -> None:
    from rich.console import Console

    seen = time.monotonic()
    with Console(stderr=True).status("draining") as status:
        while True:
            listed = _ask(client, data_dir, "GET", "/v1/replicas")
            left = concerned(what, listed)
            sessions = sum(each.sessions for each in left)
            seen = time.monotonic() if left else seen
            # One that has gone is not listed; nor, for a moment, is any after the loss of what they had said.
            if time.monotonic() - seen >= GONE_SECONDS or (
                left and not sessions and all(each.draining for each in left)
            ):
                return
            room = sum(each.more for each in listed.data)
            hint = "" if room or not sessions else "; no other generator has room, they wait for it"
            status.update(f"draining: {sessions} sessions left{hint}")
            time.sleep(POLL_SECONDS)


def _ask(client: Client, data_dir: Path, method: str, path: str, **rest: Any) -> ReplicaList:
    """What the service answers; an empty list where it answers nothing. Raises ServiceError, WrongInput."""
    import httpx

    from deployments.api.operation import ReplicaList
    from deployments.client_errors import ApiError, Unreachable

    headers = {"Authorization": f"Bearer {_token(data_dir)}"}
    try:
        answer = client.http.request(method, path, headers=headers, **rest)
    except httpx.TransportError as error:
        raise Unreachable(str(client.http.base_url), error) from error
    if answer.is_error:
        raise ApiError.of(answer, answer.content)
    return ReplicaList.model_validate_json(answer.content) if answer.content else ReplicaList(data=[], drained_nodes=[])


def _token(data_dir: Path) -> str:
    from deployments.operator_token import kept_token

    if given := os.environ.get(TOKEN):
        return given
    try:
        return kept_token(data_dir).get_secret_value()
    except OSError as error:
        raise WrongInput(
            f"no operator token in {data_dir}: name the service's --data-dir, or set {TOKEN} ({error.strerror})"
        ) from error


def _table(listed: ReplicaList) -> Table:
    from rich.table import Table

    table = Table("replica", "node", "address", "sessions", "room for", "", box=None, pad_edge=False)
    for each in listed.data:
        state = "stopping" if each.stopping else "draining" if each.draining else "" if each.accepting else "alone"
        row = (each.id, each.node[:SHOWN], each.host, str(each.sessions), str(each.more), state)
        table.add_row(*row)
    if listed.drained_nodes:
        table.caption = f"drained nodes: {', '.join(node[:SHOWN] for node in listed.drained_nodes)}"
    return table
