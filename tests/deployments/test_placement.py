"""Pinned calls reach their replica or fail at once; new sessions go where there is most room."""

from __future__ import annotations

from collections import Counter
from statistics import fmean

import pytest

from deployments.placement import DRAWN, TRIES, NoReplicaLeft, Placement, ReplicaGone, Stay, rank


@pytest.mark.parametrize(
    "placement", [Placement("s1"), Placement("s1", pin="r1"), Placement("s1", excluded=("a", "b"))]
)
def test_a_placement_survives_its_text_form(placement: Placement) -> None:
    assert Placement.parse(str(placement)) == placement


def test_a_pinned_call_goes_to_its_replica_however_busy() -> None:
    assert rank(Placement("s1", pin="busy"), {"idle": 0.9, "busy": -0.4}) == ["busy"]


def test_a_pinned_call_to_a_dead_replica_fails() -> None:
    with pytest.raises(ReplicaGone):
        rank(Placement("s1", pin="dead"), {"alive": 0.9})


def test_a_new_session_goes_to_the_replica_with_the_most_room() -> None:
    assert rank(Placement("s1"), {"a": 0.1, "b": 0.7, "c": 0.3}) == ["b", "c", "a"]


def test_a_replica_that_says_it_is_full_is_asked_only_when_all_say_so() -> None:
    assert rank(Placement("s1"), {"a": 0.1, "b": -0.7, "c": 0.3}) == ["c", "a"]
    assert rank(Placement("s1"), {"a": -0.1, "b": -0.7}) == ["a", "b"]


def test_a_replica_that_refused_is_not_asked_again() -> None:
    assert rank(Placement("s1", excluded=("b",)), {"a": 0.1, "b": 0.7}) == ["a"]
    with pytest.raises(NoReplicaLeft):
        rank(Placement("s1", excluded=("a", "b")), {"a": 0.1, "b": 0.7})


def test_of_many_replicas_a_few_are_asked_that_have_much_room() -> None:
    free = {f"r{n}": n / 1000 for n in range(1000)}
    orders = [rank(Placement(f"session-{n}"), free) for n in range(300)]
    assert {len(set(order)) for order in orders} == {DRAWN}
    assert fmean(free[order[0]] for order in orders) > 0.75
    with pytest.raises(NoReplicaLeft):
        rank(Placement("s1", excluded=tuple(free)[:TRIES]), free)


def test_sessions_that_start_at_the_same_moment_spread_over_equals() -> None:
    free = {"full": 0.0, "a": 0.52, "b": 0.54, "c": 0.51}
    firsts = Counter(rank(Placement(f"session-{i}"), free)[0] for i in range(300))
    assert set(firsts) == {"a", "b", "c"}
    assert min(firsts.values()) > 60


def test_sessions_that_start_at_the_same_moment_do_not_all_go_to_the_best_of_many() -> None:
    free = {f"r{n}": 0.1 for n in range(999)} | {"new": 1.0}
    firsts = Counter(rank(Placement(f"session-{i}"), free)[0] for i in range(1000))
    assert 0 < firsts["new"] < 4 * DRAWN
    assert len(firsts) > 500


def test_a_session_has_the_same_order_wherever_it_is_asked_for() -> None:
    free = {f"r{n}": 0.5 for n in range(50)}
    assert rank(Placement("s1"), free) == rank(Placement("s1"), free) != rank(Placement("s2"), free)


def test_where_replicas_come_and_go_sessions_are_packed_onto_those_that_stay_longest() -> None:
    stays = {
        "head, new": Stay(head=True, neighbours=2, started=9.0),
        "head, old": Stay(head=True, neighbours=2, started=1.0),
        "alone": Stay(head=False, neighbours=1, started=2.0),
        "crowded": Stay(head=False, neighbours=3, started=8.0),
    }
    free = dict.fromkeys(stays, 0.5)
    assert rank(Placement("s1"), free, stays) == ["head, old", "head, new", "crowded", "alone"]
    assert rank(Placement("s1"), free | {"head, old": -0.1}, stays) == ["head, new", "crowded", "alone"]
    assert rank(Placement("s1", excluded=("head, new",)), free | {"head, old": -0.1}, stays) == ["crowded", "alone"]
    assert rank(Placement("s1", pin="alone"), free, stays) == ["alone"]


def test_of_many_that_stay_a_few_are_asked() -> None:
    stays = {f"r{n:03}": Stay(head=False, neighbours=1, started=float(n)) for n in range(100)}
    assert rank(Placement("s1"), dict.fromkeys(stays, 0.5), stays) == [f"r{n:03}" for n in range(DRAWN)]
