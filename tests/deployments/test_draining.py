"""Serve's silence: it stops this replica, or its controller is gone; who asks the controller knows which."""

from __future__ import annotations

import asyncio

import pytest

from deployments.draining import GONE, SILENCE_SECONDS, Condition, DrainWatch, condition, state_in


@pytest.mark.parametrize(
    ("silent", "state", "expected"),
    [
        (0.0, None, Condition.serving),
        (SILENCE_SECONDS - 0.1, "STOPPING", Condition.serving),  # nobody has asked yet
        (SILENCE_SECONDS, "RUNNING", Condition.serving),  # a busy controller
        (SILENCE_SECONDS, "RECOVERING", Condition.serving),  # one that has just come back
        (SILENCE_SECONDS, None, Condition.alone),
        (SILENCE_SECONDS, "STOPPING", Condition.stopping),
        (SILENCE_SECONDS, GONE, Condition.stopping),
        (1e6, None, Condition.alone),
    ],
)
def test_what_silence_means_is_the_controllers_to_say(silent: float, state: str | None, expected: Condition) -> None:
    assert condition(silent, state) is expected


class Controller:
    """Says `state`; nothing where it is None; raises where it is an error."""

    def __init__(self) -> None:
        self.state: str | Exception | None = "RUNNING"
        self.asked = 0
        self.now = 100.0
        self.watch = DrainWatch(self.ask, lambda: self.now)

    async def ask(self) -> str:
        self.asked += 1
        if self.state is None:
            await asyncio.Event().wait()
        if isinstance(self.state, Exception):
            raise self.state
        assert isinstance(self.state, str)
        return self.state

    async def after(self, seconds: float) -> Condition:
        self.now += seconds
        return await self.watch.look()


async def test_nobody_is_asked_while_serve_asks() -> None:
    controller = Controller()
    for _ in range(10):
        assert await controller.after(1.0) is Condition.serving
        controller.watch.beat()
    assert not controller.asked


async def test_a_controller_that_is_busy_is_asked_again_only_after_as_long_a_silence() -> None:
    controller = Controller()
    assert await controller.after(SILENCE_SECONDS) is Condition.serving
    assert await controller.after(SILENCE_SECONDS / 2) is Condition.serving
    assert controller.asked == 1
    assert await controller.after(SILENCE_SECONDS / 2) is Condition.serving
    assert controller.asked == 2


async def test_a_replica_that_is_stopped_is_so_for_good() -> None:
    controller = Controller()
    controller.state = "STOPPING"
    assert await controller.after(SILENCE_SECONDS) is Condition.stopping
    controller.state = "RUNNING"
    controller.watch.beat()
    assert await controller.after(SILENCE_SECONDS) is Condition.stopping


@pytest.mark.parametrize("away", [None, RuntimeError("died")], ids=["silent", "dead"])
async def test_a_replica_whose_controller_is_away_serves_again_when_it_is_back(
    away: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployments.draining.ASK_SECONDS", 0.05)
    controller = Controller()
    controller.state = away
    assert await controller.after(SILENCE_SECONDS) is Condition.alone
    assert await controller.after(30.0) is Condition.alone
    monkeypatch.undo()
    controller.state = "RECOVERING"
    assert await controller.after(1.0) is Condition.serving


async def test_a_replica_that_lost_its_controller_and_hears_of_serve_again_serves() -> None:
    controller = Controller()
    controller.state = RuntimeError("died")
    assert await controller.after(SILENCE_SECONDS) is Condition.alone
    controller.watch.beat()
    assert await controller.after(0.5) is Condition.serving


def test_a_replica_is_found_in_what_serve_tells_of_all() -> None:
    replicas = [{"replica_id": "a", "state": "RUNNING"}, {"replica_id": "b", "state": "STOPPING"}]
    details = {"applications": {"longlive": {"deployments": {"Generator": {"replicas": replicas}}}}}
    assert state_in(details, "longlive", "Generator", "b") == "STOPPING"
    for names in (("longlive", "Generator", "c"), ("longlive", "Ingress", "a"), ("other", "Generator", "a")):
        assert state_in(details, *names) == GONE
