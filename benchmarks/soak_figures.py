"""What a service keeps while sessions come and go: looked at again and again, and whether it grows."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from trend import trend

TOLERANCE = 0.02
"""Of a figure's mean, an hour: what grows no faster is flat."""

LEAST = {"mib": 4.0, "files": 2.0, "redis_keys": 10.0, "redis_mib": 1.0, "ray": 1.0}
"""Growth of an hour that is no growth, whatever the mean: one block of an allocator, one connection of a pool."""

SAMPLES = 6
"""So few say nothing of a trend."""

_SESSION = re.compile(r"\{([^}]+)\}")


def session_of(key: str) -> str | None:
    """Whose key in Redis it is, by its hash tag."""
    found = _SESSION.match(key)
    return found[1] if found else None


def aged(ttl_by_key: Mapping[str, int], over: Collection[str], kept_seconds: int) -> list[str]:
    """Keys for which a day shall pass now: they go by themselves, much later, and nobody uses them any more.

    Those of sessions in `over`, and those of no session that would be kept for longer than `kept_seconds`.
    """
    return [
        key
        for key, ttl in ttl_by_key.items()
        if ttl > kept_seconds and ((sid := session_of(key)) is None or sid in over)
    ]


def flat(points: Sequence[Mapping[str, float]], warm_minutes: float) -> dict[str, dict[str, Any]]:
    """Each figure's trend after the warm-up, and whether it is flat: it does not surely grow faster than the tolerance,
    or does not in the second half of that time any more. A pool has as many connections as were ever used at once.

    A point has `minutes` and figures by names such as `mib.ingress`; the part before the dot says what it is.
    """
    late = [point for point in points if point["minutes"] >= warm_minutes]
    if len(late) < SAMPLES:
        raise ValueError(f"{len(late)} looks after {warm_minutes:g} minutes say nothing of a trend: let it run longer")
    hours = [point["minutes"] / 60 for point in late]
    found = {}
    for name in (name for name in late[0] if name != "minutes"):
        values = [point[name] for point in late]
        figures: dict[str, Any] = trend(hours, values)
        most = max(TOLERANCE * sum(values) / len(values), LEAST[name.partition(".")[0]])
        half = len(values) // 2
        later: Any = trend(hours[half:], values[half:])["slope_per_hour_95"]
        figures |= {"second_half_per_hour_95": later, "most_per_hour": round(most, 3)}
        found[name] = figures | {"flat": min(figures["slope_per_hour_95"][0], later[0]) <= most}
    return found
