"""The count agrees with what torch's allocator reports."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from longlive.allocations import Allocations, held_bytes
from tests.longlive.allocator import Reported, reported


def counted(work: Callable[[], object]) -> Reported:
    with torch.inference_mode(), Allocations("cpu") as memory:
        result = work()
        counts = Reported(memory.live, memory.peak)
        del result
        assert memory.live == 0
    return counts


def network() -> Tensor:
    x = torch.ones(64, 256)
    for _ in range(3):
        x = F.linear(x, torch.ones(256, 256)).view(8, -1).mul_(2).relu().view(64, 256)
    return torch.cat((x, x))[:16]


def test_live_and_peak_bytes_are_those_of_the_allocator() -> None:
    assert counted(network) == reported(network)
    assert counted(network).held == 128 * 256 * 4, "a slice keeps all of its memory"


def test_what_was_there_before_and_views_of_it_are_not_counted() -> None:
    there = torch.ones(100, 100)
    assert counted(lambda: there.view(-1)[5:].add_(1)) == Reported(0, 0)
    assert counted(lambda: there.add(1).view(-1)[5:]) == Reported(40000, 40000)


def test_a_peak_counts_from_the_last_reset() -> None:
    with torch.inference_mode(), Allocations("cpu") as memory:
        kept = torch.ones(10)
        torch.ones(1000)
        assert (memory.live, memory.peak) == (40, 4040)
        memory.reset_peak()
        kept.add(1)
        assert (memory.live, memory.peak) == (40, 80)


def test_other_devices_are_not_counted() -> None:
    with torch.inference_mode(), Allocations("meta") as memory:
        kept = torch.ones(10), torch.ones(10, device="meta")
        assert memory.live == held_bytes(kept[1:]) == 40


def test_memory_shared_by_tensors_counts_once() -> None:
    whole = torch.ones(10)
    assert held_bytes((whole, whole[:2], whole.view(2, 5), torch.ones(1))) == 44
