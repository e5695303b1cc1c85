"""The scheduler, by simulation: nobody stalls while the load fits, and what happens when it does not is fair."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from simulated_device import CHUNK_MEDIA, Device, Simulated

from deployments.admission import LOAD, Capacity, Demand, admits
from deployments.playout import PlayoutClock
from deployments.scheduler import Estimate, Job, Start, Wait, decide, latest_start, paced_job
from deployments.session import CHUNK_FRAMES, chunk_first_frame
from simulator import FPS


def slots(cost: float) -> int:
    """Sessions that admission takes where a chunk costs so much."""
    return max(1, math.floor(LOAD * CHUNK_MEDIA / cost))


def job(sid: str, due: float, *, release: float = -math.inf, cost: float = 1.0, eager: bool = False) -> Job:
    return Job(sid, release=release, due=due, cost=cost, eager=eager)


def test_the_least_slack_goes_first() -> None:
    assert decide([job("a", 3.0), job("b", 2.0), job("c", 9.0)], now=1.9) == Start("b")


def test_a_session_alone_starts_one_and_a_half_chunk_times_before_it_is_due() -> None:
    assert decide([job("a", 10.0)], now=0.0) == Wait(8.5)
    assert decide([job("a", 10.0)], now=8.5) == Start("a")


def test_sessions_due_together_start_early_enough_for_all_of_them() -> None:
    jobs = [job("a", 10.0), job("b", 10.0), job("c", 10.0)]
    assert latest_start(jobs) == 5.5
    assert decide(jobs, now=5.0) == Wait(5.5)
    assert decide(jobs, now=5.5) == Start("a")


def test_a_job_that_is_not_released_waits_for_its_release() -> None:
    assert decide([job("a", 1.0, release=5.0)], now=2.0) == Wait(5.0)


def test_nothing_to_do_waits_for_ever() -> None:
    assert decide([], now=0.0) == Wait(math.inf)
    assert decide([job("held", math.inf, release=-1.0)], now=0.0) == Wait(math.inf)


def test_an_eager_job_starts_at_once_unless_it_makes_somebody_late() -> None:
    eager = job("new", 20.0, eager=True)
    assert decide([job("a", 10.0, release=9.0), eager], now=5.0) == Start("new")
    assert decide([job("a", 10.0), eager], now=8.0) == Start("a")


def test_among_equals_the_one_that_waited_longest_is_first() -> None:
    jobs = [Job("a", -math.inf, 5.0, 1.0, served=2.0), Job("b", -math.inf, 5.0, 1.0, served=1.0)]
    assert decide(jobs, now=5.0) == Start("b")


def test_when_not_all_can_be_in_time_a_prompt_switch_does_not_go_before_what_is_due_earlier() -> None:
    jobs = [job("switches", 1.2, cost=1.0), job("first", 1.0, cost=0.6), job("c", 1.4, cost=0.6)]
    assert decide(jobs, now=0.0) == Start("first")


def test_a_chunk_is_released_when_the_one_before_it_is_due() -> None:
    clock = PlayoutClock(16, 0.0)
    clock.enter(0.0)
    clock.publish(0, 10.0)
    second = paced_job("s", clock, 2, 10.0, asked=0.0, cost=0.1, delivery=0.0, served=10.0)
    assert (second.release, second.due) == (10.5625, 11.3125)


def test_a_chunk_leaves_the_device_early_enough_to_be_delivered() -> None:
    clock = PlayoutClock(16, 0.0)
    clock.enter(0.0)
    clock.publish(0, 10.0)
    second = paced_job("s", clock, 2, 10.0, asked=0.0, cost=0.1, delivery=0.0625, served=10.0)
    assert (second.release, second.due) == (10.5625, 11.25)


def test_the_estimate_of_the_chunk_time_follows_a_lasting_change_and_not_one_spike() -> None:
    chunk = Estimate(0.2)
    chunk.observe(1.0)
    assert chunk.seconds < 0.4
    for _ in range(30):
        chunk.observe(0.5)
    assert chunk.seconds == pytest.approx(0.5, rel=0.01)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("cost", [0.05, 0.1, 0.15, 0.19, 0.23, 0.45])
def test_no_session_stalls_and_none_leads_by_more_than_a_chunk_while_the_load_fits(cost: float, seed: int) -> None:
    # A first chunk plays for nine frames only: one chunk of another session and the second of its own must fit in them.
    assert slots(cost) == 1 or 2 * 1.2 * cost <= 9 / FPS
    rng = random.Random(seed)
    device = Device(cost, seconds=lambda: cost * rng.uniform(0.75, 1.2))
    sessions = [
        device.arrive(Simulated(f"s{n}", asked=rng.choice([0.0, rng.uniform(0.0, 20.0)]))) for n in range(slots(cost))
    ]
    device.run(until=120.0)
    assert [session.gaps for session in sessions] == [[]] * len(sessions)
    assert all(session.most_lead <= CHUNK_MEDIA for session in sessions)
    assert all(session.chunk > 120 for session in sessions)


def test_a_newcomer_is_served_soon_and_disturbs_nobody() -> None:
    for phase in range(40):
        device = Device(0.14, seconds=lambda: 0.14)
        playing = [device.arrive(Simulated(f"s{n}", asked=0.19 * n)) for n in range(3)]
        newcomer = device.arrive(Simulated("new", asked=20.0 + phase * CHUNK_MEDIA / 40))
        device.run(until=40.0)
        assert [session.gaps for session in [*playing, newcomer]] == [[]] * 4
        assert newcomer.first_frame_after is not None
        assert newcomer.first_frame_after <= CHUNK_MEDIA


@pytest.mark.parametrize("cost", [0.1, 0.3, 0.7])
def test_a_session_alone_begins_at_once_on_a_device_of_any_speed(cost: float) -> None:
    new = paced_job("s", PlayoutClock(16, 0.0), 0, 5.0, asked=5.0, cost=cost, delivery=0.05, served=-math.inf)
    assert decide([new], now=5.0, spare=cost) == Start("s")


def test_a_first_chunk_leaves_room_for_the_second_of_its_session() -> None:
    def new(cost: float) -> Job:
        return Job("new", -math.inf, 6.5, cost, eager=True, plays=0.5)

    playing = [job(f"s{n}", 6.0, cost=0.1, release=5.5) for n in range(3)]
    assert decide([*playing, new(0.1)], now=5.0) == Start("new")
    # Made at 5.3 and due again at 5.8, with three that are due at 6.0: the second would end at 5.6, they at 5.9.
    assert decide([*playing, new(0.3)], now=5.0) == Start("new")
    assert decide([*playing, new(0.36)], now=5.0) != Start("new")


def test_a_render_waits_where_a_prompt_switch_would_make_somebody_late() -> None:
    render = Job("render", -math.inf, math.inf, 0.1, eager=True)
    playing = job("s", 6.0, cost=0.2, release=5.5)
    assert decide([playing, render], now=5.55) == Start("render")
    assert decide([playing, render], now=5.55, spare=0.2) == Start("s")


def test_a_session_alone_makes_its_chunks_as_late_as_is_safe() -> None:
    device = Device(0.2, seconds=lambda: 0.2)
    session = device.arrive(Simulated("s", asked=0.0))
    device.run(until=60.0)
    assert session.slack_left == pytest.approx([0.1] * len(session.slack_left))


def test_one_slow_chunk_moves_the_clock_and_is_never_made_good() -> None:
    times = iter([0.2] * 20 + [1.5] + [0.2] * 1000)
    device = Device(0.2, seconds=lambda: next(times))
    session = device.arrive(Simulated("s", asked=0.0))
    device.run(until=60.0)
    [(_, gap)] = session.gaps
    assert gap == pytest.approx(1.5 - 0.2 - 0.1)
    steps = [b - a for a, b in zip(session.publications, session.publications[1:], strict=False)]
    assert min(steps[1:]) == pytest.approx(CHUNK_MEDIA - 0.1)  # the chunk after the late one finds its reserve again
    assert session.most_lead <= CHUNK_MEDIA


def test_a_session_that_nobody_watches_makes_its_first_chunk_and_holds() -> None:
    device = Device(0.1, seconds=lambda: 0.1)
    session = device.arrive(Simulated("s", asked=0.0, watched=False))
    device.at(30.0, session.clock.enter, session)
    device.run(until=30.0)
    assert session.chunk == 1
    device.run(until=40.0)
    assert session.chunk == 1 + round((10.0 - 9 / 16) / CHUNK_MEDIA + 0.5)
    assert session.gaps == []


def test_a_session_that_is_left_makes_at_most_one_more_chunk() -> None:
    for tenth in range(20):
        device = Device(0.1, seconds=lambda: 0.1)
        session = device.arrive(Simulated("s", asked=0.0))
        device.at(10.0 + tenth / 10, session.clock.leave, session)
        device.run(until=10.0 + tenth / 10)
        made = session.chunk
        device.run(until=100.0)
        assert session.chunk - made <= 1
        assert session.most_lead <= CHUNK_MEDIA


def test_under_overload_equal_sessions_get_equal_service_and_nobody_starves() -> None:
    rng = random.Random(1)
    device = Device(0.3, seconds=lambda: 0.3 * rng.uniform(0.8, 1.2))
    sessions = [device.arrive(Simulated(f"s{n}", asked=rng.uniform(0.0, 3.0))) for n in range(6)]
    device.run(until=200.0)
    made = Counter(sid for time, sid in device.starts if time > 5.0).values()
    assert len(made) == 6
    assert max(made) - min(made) <= 1
    assert (sum(made) + 5.0 / 0.3) * 0.3 == pytest.approx(200.0, rel=0.05)
    assert all(session.most_lead <= CHUNK_MEDIA for session in sessions)


def test_unpaced_sessions_share_what_the_live_ones_leave() -> None:
    rng = random.Random(2)
    device = Device(0.14, seconds=lambda: 0.14 * rng.uniform(0.8, 1.2))
    live = [device.arrive(Simulated(f"live{n}", asked=0.3 * n)) for n in range(2)]
    renders = [device.arrive(Simulated(f"render{n}", asked=1.0, live=False)) for n in range(2)]
    device.run(until=120.0)
    assert [session.gaps for session in live] == [[], []]
    made = [session.chunk for session in renders]
    assert abs(made[0] - made[1]) <= 2
    busy = sum(Counter(sid for _, sid in device.starts).values()) * 0.14
    assert busy == pytest.approx(120.0, rel=0.05)


def overloaded(sessions: list[Simulated], *, load: float, delivery: float = 0.0, seconds: float = 300.0) -> Device:
    """A device with `load` times the work that it can do; the first 20 seconds do not count."""
    rng = random.Random(3)
    cost = load * CHUNK_MEDIA / len(sessions)
    device = Device(cost, seconds=lambda: cost * rng.uniform(0.8, 1.2), delivery=delivery)
    for session in sessions:
        device.arrive(session)
    device.run(until=20.0)
    for session in sessions:
        session.forget()
    device.run(until=20.0 + seconds)
    return device


def lateness(session: Simulated) -> float:
    """Mean seconds that a chunk came late."""
    return session.stalled_seconds / session.published


@pytest.mark.parametrize("delivery", [0.0, 0.05, 0.4])
@pytest.mark.parametrize("load", [1.05, 1.2, 2.0, 4.0])
def test_above_capacity_equal_sessions_are_late_alike_and_with_every_chunk(load: float, delivery: float) -> None:
    sessions = [Simulated(f"s{n}", asked=0.11 * n) for n in range(7)]
    overloaded(sessions, load=load, delivery=delivery)
    late = [lateness(session) for session in sessions]
    expected = (load - 1) * CHUNK_MEDIA
    assert late == pytest.approx([expected] * 7, rel=0.1)
    assert max(late) - min(late) < 0.02 * expected
    chunk = load * CHUNK_MEDIA / 7
    assert max(session.longest for session in sessions) < load * CHUNK_MEDIA + 2 * chunk


@pytest.mark.parametrize("weight", [2.0, 4.0])
@pytest.mark.parametrize("load", [1.2, 2.0])
def test_above_capacity_a_tenant_of_twice_the_weight_is_half_as_late(load: float, weight: float) -> None:
    light = [Simulated(f"light{n}", asked=0.1 * n, tenant="light") for n in range(8)]
    heavy = [Simulated(f"heavy{n}", asked=0.1 * n, tenant="heavy", weight=weight) for n in range(8)]
    overloaded([*light, *heavy], load=load)
    late = {name: [lateness(s) for s in some] for name, some in (("light", light), ("heavy", heavy))}
    assert sum(late["heavy"]) / sum(late["light"]) == pytest.approx(1 / weight, rel=0.15)
    for some in late.values():
        assert max(some) - min(some) < 0.05 * max(some)


def test_above_capacity_ten_sessions_of_one_tenant_do_not_get_ten_shares() -> None:
    crowd = [Simulated(f"crowd{n}", asked=0.1 * n, tenant="crowd") for n in range(10)]
    alone = Simulated("alone", asked=0.5, tenant="alone")
    overloaded([*crowd, alone], load=1.5)
    late = [lateness(session) for session in crowd]
    assert max(late) - min(late) < 0.05 * max(late)
    assert lateness(alone) < 0.3 * min(late)
    assert max(session.longest for session in crowd) < 2 * CHUNK_MEDIA


def test_sessions_of_nobody_stand_for_themselves() -> None:
    nobody = [Simulated(f"s{n}", asked=0.1 * n) for n in range(6)]
    somebody = [Simulated(f"t{n}", asked=0.1 * n, tenant=f"tenant{n}") for n in range(6)]
    overloaded([*nobody, *somebody], load=1.3)
    late = [lateness(session) for session in [*nobody, *somebody]]
    assert max(late) - min(late) < 0.02 * max(late)


def test_weights_change_nothing_while_everybody_can_be_in_time() -> None:
    sessions = [Simulated(f"s{n}", asked=0.1 * n, tenant=f"t{n % 3}", weight=(0.1, 1.0, 20.0)[n % 3]) for n in range(8)]
    overloaded(sessions, load=0.9, delivery=0.05)
    assert [session.stalls for session in sessions] == [0] * 8


def test_one_slow_chunk_below_capacity_makes_nobody_late_for_long_whatever_the_weights() -> None:
    times = iter([0.07] * 400 + [2.0])
    device = Device(0.07, seconds=lambda: next(times, 0.07))
    sessions = [
        device.arrive(Simulated(f"s{n}", asked=0.1 * n, tenant=f"t{n}", weight=(1.0, 10.0)[n % 2])) for n in range(8)
    ]
    device.run(until=200.0)
    slow = max(time for session in sessions for time, _ in session.gaps)
    assert slow < device.starts[400][0] + 2.0 + 2 * CHUNK_MEDIA
    assert max(session.longest for session in sessions) < CHUNK_MEDIA + 2.0 + 8 * 0.07


def test_renders_share_the_gaps_by_the_weights_of_their_tenants_and_make_nobody_late() -> None:
    rng = random.Random(4)
    device = Device(0.05, seconds=lambda: 0.05 * rng.uniform(0.8, 1.2))
    live = [device.arrive(Simulated(f"live{n}", asked=0.05 * n)) for n in range(8)]
    crowd = [device.arrive(Simulated(f"crowd{n}", asked=1.0, live=False, tenant="crowd")) for n in range(4)]
    heavy = device.arrive(Simulated("heavy", asked=1.0, live=False, tenant="heavy", weight=2.0))
    device.run(until=200.0)
    assert [session.gaps for session in live] == [[]] * 8
    made = [session.chunk for session in crowd]
    assert max(made) - min(made) <= 2
    assert heavy.chunk / sum(made) == pytest.approx(2.0, rel=0.2)
    assert device.busy_seconds == pytest.approx(200.0, rel=0.05)


def test_a_session_that_goes_on_after_a_pause_is_restored_at_once_and_disturbs_nobody() -> None:
    device = Device(0.14, seconds=lambda: 0.14)
    playing = [device.arrive(Simulated(f"s{n}", asked=0.19 * n)) for n in range(3)]
    resumed = device.arrive(Simulated("resumed", asked=20.0, first=37))
    device.run(until=40.0)
    assert [session.gaps for session in [*playing, resumed]] == [[]] * 4
    assert resumed.first_frame_after is not None
    assert resumed.first_frame_after <= CHUNK_MEDIA


@pytest.mark.parametrize("playing", [True, False])
def test_a_session_that_another_device_has_played_so_far_does_not_wait_for_those_that_have_time(playing: bool) -> None:
    clock = PlayoutClock(16, 0.0)
    moved = paced_job(
        "moved", clock, 7, 5.1, first=7, playing=playing, asked=5.0, cost=0.2, delivery=0.05, served=-math.inf
    )
    others = [job(f"s{n}", 5.6 + n / 10, cost=0.2, release=5.0) for n in range(3)]
    assert decide([moved, *others], now=5.1) == Start("moved" if playing else "s0")


def test_a_session_from_another_device_is_due_when_it_was_there() -> None:
    clock = PlayoutClock(16, 0.0)
    clock.go_on(chunk_first_frame(6), 4.75)
    moved = paced_job("m", clock, 7, 5.1, first=7, playing=True, asked=5.0, cost=0.2, delivery=0.05, served=-math.inf)
    assert moved.due == pytest.approx(5.45)  # the chunk before plays until 5.5


@pytest.mark.parametrize("seed", range(20))
def test_whatever_admission_takes_plays_at_its_frame_rate(seed: int) -> None:
    rng = random.Random(seed)
    cost = rng.choice([0.03, 0.06, 0.1, 0.15])
    capacity = Capacity(cost, fps=24, frames=CHUNK_FRAMES)
    device = Device(cost, seconds=lambda: cost * rng.uniform(0.75, 1.2))
    taken: list[Simulated] = []
    for n in range(40):
        fps = rng.choice([4, 8, 12, 16, 24])
        if admits(capacity, [Demand(session.fps) for session in taken], Demand(fps)):
            taken.append(device.arrive(Simulated(f"s{n}", asked=rng.uniform(0.0, 20.0), fps=fps)))
    device.run(until=200.0)
    assert len(taken) > 1
    assert [session.gaps for session in taken] == [[]] * len(taken)
