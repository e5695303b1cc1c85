"""What the soak says of a service: which figures grow, and for which keys a day is made to pass."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from soak import plot
from soak_figures import LEAST, SAMPLES, aged, flat, session_of


def points(figure: Callable[[float], float], minutes: int = 60, name: str = "mib.ingress") -> list[dict[str, float]]:
    return [{"minutes": minute, name: figure(minute)} for minute in range(minutes)]


def test_what_grows_in_the_warm_up_alone_is_flat() -> None:
    draw = random.Random(0)
    found = flat(points(lambda minute: 200 + min(minute, 8) * 30 + draw.gauss(0, 2)), warm_minutes=10)["mib.ingress"]
    assert found["flat"]
    assert found["min"] > 400


def test_what_grows_on_and_on_is_not_flat_though_it_goes_up_and_down() -> None:
    draw = random.Random(0)
    assert not flat(points(lambda minute: 400 + minute / 2 + draw.gauss(0, 2)), 10)["mib.ingress"]["flat"]
    assert flat(points(lambda minute: 400 - minute / 2 + draw.gauss(0, 2)), 10)["mib.ingress"]["flat"]


def test_what_grows_to_a_bound_is_flat_and_what_begins_to_grow_is_not() -> None:
    draw = random.Random(0)
    pool = points(lambda minute: 52 + 6 * (minute > 24) + draw.choice((0, 0, 0, 1)), name="files.redis")
    assert flat(pool, 10)["files.redis"]["flat"]
    leak = points(lambda minute: 400 + max(0, minute - 30) + draw.gauss(0, 2))
    assert not flat(leak, 10)["mib.ingress"]["flat"]


def test_what_may_be_noise_is_no_growth() -> None:
    draw = random.Random(3)
    assert flat(points(lambda minute: 100 + 20 * draw.random(), minutes=20), 5)["mib.ingress"]["flat"]


@pytest.mark.parametrize("kind", LEAST)
def test_a_block_or_a_connection_more_is_no_growth_of_a_small_figure(kind: str) -> None:
    name = f"{kind}.x"

    def grows(by: float) -> bool:
        return not flat(points(lambda minute: 3 + by * minute / 60, name=name), 0)[name]["flat"]

    assert not grows(0.9 * LEAST[kind])
    assert grows(1.1 * LEAST[kind])


def test_a_run_that_is_too_short_for_a_trend_says_so() -> None:
    with pytest.raises(ValueError, match="let it run longer"):
        flat(points(lambda minute: 1.0, minutes=SAMPLES + 2), warm_minutes=3)


def test_a_key_says_whose_it_is() -> None:
    assert session_of("{abc}:timeline") == "abc"
    assert session_of("sessions:index") is None


def test_a_day_passes_for_what_goes_by_itself_and_nobody_uses_any_more() -> None:
    day = 24 * 3600
    lives = {
        "{over}:timeline": day,
        "{over}:snapshots": 100,  # it has been done
        "{paused}:timeline": day,  # somebody may go on with it
        "{live}:lease": 3,
        "{live}:timeline": -1,
        "idempotency:k": day,
        "sessions:index": -1,
    }
    assert aged(lives, {"over"}, 120) == ["{over}:timeline", "idempotency:k"]


def test_what_was_looked_at_is_drawn(tmp_path: Path) -> None:
    names = ("mib.ingress", "files.ingress", "redis_keys.sessions", "redis_mib.sessions", "ray.actors")
    looks = [{"minutes": float(minute), **dict.fromkeys(names, 10.0 + minute)} for minute in range(5)]
    plot({"points": looks, "minutes": 5, "happened": {"created": 12}}, tmp_path / "soak.png")
    assert (tmp_path / "soak.png").stat().st_size > 10_000
