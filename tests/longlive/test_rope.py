from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from longlive.rope import RotaryTable, rotate
from tests.longlive.goldens import golden_dir


def test_the_tables_are_those_of_the_reference() -> None:
    golden = load_file(golden_dir("longlive") / "tables.safetensors")
    count, pairs = golden["rope.freqs_real_first64"].shape
    spatial = 2 * (pairs // 3)
    cos, sin = RotaryTable(2 * pairs, count, count).at(torch.arange(count))
    diagonal = torch.arange(count) * (count + 1)  # tokens whose row and column number are equal
    for part, name in ((cos, "rope.freqs_real_first64"), (sin, "rope.freqs_imag_first64")):
        own = torch.cat((part[:, 0, 0, : pairs - spatial], part[0, diagonal, 0, pairs - spatial :]), dim=-1)
        torch.testing.assert_close(own.double(), golden[name], atol=1e-6, rtol=0)


@pytest.mark.parametrize("start", [0, 1024, 3_000_000])
def test_only_distances_in_time_matter_however_late_it_is(start: int) -> None:
    table = RotaryTable(head_dim=12, rows=1, columns=1)
    x = torch.randn(2, 1, 1, 1, 1, 12, generator=torch.Generator().manual_seed(0))

    def score(query_position: int, key_position: int) -> torch.Tensor:
        query = rotate(x[0], *table.at(torch.tensor([query_position])))
        return (query * rotate(x[1], *table.at(torch.tensor([key_position])))).sum()

    torch.testing.assert_close(score(start + 7, start), score(7, 0), atol=1e-5, rtol=0)
    assert (score(start + 7, start) - score(start + 8, start)).abs() > 1e-3


def test_rotation_keeps_the_dtype_and_the_length_of_every_vector() -> None:
    x = torch.randn(1, 2, 6, 3, 12).bfloat16()
    rotated = rotate(x, *RotaryTable(12, 2, 3).at(torch.tensor([4, 5])))
    assert rotated.dtype == torch.bfloat16
    torch.testing.assert_close(rotated.float().norm(dim=-1), x.float().norm(dim=-1), atol=0.05, rtol=0)
