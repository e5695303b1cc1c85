"""Where the reference numbers are: a compact set in this repository, and the full set on machines that have it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]


def golden_dir(name: str) -> Path:
    """The folder of one set in the repository, such as `wan` or `longlive`."""
    return TESTS / "goldens" / name


def full_golden_dir(name: str) -> Path:
    """The folder of one full set; skips the test where there is none.

    `GOLDENS` names the folder of all sets; otherwise it is `shared/goldens` beside the repository.
    """
    root = Path(os.environ.get("GOLDENS") or TESTS.parents[1] / "shared" / "goldens")
    if not (root / name).is_dir():
        pytest.skip(f"no full goldens at {root / name}")
    return root / name
