"""Pinned calls reach their replica or fail at once; new sessions go where there are fewest."""

from __future__ import annotations

from collections import Counter

import pytest

from deployments.placement import NoReplicaLeft, Placement, ReplicaGone, rank


@pytest.mark.parametrize(
    "placement", [Placement("s1"), Placement("s1", pin="r1"), Placement("s1", excluded=("a", "b"))]
)
def test_a_placement_survives_its_text_form(placement: Placement) -> None:
    assert Placement.parse(str(placement)) == placement


def test_a_pinned_call_goes_to_its_replica_however_busy() -> None:
    assert rank(Placement("s1", pin="busy"), {"idle": 0, "busy": 9}) == ["busy"]


def test_a_pinned_call_to_a_dead_replica_fails() -> None:
    with pytest.raises(ReplicaGone):
        rank(Placement("s1", pin="dead"), {"alive": 0})


def test_a_new_session_goes_to_the_replica_with_the_fewest() -> None:
    assert rank(Placement("s1"), {"a": 2, "b": 0, "c": 1}) == ["b", "c", "a"]


def test_a_replica_that_refused_is_not_asked_again() -> None:
    assert rank(Placement("s1", excluded=("b",)), {"a": 2, "b": 0}) == ["a"]
    with pytest.raises(NoReplicaLeft):
        rank(Placement("s1", excluded=("a", "b")), {"a": 2, "b": 0})


def test_sessions_that_start_at_the_same_moment_spread() -> None:
    firsts = Counter(rank(Placement(f"session-{i}"), {"a": 0, "b": 0})[0] for i in range(200))
    assert min(firsts.values()) > 60
