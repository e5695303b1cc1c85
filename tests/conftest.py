from __future__ import annotations

from pathlib import Path

import pytest
import torch

from longlive.model import Model
from longlive.pipeline import load_model
from tests.support import make_untrained_model


@pytest.hookimpl(tryfirst=True)  # before pytest chooses by marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what has the fixture `service`: scripts/run_tests.py has a process for it, for there is one service."""
    for item in items:
        if "service" in getattr(item, "fixturenames", ()):
            item.add_marker("service")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Two threads on two busy cores are slower than one, and results depend on the number."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def untrained_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with random weights: everything but the look of the picture is real."""
    return make_untrained_model(tmp_path_factory.mktemp("untrained"))


@pytest.fixture(scope="session")
def untrained(untrained_folder: Path) -> Model:
    return load_model(untrained_folder, dtype=torch.float32, device="cpu")
