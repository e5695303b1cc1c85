"""Where a call to the generators may go. Serve pickles the router's own module by value, so what is shared is here."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass


class ReplicaGone(Exception):
    """The session's owner is not among the replicas that this process knows: dead, stopping, or another service's."""


class OwnerDied(Exception):
    """The process of the session's owner has died, for sure."""


class NoReplicaLeft(Exception):
    """Every replica is excluded: each of them refused the new session."""


@dataclass(frozen=True)
class Refusal:
    """A replica's answer to a new session when its slots are taken: when one may be free again."""

    replica: str
    retry_after_s: int


@dataclass(frozen=True)
class Placement:
    """Where a call may go: to `pin` only, or for a new session to any replica that is not in `excluded`."""

    sid: str
    pin: str = ""
    excluded: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.sid}@{self.pin}!{','.join(self.excluded)}"

    @classmethod
    def parse(cls, text: str) -> Placement:
        sid, _, rest = text.partition("@")
        pin, _, excluded = rest.partition("!")
        return cls(sid, pin, tuple(filter(None, excluded.split(","))))


def rank(placement: Placement, sessions: Mapping[str, int]) -> list[str]:
    """The replicas a call may go to, best first; `sessions` counts those of each live replica.

    Raises ReplicaGone or NoReplicaLeft. The counts are up to a second old, so ties are broken by a hash of session and
    replica: sessions that start at the same moment spread.
    """
    if placement.pin:
        if placement.pin not in sessions:
            raise ReplicaGone(placement.pin)
        return [placement.pin]

    def load(replica: str) -> tuple[int, bytes]:
        return sessions[replica], hashlib.blake2b((placement.sid + replica).encode(), digest_size=8).digest()

    candidates = sorted((replica for replica in sessions if replica not in placement.excluded), key=load)
    if not candidates:
        raise NoReplicaLeft(placement.sid)
    return candidates
