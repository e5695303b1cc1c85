"""Whether Serve is stopping this replica. It does not say so: it only stops asking how the replica is.

A controller that has died is as silent. So who hears nothing asks it: one that answers also says what it is up to.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from typing import Any

HEALTH_CHECK_SECONDS = 2.0
"""The deployment's `health_check_period_s`, where a `DrainWatch` is in use."""

SILENCE_SECONDS = 2.5 * HEALTH_CHECK_SECONDS
ASK_SECONDS = 5.0  # a controller on a busy machine is slow, and one that has died is back after about so long
STOPPING = "STOPPING"
GONE = "GONE"
_STAYS = ("STARTING", "UPDATING", "RECOVERING", "RUNNING")

log = logging.getLogger(__name__)

AskController = Callable[[], Awaitable[str]]
"""The state that Serve's controller has this replica in, GONE where it knows none; raises where it does not answer."""


class Condition(StrEnum):
    """`serving`. `alone`: the controller is away; it comes back. `stopping`: for sure, and never taken back."""

    serving = "serving"
    alone = "alone"
    stopping = "stopping"


def condition(silent_seconds: float, state: str | None) -> Condition:
    """What it means that Serve has not asked for so long, and that its controller said `state` since (None: nothing).

    A controller that has just come back, or is busy, has the replica as one that stays.
    """
    if silent_seconds < SILENCE_SECONDS or state in _STAYS:
        return Condition.serving
    return Condition.alone if state is None else Condition.stopping


class DrainWatch:
    """Call `beat` from the deployment's `check_health`, and `look` about once a second."""

    def __init__(self, ask: AskController, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._clock = clock
        self._heard = clock()
        self._condition = Condition.serving

    @property
    def condition(self) -> Condition:
        return self._condition

    def beat(self) -> None:
        self._heard = self._clock()

    async def look(self) -> Condition:
        """What it is now. Asks the controller where Serve is silent, and waits ASK_SECONDS for it at most."""
        before = self._condition
        if before is not Condition.stopping:
            silent = self._clock() - self._heard
            state = None if silent < SILENCE_SECONDS else await self._asked()
            self._condition = condition(self._clock() - self._heard if state is None else silent, state)
            if state is not None:
                self.beat()  # it has spoken: there is nothing to ask before it has been silent again
            if self._condition is not before:
                log.warning("Serve is silent: %s", self._condition) if before is Condition.serving else log.info(
                    "now %s", self._condition
                )
        return self._condition

    async def _asked(self) -> str | None:
        try:
            async with asyncio.timeout(ASK_SECONDS):
                return await self._ask()
        except Exception as error:
            log.info("no word of Serve's controller: %r", error)
            return None


async def ask_controller() -> str:
    """The state of the replica in which this runs. Raises what Ray raises."""
    import ray
    from ray import serve

    me = serve.get_replica_context().replica_id
    controller = ray.get_actor("SERVE_CONTROLLER_ACTOR", namespace="serve")
    details: Mapping[str, Any] = await controller.get_serve_instance_details.remote()
    return state_in(details, me.deployment_id.app_name, me.deployment_id.name, me.unique_id)


def state_in(details: Mapping[str, Any], app: str, deployment: str, replica: str) -> str:
    """The state of a replica in what Serve tells of all of them (its schema `ServeInstanceDetails`)."""
    found = details["applications"].get(app, {}).get("deployments", {}).get(deployment, {}).get("replicas", ())
    states = (str(getattr(each["state"], "value", each["state"])) for each in found if each["replica_id"] == replica)
    return next(states, GONE)
