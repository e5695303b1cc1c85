"""The replicas that make videos: which there are, and those that shall hand over what they have."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Self

from fastapi import APIRouter, Depends, Query, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import Field, model_validator

from deployments.api.problems import problems
from deployments.api.services import Services
from deployments.entries import Data
from deployments.operator_token import OperatorTokenMissing, OperatorTokenWrong, require_operator
from deployments.replicas import NoSuchReplica, Replica

_BEARER = HTTPBearer(
    auto_error=False,
    scheme_name="operator_token",
    description="The setting LONGLIVE_OPERATOR_TOKEN, or else what is in the file `operator-token` of the service's "
    "data directory.",
)
_TOKEN = (OperatorTokenMissing, OperatorTokenWrong)


class ReplicaList(Data):
    """The replicas that make videos, oldest first."""

    data: list[Replica] = Field(description="Those that said how they are within the last seconds.")
    drained_nodes: list[str] = Field(description="Nodes on which every replica is drained, whenever it starts.")


class Drain(Data):
    """What shall be drained: one replica, or all of a node."""

    replica: str | None = Field(None, description="The `id` of a replica.")
    node: str | None = Field(None, description="The `node` of replicas.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.replica is None) == (self.node is None):
            raise ValueError("name either a replica or a node")
        return self


def routes(services: Services) -> APIRouter:
    """The routes for operators."""

    def operator(credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)]) -> None:
        require_operator(credentials.credentials if credentials else None, services.operator_token)

    api = APIRouter(prefix="/v1", tags=["operation"], dependencies=[Depends(operator)])
    replicas = services.replicas

    async def listed() -> ReplicaList:
        return ReplicaList(data=await replicas.alive(), drained_nodes=sorted(await replicas.drained_nodes()))

    @api.get("/replicas", responses=problems(*_TOKEN))
    async def list_replicas() -> ReplicaList:
        """The generator replicas: where each runs, what it holds, whether it takes more."""
        return await listed()

    @api.post("/drains", status_code=HTTPStatus.ACCEPTED, responses=problems(*_TOKEN, NoSuchReplica))
    async def drain(what: Drain) -> ReplicaList:
        """Have a replica, or all of a node, take no more sessions and hand over those they have: viewers see at most a
        short pause. Nothing is stopped. Done when their `sessions` are 0; kept until it is taken back, for a node also
        for replicas that start there later. Repeatable."""
        if what.replica is not None:
            await replicas.drain_replica(what.replica)
        elif what.node is not None:
            await replicas.drain_node(what.node)
        return await listed()

    @api.delete("/drains", status_code=HTTPStatus.NO_CONTENT, responses=problems(*_TOKEN, NoSuchReplica))
    async def undrain(what: Annotated[Drain, Query()]) -> None:
        """Have a replica, or all of a node, take sessions again. Repeatable."""
        if what.replica is not None:
            await replicas.undrain_replica(what.replica)
        elif what.node is not None:
            await replicas.undrain_node(what.node)

    return api
