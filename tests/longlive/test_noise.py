from __future__ import annotations

import itertools

import torch

from longlive.noise import chunk_noise

SHAPE = (1, 3, 4, 5, 6)
STABLE = [-1.1476657, -0.6059762, -0.5383383, 0.1048482]


def test_noise_depends_on_its_arguments_alone() -> None:
    first = chunk_noise(7, 2, 1, SHAPE)
    torch.manual_seed(0)
    chunk_noise(8, 2, 1, SHAPE)
    assert torch.equal(chunk_noise(7, 2, 1, SHAPE), first)
    assert first.dtype == torch.float32


def test_every_seed_chunk_and_step_has_noise_of_its_own() -> None:
    draws = [chunk_noise(*key, SHAPE) for key in itertools.product((0, 1, 2**63, -1), (0, 1, 70_000), (0, 1, 3))]
    # Not merely different, but no part of one appears in another.
    firsts = torch.stack([draw.flatten()[:8] for draw in draws])
    numbers = torch.cat([draw.flatten() for draw in draws])
    assert all((numbers == first).sum() == 1 for first in firsts[:, 0])


def test_the_stream_is_stable_across_versions() -> None:
    """Replays of stored sessions rest on these numbers."""
    torch.testing.assert_close(chunk_noise(1, 2, 3, (4,)), torch.tensor(STABLE), atol=1e-6, rtol=0)


def test_noise_is_standard_normal() -> None:
    noise = chunk_noise(3, 0, 0, (100_000,))
    assert abs(noise.mean()) < 0.02
    assert abs(noise.std() - 1) < 0.02
