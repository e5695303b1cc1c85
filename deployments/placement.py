"""Where a call to the generators may go. Serve pickles the router's own module by value, so what is shared is here."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

STEP = 0.05
"""Differences in room that do not count."""

DRAWN = 4
"""Replicas that are compared for a session, where there are more. The fewer, the less they are overrun."""

TRIES = 8
"""Replicas that are asked for one new session. When so many that said they have room have none, no other will."""


class ReplicaGone(Exception):
    """The session's owner is not among the replicas that this process knows: dead, stopping, or another service's."""


class OwnerDied(Exception):
    """The process of the session's owner has died, for sure."""


class NoReplicaLeft(Exception):
    """Every replica refused the new session, or as many as are asked."""


@dataclass(frozen=True)
class Refusal:
    """A replica's answer to a new session when its slots are taken: when one may be free again."""

    replica: str
    retry_after_s: int


@dataclass(frozen=True)
class TakeOver:
    """A session that `owner` holds, or held, shall be taken from it: the lease of that one counts for nothing.

    An `owner` of "" is nobody: the session is taken only if its lease has run out.
    """

    owner: str
    cause: Literal["lost", "handed-over"]
    fence: int = 0
    """The highest that was seen of the session: Redis may have lost its newest writes, and its viewers see no lower."""


@dataclass(frozen=True)
class Placement:
    """Where a call may go: to `pin` only, or for a new session to any replica that is not in `excluded`.

    `waits`: where there is none, for one to start.
    """

    sid: str
    pin: str = ""
    excluded: tuple[str, ...] = ()
    waits: bool = False

    def __str__(self) -> str:
        return f"{self.sid}@{self.pin}!{','.join(self.excluded)}{'~' if self.waits else ''}"

    @classmethod
    def parse(cls, text: str) -> Placement:
        sid, _, rest = text.removesuffix("~").partition("@")
        pin, _, excluded = rest.partition("!")
        return cls(sid, pin, tuple(filter(None, excluded.split(","))), text.endswith("~"))


@dataclass(frozen=True)
class Stay:
    """What decides how long a replica stays where there are too many: Serve stops those off the head node first, of
    them those with the fewest `neighbours` on their node, of them the newest. `started` is unix time in seconds."""

    head: bool
    neighbours: int
    started: float

    @property
    def order(self) -> tuple[bool, int, float]:
        """The greater the longer."""
        return self.head, self.neighbours, -self.started


def rank(placement: Placement, free: Mapping[str, float], stays: Mapping[str, Stay] | None = None) -> list[str]:
    """The replicas a call may go to, at most DRAWN, best first.

    `free` tells the room of each live replica (`admission.free`). Of a few that have room, drawn by the session's id,
    the one with the most is best: what is known is up to a second old, and the best of all would get every session
    that starts in it. With `stays` those are best that stay longest, so that the others become empty. Raises
    ReplicaGone or NoReplicaLeft.
    """
    if placement.pin:
        if placement.pin not in free:
            raise ReplicaGone(placement.pin)
        return [placement.pin]
    left = [replica for replica in free if replica not in placement.excluded]
    if not left or len(placement.excluded) >= TRIES:
        raise NoReplicaLeft(placement.sid)
    candidates = [replica for replica in left if free[replica] >= 0] or left
    if stays is not None:
        return sorted(candidates, key=lambda replica: stays[replica].order, reverse=True)[:DRAWN]
    drawn = random.Random(placement.sid).sample(candidates, min(DRAWN, len(candidates)))
    return sorted(drawn, key=lambda replica: -(free[replica] // STEP))
