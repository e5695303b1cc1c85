"""What torch's own CPU allocator says of a piece of work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch.profiler import ProfilerActivity, profile


@dataclass(frozen=True)
class Reported:
    """Bytes that the work left allocated in what it returned, or freed of what was there, and the most at a time."""

    held: int
    peak: int


def reported(work: Callable[[], object]) -> Reported:
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        result = work()
    recorded = profiler.profiler
    assert recorded is not None
    events = [event for event in recorded.kineto_results.events() if event.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    del result
    return Reported(held, peak)
