"""Up at once, down by one and only where the rest fits; nothing known is no reason to do anything."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from deployments.autoscaling import Autoscaling, Pool, Room, pool_in, replicas_for, stats

FULL, HALF, EMPTY = Room(2, 0), Room(1, 1), Room(0, 2)


@pytest.mark.parametrize(
    ("rooms", "waiting", "current", "wanted"),
    [
        ([EMPTY], 0, 1, 0),
        ([HALF], 0, 1, 1),
        ([FULL], 0, 1, 2),  # whoever comes next finds a place
        ([FULL], 3, 1, 3),  # 2 + 3 + a spare one: three of two
        ([FULL, FULL], 7, 2, 6),
        ([FULL], 0, 2, 2),  # the second is starting
        ([FULL, HALF], 0, 2, 2),
        ([FULL, EMPTY], 0, 2, 2),  # in one there would be no place left
        ([HALF, EMPTY], 0, 2, 1),
        ([EMPTY, EMPTY, EMPTY], 0, 3, 2),  # one after the other
        ([FULL, HALF, EMPTY], 0, 3, 2),
        ([], 1, 0, 1),
        ([], 1, 1, 1),  # it starts
        ([], 0, 0, 0),
    ],
)
def test_as_many_as_are_needed_and_one_fewer_where_the_rest_fits(
    rooms: list[Room], waiting: int, current: int, wanted: int
) -> None:
    assert replicas_for(Pool(rooms, waiting), current) == wanted


def test_a_large_pool_shrinks_only_with_a_margin() -> None:
    tens = [Room(9, 1)] * 9
    assert replicas_for(Pool([*tens, Room(0, 10)]), 10) == 9
    assert replicas_for(Pool([*tens, Room(1, 9)]), 10) == 10


def test_what_a_pool_wants_does_not_change_once_it_has_it() -> None:
    for sessions in range(1, 40):
        for current in range(1, 12):
            wanted = replicas_for(_spread(sessions, current), current)
            if wanted > current:  # it neither grows again nor shrinks
                assert replicas_for(_spread(sessions, wanted), wanted) == wanted


@pytest.mark.parametrize("drained", [1, 2])
def test_a_replica_that_does_not_accept_is_replaced(drained: int) -> None:
    rooms = [Room(2, 0, accepting=False)] * drained + [HALF]
    assert replicas_for(Pool(rooms), len(rooms)) >= len(rooms) + drained
    gone = [Room(2, 0, accepting=False)]
    assert replicas_for(Pool(gone), 1) == 2


def test_serve_hands_over_what_the_replicas_tell() -> None:
    told = {"a": stats(FULL, 2, refused=True), "b": stats(Room(0, 0, accepting=False), 3, refused=False)}
    metrics = {
        name: {
            replica: [SimpleNamespace(value=99), SimpleNamespace(value=said[name])] for replica, said in told.items()
        }
        for name in told["a"]
    }
    assert pool_in(metrics) == Pool([FULL, Room(0, 0, accepting=False)], 3)
    context = SimpleNamespace(raw_metrics=metrics, target_num_replicas=2)
    assert Autoscaling()(context) == (replicas_for(pool_in(metrics), 2), {})
    assert Autoscaling()(SimpleNamespace(raw_metrics=None, target_num_replicas=0)) == (0, {})


def test_a_session_that_every_replica_has_refused_counts_as_one_that_waits() -> None:
    def waiting(*refused: bool) -> int:
        told = [stats(HALF, 0, refused=each) for each in refused]
        series = {name: {n: [SimpleNamespace(value=said[name])] for n, said in enumerate(told)} for name in told[0]}
        return pool_in(series).waiting

    assert [waiting(True, True), waiting(True, False), waiting(False)] == [1, 0, 0]


def test_a_session_that_only_drained_replicas_could_take_has_another_one_started() -> None:
    told = [stats(Room(0, 0, accepting=False), 0, refused=refused) for refused in (True, False)]
    series = {name: {n: [SimpleNamespace(value=said[name])] for n, said in enumerate(told)} for name in told[0]}
    assert replicas_for(pool_in(series), 2) == 3


def _spread(sessions: int, replicas: int) -> Pool:
    """So many sessions in replicas of four; more than fit wait."""
    counts = [min(4, max(0, sessions - 4 * number)) for number in range(replicas)]
    return Pool([Room(count, 4 - count) for count in counts], waiting=sessions - sum(counts))
